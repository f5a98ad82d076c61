"""What a look at all hosts comes to: one JSON document, and the tables that a person reads.

This runs on the controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from . import health, unreachable

VERSION: Final = 1
"""Of the document; it rises when a field goes or changes its meaning, not when one is added."""

UNREACHABLE: Final = "unreachable"
_LONGEST: Final = 400
_EXIT_FAILED: Final = 2
"""What ``ansible-playbook`` ends with when a host has failed."""

_TOKENS: Final = (
    *("Host", "Volume", "Document", "Health", "Account"),
    *("Condition", "Access token", "Grant until", "Gen", "Last refresh"),
)
_CONSUMERS: Final = ("Consumer", "Host", "Of", "Generation", "Processes", "Level")
_DETAILS: Final = (
    ("Document", "fingerprint"),
    ("Access token", "access_token_fingerprint"),
    ("Refresh token", "refresh_token_fingerprint"),
    ("Client", "client_fingerprint"),
    ("Token endpoint", "token_uri"),
    ("Scopes", "scopes"),
    ("Mode", "mode"),
)


def gathered(
    looks: Mapping[str, Mapping[str, Any]], *, strict: bool, deadline_days: float, now: datetime
) -> dict[str, Any]:
    """Return the document of a run.

    Args:
        looks: by host, the result of the module ``token_status_info`` there; what Ansible says instead of one where
            there is none; empty where nothing was learnt.
        strict: whether what is degraded counts as failed.
        deadline_days: see :func:`.health.judge`.
        now: the time.

    Returns:
        ``version``, ``at``, ``health``, ``strict``, ``exit_code`` and ``hosts``; docs/status.md describes it.
    """
    hosts = [_host(name, look, deadline_days) for name, look in looks.items()]
    for host in hosts:
        host["passes"] = host["health"] == health.OK or (host["health"] == health.DEGRADED and not strict)
    return {
        "version": VERSION,
        "at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "health": health.worst(_ranked(host["health"]) for host in hosts),
        "strict": strict,
        "exit_code": 0 if all(host["passes"] for host in hosts) else _EXIT_FAILED,
        "hosts": hosts,
    }


def tables(report: Mapping[str, Any]) -> str:
    """Return the report as a person reads it: tokens, consumers, and what is not as it should be."""
    rows, users = [], []
    for host in report["hosts"]:
        rows += [_token_row(host, token, report["at"]) for token in host["tokens"]] or [
            (host["host"], "-", "-", host["health"], *["-"] * 6)
        ]
        users += [_consumer_row(host, token, one) for token in host["tokens"] for one in token["consumers"]]
    nobody = (
        "No running container mounts them."
        if any(host["tokens"] for host in report["hosts"])
        else ("Nothing is known of those who use them: no host has told.")
    )
    parts = [_table(_TOKENS, rows), _table(_CONSUMERS, users) if users else nobody]
    return "\n\n".join([*parts, *filter(None, [_findings(report)]), _summary(report)])


def details(report: Mapping[str, Any]) -> str:
    """Return what is known of each document beside the tables: fingerprints, scopes, endpoint."""
    blocks = []
    for host in report["hosts"]:
        for token in host["tokens"]:
            document = (token["status"] or {}).get("document") or {}
            facts = [(label, _shown(document.get(name))) for label, name in _DETAILS]
            blocks.append("\n".join(f"{label:<15} {value}" for label, value in facts))
    return "\n\n".join(blocks)


def failure(host: Mapping[str, Any]) -> str:
    """Return why a host does not pass, as a sentence for Ansible's message."""
    found = [*host["findings"], *(finding for token in host["tokens"] for finding in token["findings"])]
    return _text("; ".join(f"{one['what']}{_do(one)}" for one in found), 2 * _LONGEST)


def _host(name: str, look: Mapping[str, Any], deadline_days: float) -> dict[str, Any]:
    found: dict[str, Any] = {"host": name, "health": health.FAILED, "findings": [], "tokens": []}
    if look.get("unreachable"):
        message = str(look.get("msg") or "")
        said = _text(unreachable.told(message) or "no reason given")
        remedy = f"{unreachable.obstacle(message).remedy}, then run this again"
        finding = health.Finding(health.FAILED, f"the host can't be reached: {said}", remedy)
        return {**found, "health": UNREACHABLE, "findings": [finding.as_dict()]}
    if "tokens" not in look:
        said = _text(look.get("msg") or look.get("module_stderr") or "see the message of the task that failed, above")
        finding = health.Finding(health.FAILED, f"the host could not be looked at: {said}", "correct what it names")
        return {**found, "findings": [finding.as_dict()]}
    tokens = [_token(token, deadline_days) for token in look["tokens"]]
    return {**found, "health": health.worst(token["health"] for token in tokens), "tokens": tokens}


