"""The provider's parts, put together once for every endpoint."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sandbox_provider.clients import ClientStore
from sandbox_provider.counters import Counters
from sandbox_provider.database import Database
from sandbox_provider.events import EventStore
from sandbox_provider.faults import Faults
from sandbox_provider.grants import GrantStore
from sandbox_provider.settings import SettingsStore

ACCOUNT: Final = "demo@sandbox.invalid"
"""The person who consents, unless a request names another by ``login_hint``."""


class Provider:
    """State and parts of one sandbox provider.

    Attributes:
        public_url: its address as browsers on the host reach it; also its issuer name (RFC 8414).
        clock: Unix time; tests put their own here.
        stopping: set when the process is to end, so that whoever waits on purpose stops waiting.
    """

    def __init__(self, directory: Path, public_url: str, clock: Callable[[], float] = time.time) -> None:
        """Open the storage in ``directory``.

        Raises:
            OSError: the directory can't be made.
            sqlite3.OperationalError: the directory can't be written to.
        """
        self.public_url = public_url.rstrip("/")
        self.clock = clock
        self.stopping = threading.Event()
        self.database = Database(directory)
        self.clients = ClientStore(self.database)
        self.grants = GrantStore(self.database, clock)
        self.settings = SettingsStore(self.database)
        self.counters = Counters(self.database)
        self.faults = Faults(self.database, self.stopping)
        self.events = EventStore(self.database, clock)
