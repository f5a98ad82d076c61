"""An app as many are: the token in a file, renewed with google-auth and written back by whoever finds it expired.

It knows nothing of Token Keeper: no lock, no flush, one name for all temporary files. Several processes of it run side
by side on one volume.
"""

import json
import logging
import os
import time
from datetime import datetime

from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2.credentials import Credentials

TOKEN = os.environ.get("TOKEN_FILE", "/app/tokens/token.json")
CALENDARS = os.environ.get("CALENDAR_API", "https://www.googleapis.com/calendar/v3/") + "users/me/calendarList"
PAUSE = float(os.environ.get("PAUSE", "2"))


def credentials() -> Credentials:
    """Read the token, and renew it if it has expired."""
    with open(TOKEN) as file:
        fields = json.load(file)
    # not from_authorized_user_file(), which renews at Google whatever the file says
    fields["expiry"] = datetime.fromisoformat(fields["expiry"].removesuffix("Z"))
    found = Credentials(**fields)
    if not found.valid:
        found.refresh(Request())
        with open(TOKEN + ".tmp", "w") as file:
            file.write(found.to_json())
        os.replace(TOKEN + ".tmp", TOKEN)
        logging.info("wrote the token")
    return found


def main() -> None:
    """Ask for the calendars again and again."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    while True:
        try:
            AuthorizedSession(credentials()).get(CALENDARS, timeout=30).raise_for_status()
            logging.info("ok")
        except Exception as error:
            logging.info("failed: %s", error)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
