"""The verb ``keep``: a keeper for each document, with one web server, one log and the signals."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from token_keeper.keeper.daemon import LOCK_TIMEOUT, Keeper
from token_keeper.keeper.http import Answers, Server
from token_keeper.keeper.metrics import SeveralCollector, VolumeCollector, registry_of
from token_keeper.keeper.several import SeveralKeepers
from token_keeper.store import TokenStore


def keep_running(paths: Sequence[Path], service: str, listen: str) -> None:
    """Keep the documents fresh until SIGTERM or SIGINT.

    Args:
        paths: the documents, one at least. What is told of a single one has neither its path nor a label.
        service: who writes, for the event log.
        listen: ``ADDRESS:PORT``; an IPv6 address in brackets.

    Raises:
        TokenKeeperError: the address can't be had.
        click.BadParameter: it is none, or a document is named twice.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter(f"{listen!r} is not ADDRESS:PORT", param_hint="--listen")
    # the lock is waited for with a patience of the keeper's own
    stores = [TokenStore(path, service=service, lock_timeout=LOCK_TIMEOUT) for path in paths]
    if len({store.path for store in stores}) < len(stores):
        raise click.BadParameter("a document is named twice", param_hint="PATH")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    keepers = [Keeper(store, named=len(stores) > 1) for store in stores]
    collectors = {keeper.path: _collector(store, keeper) for store, keeper in zip(stores, keepers, strict=True)}
    one = len(keepers) == 1
    whole = keepers[0] if one else SeveralKeepers(keepers)
    registry = registry_of(collectors[keepers[0].path] if one else SeveralCollector(collectors))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: whole.stop())
    documents: dict[str, Answers] = {
        keeper.path: {"/healthz": keeper.healthy, "/readyz": keeper.ready, "/consumers": keeper.report}
        for keeper in keepers
    }
    answers = {"healthy": whole.healthy, "ready": whole.ready, "report": whole.report}
    with Server(host.strip("[]"), int(port), registry=registry, documents=documents, **answers) as server:
        logging.getLogger(__name__).info("listening on %s:%d", host, server.port)
        whole.run()


def _collector(store: TokenStore, keeper: Keeper) -> VolumeCollector:
    return VolumeCollector(store.status, lambda: keeper.last_success, lambda: keeper.is_active)
