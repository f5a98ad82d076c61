"""What the command prints: a table for a person, one JSON object for a machine, an error for both."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import click

from token_keeper.errors import TokenKeeperError


def emit(result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result: one JSON object, or aligned lines of name and value."""
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    rows = list(_rows(result))
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        click.echo(f"{name.ljust(width)}  {value}")


def fail(error: TokenKeeperError, *, as_json: bool) -> NoReturn:
    """Print an error and end with its exit code: JSON on stdout, or two lines on stderr."""
    if as_json:
        click.echo(json.dumps({"error": error.as_dict()}, sort_keys=True))
    else:
        click.echo(f"error: {error.message}", err=True)
        if error.remedy:
            click.echo(f"  do: {error.remedy}", err=True)
    raise SystemExit(error.exit_code)


def _grant(grant: dict[str, Any]) -> str:
    current = ", current" if grant["current"] else ", maybe spent" if grant["maybe_spent"] else ""
    token = grant["refresh_token_fingerprint"]
    return f"{grant['grant']} generation {grant['generation']}, refresh token {token}{current}"


def _rows(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, item in value.items():
        label = f"{prefix}{name}".replace("_", " ")
        if name == "conditions":
            rows += [(c["type"], f"{c['status']} ({c['reason']}) {c['message']}") for c in item]
        elif name == "deadlines":
            rows += [("deadline", f"{d['at']} {d['reason']}, {d['days_left']} days left: {d['remedy']}") for d in item]
        elif name == "lineage" and item:
            rows.append(("superseded", f"{len(item['superseded'])} refresh tokens"))
            rows += [("grant in history", _grant(grant)) for grant in item["grants"]]
        elif isinstance(item, dict):
            rows += _rows(item, f"{name} ")
        elif isinstance(item, list):
            rows.append((label, " ".join(str(entry) for entry in item) or "-"))
        elif isinstance(item, bool):
            rows.append((label, "yes" if item else "no"))
        else:
            rows.append((label, "-" if item is None or item == "" else str(item)))
    return rows
