"""The verb ``keep``: a keeper with its web server, its log and its signals."""

from __future__ import annotations

import logging
import signal
import sys

import click

from token_keeper.keeper.daemon import LOCK_TIMEOUT, Keeper
from token_keeper.keeper.http import Server
from token_keeper.keeper.metrics import VolumeCollector, registry_of
from token_keeper.store import TokenStore


def keep_running(store: TokenStore, listen: str) -> None:
    """Keep the document fresh until SIGTERM or SIGINT.

    Args:
        store: names the document and the service; the keeper waits for the lock with a patience of its own.
        listen: ``ADDRESS:PORT``; an IPv6 address in brackets.

    Raises:
        TokenKeeperError: the address can't be had.
        click.BadParameter: it is none.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter(f"{listen!r} is not ADDRESS:PORT", param_hint="--listen")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    keeper = Keeper(TokenStore(store.path, service=store.service, lock_timeout=LOCK_TIMEOUT))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.stop())
    collector = VolumeCollector(store.status, lambda: keeper.last_success, lambda: keeper.is_active)
    registry = registry_of(collector)
    answers = {"healthy": keeper.healthy, "ready": keeper.ready, "report": keeper.report}
    with Server(host.strip("[]"), int(port), registry=registry, **answers) as server:
        logging.getLogger(__name__).info("listening on %s:%d", host, server.port)
        keeper.run()
