"""The provider's parts, put together once for every endpoint."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from sandbox_provider.client_secrets import ClientSecrets
from sandbox_provider.clients import ClientStore
from sandbox_provider.clock import SandboxClock
from sandbox_provider.counters import Counters
from sandbox_provider.database import Database
from sandbox_provider.events import EventStore
from sandbox_provider.faults import Faults
from sandbox_provider.grants import GrantStore
from sandbox_provider.refresh_limits import RefreshLimits
from sandbox_provider.settings import SettingsStore
from sandbox_provider.signing_key import SigningKey


class Provider:
    """State and parts of one sandbox provider.

    Attributes:
        public_url: its address as browsers on the host reach it.
        clock: Unix time as the provider believes it to be.
        stopping: set when the process is to end, so that whoever waits on purpose stops waiting.
    """

    def __init__(self, directory: Path, public_url: str, clock: Callable[[], float] = time.time) -> None:
        """Open the storage in ``directory``; ``clock`` is the machine's, Unix time.

        Raises:
            OSError: the directory can't be made.
            sqlite3.OperationalError: the directory can't be written to.
        """
        self.public_url = public_url.rstrip("/")
        self.stopping = threading.Event()
        self.database = Database(directory)
        self.clock = SandboxClock(self.database, clock)
        self.client_secrets = ClientSecrets(self.database)
        self.clients = ClientStore(self.database)
        self.grants = GrantStore(self.database, self.clock)
        self.settings = SettingsStore(self.database)
        self.limits = RefreshLimits(self.database, self.settings, self.clock)
        self.signing_key = SigningKey(self.database)
        self.counters = Counters(self.database)
        self.faults = Faults(self.database, self.stopping)
        self.events = EventStore(self.database, self.clock)
