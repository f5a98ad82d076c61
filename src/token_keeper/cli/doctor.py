"""The verb ``doctor``: a table for a person, JSON for a machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from token_keeper.doctor import Finding, examine
from token_keeper.doctor.locking import hold as hold_lock
from token_keeper.errors import StorageError


def diagnose(path: Path, *, hold: float | None, as_json: bool) -> None:
    """Print what is found, and end with exit code 10 if there is a problem.

    Args:
        path: the document.
        hold: hold the lock for so many seconds instead.
        as_json: one JSON object instead of a table.

    Raises:
        LockTimeout, StorageError: the lock that is to be held can't be had.
    """
    if hold is not None:
        hold_lock(path.parent, hold)
        return
    findings = examine(path)
    problems = sum(finding.level == "problem" for finding in findings)
    if as_json:
        click.echo(json.dumps({"problems": problems, "findings": [finding.as_dict() for finding in findings]}))
    else:
        for finding in findings:
            _print(finding)
    if problems:
        raise SystemExit(StorageError.exit_code)


def _print(finding: Finding) -> None:
    click.echo(f"{finding.level:<8} {finding.check:<11} {finding.message}")
    if finding.remedy and finding.level != "ok":
        click.echo(f"{'':<20} do: {finding.remedy}")
