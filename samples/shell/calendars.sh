#!/bin/bash
# Names the calendars of an account, with nothing but jq and curl. The token is read anew for each call, and never written:
# somebody else keeps it fresh.
set -euo pipefail
token_file=${TOKEN_FILE:-/app/tokens/token.json}
calendar_api=${CALENDAR_API:-https://www.googleapis.com/calendar/v3/}

# The token goes to curl's standard input: an argument can be read by everybody on the machine.
jq -er '"header = \"Authorization: Bearer \(.token)\""' "$token_file" |
    curl --silent --show-error --fail --config - "${calendar_api}users/me/calendarList" |
    jq -r '.items[].id'
