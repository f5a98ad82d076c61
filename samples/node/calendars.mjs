// Names the calendars of an account. The token is read anew for each call, and never written: somebody else keeps it fresh.
import { readFile } from "node:fs/promises";

const tokenFile = process.env.TOKEN_FILE ?? "/app/tokens/token.json";
const calendarApi = process.env.CALENDAR_API ?? "https://www.googleapis.com/calendar/v3/";

async function accessToken() {
  return JSON.parse(await readFile(tokenFile, "utf8")).token;
}

const answer = await fetch(`${calendarApi}users/me/calendarList`, {
  headers: { Authorization: `Bearer ${await accessToken()}` },
});
if (!answer.ok) throw new Error(`the calendar answered ${answer.status}`);
for (const { id } of (await answer.json()).items) console.log(id);
