"""Ways to break the store, applied by a pytest plugin: ``pytest -p mutants`` with MUTANT naming one.

Each takes one guarantee away and leaves the rest as it is. Which test catches which is in ``test_mutants.py``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from token_keeper import (
    exchange,
    history,
    ledger,
    lock,
    reading,
    refresh,
    restoring,
    rollback,
    rotation_rules,
    staging,
    volume,
    writer,
)
from token_keeper.doctor import leftovers, mending
from token_keeper.errors import LockTimeout, ProviderUnavailable

MUTANTS: dict[str, Callable[[], None]] = {}


def mutant(apply: Callable[[], None]) -> Callable[[], None]:
    MUTANTS[apply.__name__] = apply
    return apply


def pytest_configure() -> None:
    MUTANTS[os.environ["MUTANT"]]()


class _Os:
    """The os module with some calls of its own."""

    def __init__(self, **calls: Any) -> None:
        self.__dict__.update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@mutant
def no_lock() -> None:
    @contextlib.contextmanager
    def hold(self: lock.DirectoryLock, timeout: float, **_: Any) -> Iterator[int | None]:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    lock.DirectoryLock.hold = hold  # type: ignore[method-assign]


@mutant
def lock_timeout_ignored() -> None:
    hold = lock.DirectoryLock.hold

    @contextlib.contextmanager
    def patient_no_more(self: lock.DirectoryLock, timeout: float, **options: Any) -> Iterator[int | None]:
        with contextlib.ExitStack() as stack:
            try:
                descriptor = stack.enter_context(hold(self, timeout, **options))
            except LockTimeout:
                descriptor = os.open(self._directory, os.O_RDONLY)
            yield descriptor

    lock.DirectoryLock.hold = patient_no_more  # type: ignore[method-assign]


@mutant
def lock_inherited_by_children() -> None:
    lock._Process.open = lambda self, directory: lock._open(directory)  # type: ignore[method-assign]
    lock._Process.close = lambda self, descriptor: os.close(descriptor)  # type: ignore[method-assign]


@mutant
def no_second_look_under_the_lock() -> None:
    ledger.Ledger.timing = lambda _: SimpleNamespace(is_fresh=False, is_usable=True)  # type: ignore[method-assign, assignment, return-value]


@mutant
def fixed_temporary_name() -> None:
    setattr(volume, "os", _Os(urandom=bytes))  # noqa: B010 - not exported


@mutant
def written_in_place() -> None:
    @contextlib.contextmanager
    def drafted(self: volume.Volume, directory: int, name: str, data: bytes) -> Iterator[Any]:
        def publish(**_: Any) -> None:
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=directory)
            for start in range(0, len(data), 512):
                os.write(descriptor, data[start : start + 512])
            os.close(descriptor)

        yield SimpleNamespace(publish=publish, write_out=lambda: None)

    volume.Volume.drafted = drafted  # type: ignore[method-assign, assignment]


@mutant
def no_flush() -> None:
    setattr(volume, "os", _Os(fsync=lambda descriptor: None))  # noqa: B010 - not exported


@mutant
def no_flush_of_the_directory() -> None:
    def fsync(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.fsync(descriptor)

    setattr(volume, "os", _Os(fsync=fsync))  # noqa: B010 - not exported


@mutant
def second_attempt() -> None:
    request_token = exchange.request_token

    def twice(*args: Any, **options: Any) -> Any:
        try:
            return request_token(*args, **options)
        except ProviderUnavailable:
            return request_token(*args, **options)

    setattr(refresh, "request_token", twice)  # noqa: B010 - imported there, not exported


@mutant
def no_journal() -> None:
    begin, save = refresh._begin, ledger.Ledger.save

    def without(*args: Any) -> str:
        ledger.Ledger.save = lambda self: None  # type: ignore[method-assign]
        try:
            return begin(*args)
        finally:
            ledger.Ledger.save = save  # type: ignore[method-assign]

    refresh._begin = without  # type: ignore[assignment]


@mutant
def journal_not_taken_back() -> None:
    begin, save = refresh._begin, ledger.Ledger.save

    def without(*args: Any) -> str:
        saves: list[None] = []

        def once(self: ledger.Ledger) -> None:
            if not saves:
                saves.append(None)
                save(self)

        ledger.Ledger.save = once  # type: ignore[method-assign]
        try:
            return begin(*args)
        finally:
            ledger.Ledger.save = save  # type: ignore[method-assign]

    refresh._begin = without  # type: ignore[assignment]


@mutant
def reply_not_saved_first() -> None:
    refresh._write_reply = lambda *_: None

    def promote(self: volume.Volume, directory: int, name: str, **_: Any) -> None:
        raise AssertionError("there is nothing to install")

    volume.Volume.promote = promote  # type: ignore[method-assign]


@mutant
def recovered_reply_not_flushed() -> None:
    promote = volume.Volume.promote

    def trusting(self: volume.Volume, directory: int, name: str, *, flushed: bool) -> None:
        promote(self, directory, name, flushed=True)

    volume.Volume.promote = trusting  # type: ignore[method-assign]


@mutant
def replies_not_remembered_when_names_are_lost() -> None:
    put_back = ledger.Ledger._put_back

    def from_the_history(self: ledger.Ledger, *args: Any, **options: Any) -> bool:
        replies = ledger.Ledger._replies
        ledger.Ledger._replies = lambda self: {}  # type: ignore[method-assign]
        try:
            return put_back(self, *args, **options)
        finally:
            ledger.Ledger._replies = replies  # type: ignore[method-assign]

    ledger.Ledger._put_back = from_the_history  # type: ignore[method-assign]


@mutant
def pending_replies_cleaned_up() -> None:
    def pendings(self: volume.Volume, directory: int) -> list[str]:
        for name in self._names(directory):
            if name.startswith(self._pending_prefix):
                os.unlink(name, dir_fd=directory)
        return []

    volume.Volume.pendings = pendings  # type: ignore[method-assign]


@mutant
def superseded_token_adopted() -> None:
    def adopt(self: ledger.Ledger, reason: str, theirs: Any) -> None:
        assert self.document is not None
        self.accept(self.document, event="Adopted")

    ledger.Ledger._refuse = adopt  # type: ignore[method-assign]


@mutant
def foreign_consent_overwritten() -> None:
    ledger.Ledger._is_overtaken = lambda self, reply: False  # type: ignore[method-assign]


@mutant
def dead_grant_asked_again() -> None:
    refresh.may_ask = lambda *_, **__: None


@mutant
def lost_state_begins_at_zero() -> None:
    load = ledger._load_state

    def forgetful(a_volume: volume.Volume, *others: Any) -> Any:
        found: Any = load(a_volume, *others)
        if not Path(a_volume.directory, a_volume.state_name).is_file():
            found.generation = 0
        return found

    ledger._load_state = forgetful  # type: ignore[assignment]


@mutant
def refused_tokens_renewed_at_once() -> None:
    writer._just_renewed = lambda _: False


@mutant
def adopted_copies_predecessor_trusted() -> None:
    def adopt(self: ledger.Ledger, document: Any) -> None:
        self.accept(document, event="Adopted", new_grant=True)

    ledger.Ledger.adopt = adopt  # type: ignore[method-assign]


@mutant
def doubtful_grants_tried() -> None:
    rollback.rotation_of = lambda *_: "no"


@mutant
def late_replies_always_installed() -> None:
    def save_unsaved(self: writer.Writer, directory: int) -> None:
        if self._unsaved is not None:
            self._volume.replace(directory, self._unsaved.pending, self._unsaved.document.to_json().encode())

    writer.Writer._save_unsaved = save_unsaved  # type: ignore[method-assign]
    ledger.Ledger._is_overtaken = lambda *_: False  # type: ignore[method-assign]


@mutant
def token_at_hand_forgotten() -> None:
    reading.Reading.is_usable = lambda _: False  # type: ignore[method-assign]
    reading.Reading.is_valid = lambda _: False  # type: ignore[method-assign]


@mutant
def staged_document_in_the_history() -> None:
    write = staging.Staged.write

    def leak(self: staging.Staged, a_volume: volume.Volume, directory: int) -> None:
        write(self, a_volume, directory)
        entry = history.Entry("5" * 16, self.generation + 1, self.document)
        history.History(a_volume).record(directory, entry)

    staging.Staged.write = leak  # type: ignore[method-assign, assignment]


@mutant
def promotion_that_was_cut_short_gone_back_to() -> None:
    rollback.Staged = SimpleNamespace(peek=lambda _: None)  # type: ignore[assignment, attr-defined]


@mutant
def new_grant_without_its_name() -> None:
    accept = ledger.Ledger.accept

    def nameless(self: ledger.Ledger, *args: Any, named: str | None = None, **options: Any) -> None:
        accept(self, *args, **options)

    ledger.Ledger.accept = nameless  # type: ignore[method-assign]


@mutant
def open_exchange_forgotten_by_a_new_grant() -> None:
    ledger.Ledger._doubt_what_was_sent = lambda *_, **__: None  # type: ignore[method-assign]


@mutant
def old_secret_adopted() -> None:
    ledger.Ledger._with_our_client = lambda self, document: document  # type: ignore[method-assign]


@mutant
def holder_of_the_old_secret_unnoticed() -> None:
    ledger.Ledger._note_old_client = lambda *_: None  # type: ignore[method-assign]


@mutant
def live_grant_revoked_with_the_earlier_one() -> None:
    rotation_rules._brought_since = lambda *_: None


@mutant
def half_a_document_put_back() -> None:
    ledger.salvaged = lambda *_: None


@mutant
def revoked_document_given_away() -> None:
    reading.Reader.taken_away = lambda self, document: None  # type: ignore[method-assign]


@mutant
def rotated_away_token_restored() -> None:
    original = restoring.judge
    restoring.judge = lambda *args, force: original(*args, force=True)  # type: ignore[assignment]


@mutant
def lineage_not_restored() -> None:
    restoring._take_lineage = lambda *_: None


@mutant
def strangers_token_replaced() -> None:
    restoring.same_owner = lambda *_: None


@mutant
def replies_removed_by_the_doctor() -> None:
    real = leftovers.stale_temporaries

    def too_many(its: volume.Volume, names: Any) -> list[Path]:
        names = list(names)
        return [*real(its, names), *(its.directory / name for name in names if ".pending." in name)]

    leftovers.stale_temporaries = mending.stale_temporaries = too_many


@mutant
def files_in_use_removed_by_the_doctor() -> None:
    leftovers._STALE = 0.0  # type: ignore[misc]
