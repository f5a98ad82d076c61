"""What the processes log, and what they never log."""

from __future__ import annotations

import logging
import logging.config
from typing import Final

_TALKATIVE: Final = (
    # at DEBUG some of these print request headers or bodies, and with them tokens
    "google",
    "google_auth_httplib2",
    "googleapiclient",
    "httpcore",
    "httplib2",
    "httpx",
    "requests",
    "urllib3",
)


def set_up_logging() -> None:
    """Log to stderr from INFO up; HTTP libraries only from WARNING up, whatever the command line asks for."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": "INFO", "handlers": ["stderr"]},
            "loggers": {name: {"level": "WARNING"} for name in _TALKATIVE},
        }
    )