def _token(look: Mapping[str, Any], deadline_days: float) -> dict[str, Any]:
    findings = health.judge(look, deadline_days)
    status = look["status"] or {}
    document = status.get("document") or {}
    deadlines = status.get("deadlines") or []
    return {
        "name": look["name"],
        "volume": look["volume"],
        "file": look["file"],
        "health": health.worst(finding.health for finding in findings),
        "findings": [finding.as_dict() for finding in findings],
        "account": document.get("account") or None,
        "condition": health.condition_of(look),
        "access_expiry": document.get("expiry"),
        "access_expires_in": document.get("expires_in"),
        "grant": status.get("grant"),
        "grant_deadline": deadlines[0] if deadlines else None,
        "generation": status.get("generation"),
        "last_refresh": _renewal(status.get("last_refresh"), look["consumers"]),
        "consumers": [dict(consumer) for consumer in look["consumers"]],
        "silent": list(look["silent"]),
        "missing": list(look["missing"]),
        "status": look["status"],
    }


def _renewal(event: Mapping[str, Any] | None, consumers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return who renewed the token, by the name of its container where that still runs."""
    if event is None:
        return None
    names = [one["container"] for one in consumers if one.get("hostname") and one["hostname"] == event.get("container")]
    return {**event, "container_name": names[0] if names else None}


def _ranked(host_health: str) -> str:
    return health.FAILED if host_health == UNREACHABLE else host_health


def _token_row(host: Mapping[str, Any], token: Mapping[str, Any], at: str) -> tuple[str, ...]:
    return (
        host["host"],
        token["volume"],
        token["file"],
        token["health"],
        _shown(token["account"]),
        _condition(token),
        _access(token, at),
        _until(token),
        _shown(token["generation"]),
        _last(token["last_refresh"], at),
    )


def _consumer_row(host: Mapping[str, Any], token: Mapping[str, Any], consumer: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        consumer["container"],
        host["host"],
        f"{token['volume']}/{token['file']}",
        _shown(consumer["generation"]),
        _shown(len(consumer["processes"])),
        consumer["level"],
    )


def _condition(token: Mapping[str, Any]) -> str:
    condition = token["condition"]
    if condition is None:
        document = (token["status"] or {}).get("document") or {}
        return _shown(document.get("state"))
    words = {"True": "{}", "False": "not {}", "Unknown": "{} unknown"}
    word = words.get(condition["status"], "{}").format(condition["type"])
    return f"{word} ({condition['reason']})"


def _until(token: Mapping[str, Any]) -> str:
    deadline = token["grant_deadline"]
    if deadline:
        return f"{deadline['at'][:10]} ({deadline['reason']})"
    return "no end known" if token["grant"] else "-"


def _access(token: Mapping[str, Any], at: str) -> str:
    """Say how long the access token lives on, and until when; the seconds are told by the host's own clock."""
    left = token["access_expires_in"]
    if left is None:
        return "-"
    until = _moment(str(token["access_expiry"] or ""), at)
    return f"{_span(int(left))}, to {until}" if left > 0 else f"ran out {until}"


def _span(seconds: int) -> str:
    if seconds >= 86_400:
        return f"{seconds // 86_400} d {seconds % 86_400 // 3600:02d} h"
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60} min {seconds % 60:02d} s"


def _last(event: Mapping[str, Any] | None, at: str) -> str:
    if event is None:
        return "-"
    who, where = _shown(event.get("service")), event.get("container_name") or event.get("container")
    return f"{_moment(str(event.get('time') or ''), at)} by {who}" + (f" ({where})" if where else "")


def _moment(time: str, at: str) -> str:
    """Return a time of RFC 3339 as a person reads it: without its date if that is today's."""
    if len(time) < len("2026-11-23T12:00"):
        return "-"
    day, clock = time[:10], f"{time[11:16]} UTC"
    return clock if day == at[:10] else f"{day} {clock}"


def _findings(report: Mapping[str, Any]) -> str:
    lines = []
    for host in report["hosts"]:
        lines += [(host["host"], host["health"], finding) for finding in host["findings"]]
        for token in host["tokens"]:
            place = f"{host['host']}, {token['volume']}/{token['file']}"
            lines += [(place, finding["health"], finding) for finding in token["findings"]]
    return "\n".join(_clean(f"{level.upper():<11}  {place}: {one['what']}{_do(one)}") for place, level, one in lines)


def _do(finding: Mapping[str, str]) -> str:
    return f" (do: {finding['remedy']})" if finding["remedy"] else ""


def _summary(report: Mapping[str, Any]) -> str:
    counted = [host["health"] for host in report["hosts"]]
    kinds = [f"{counted.count(kind)} {kind}" for kind in (*(health.OK, health.DEGRADED, health.FAILED), UNREACHABLE)]
    told = ", ".join(kind for kind in kinds if not kind.startswith("0 "))
    hosts = f"{len(counted)} host{'' if len(counted) == 1 else 's'}"
    rule = "what is degraded counts as failed" if report["strict"] else "what is degraded serves, and passes"
    return f"Health   {hosts}: {told}" + (f"; {rule}" if health.DEGRADED in counted else "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), *([_clean(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()  # noqa: B905 - Python 3.9
        for line in lines
    )


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(str(one) for one in value) or "-"
    return "-" if value is None or value == "" else str(value)


def _text(value: Any, longest: int = _LONGEST) -> str:
    """Return a message of somebody else's on one line, and no longer than is of use."""
    words = " ".join(_clean(" ".join(str(value).split())).split())
    return words if len(words) <= longest else words[: longest - 1] + "…"


def _clean(text: str) -> str:
    """Leave out what would move a terminal's cursor: anybody may have written what a volume says."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(timezone.utc)  # noqa: UP017 - Python 3.9
