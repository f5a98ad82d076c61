"""The verb ``doctor``: a list for a person, the worst first; JSON for a machine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from token_keeper.doctor import Action, Finding, examine, repair
from token_keeper.doctor.locking import hold as hold_lock
from token_keeper.doctor.locking import name_of_lock
from token_keeper.errors import StorageError
from token_keeper.store import TokenStore

_WORST_FIRST: Final = ("error", "warning", "info", "ok")


def diagnose(store: TokenStore, *, hold: float | None, mend: bool, as_json: bool) -> None:
    """Print what is found, and end with exit code 10 if there is an error, or one is left.

    Args:
        store: whose document is examined.
        hold: hold the lock for so many seconds instead.
        mend: mend what can be mended first.
        as_json: one JSON object instead of a list.

    Raises:
        LockTimeout, StorageError: the lock that is to be held can't be had.
    """
    if hold is not None:
        hold_lock(store.path.parent, hold)
        return
    actions, findings = repair(store.path, service=store.service) if mend else ([], examine(store.path))
    errors = sum(finding.level == "error" for finding in findings)
    if as_json:
        click.echo(json.dumps(_report(store.path, errors, actions, findings)))
    else:
        for action in actions:
            _print_action(action)
        for finding in sorted(findings, key=lambda one: _WORST_FIRST.index(one.level)):
            _print(finding)
    if errors:
        raise SystemExit(StorageError.exit_code)


def _report(path: Path, errors: int, actions: Sequence[Action], findings: Sequence[Finding]) -> dict[str, Any]:
    lock = None
    with contextlib.suppress(OSError):
        lock = name_of_lock(path.parent)
    return {
        "errors": errors,
        "lock": lock,
        "findings": [finding.as_dict() for finding in findings],
        "actions": [action.as_dict() for action in actions],
    }


def _print_action(action: Action) -> None:
    done = "mended" if action.mended else "could not"
    click.echo(f"{done:<9} {action.finding.check:<11} {action.finding.message}")
    click.echo(f"{'':<21} {action.finding.mend}{'' if action.mended else f': {action.why_not}'}")


def _print(finding: Finding) -> None:
    click.echo(f"{finding.level:<9} {finding.check:<11} {finding.message}")
    if finding.remedy and finding.level != "ok":
        click.echo(f"{'':<21} do: {finding.remedy}")
        if finding.mend:
            click.echo(f"{'':<21} --repair: {finding.mend}")
