// Names the calendars of an account. The token is read anew for each call, and never written: somebody else keeps it fresh.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
)

func accessToken(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var document struct {
		Token string `json:"token"`
	}
	err = json.Unmarshal(data, &document)
	return document.Token, err
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	token, err := accessToken(env("TOKEN_FILE", "/app/tokens/token.json"))
	if err != nil {
		log.Fatal(err)
	}
	address := env("CALENDAR_API", "https://www.googleapis.com/calendar/v3/") + "users/me/calendarList"
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		log.Fatalf("the calendar answered %s", answer.Status)
	}
	var calendars struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&calendars); err != nil {
		log.Fatal(err)
	}
	for _, calendar := range calendars.Items {
		fmt.Println(calendar.ID)
	}
}
