"""What a run over many hosts has come to: a table with a row a host, and the command that does what is left.

This runs on the controller.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from . import unreachable

UNCHANGED: Final = "unchanged"
FAILED: Final = "failed"
UNREACHABLE: Final = "unreachable"
NOT_BEGUN: Final = "not begun"
LEFT: Final = frozenset({FAILED, UNREACHABLE, NOT_BEGUN})
"""Results after which something is left to be done. Any other word stands for a host that has changed, and is done."""

_LONGEST: Final = 160
"""Characters of a reason: the whole message stands above, where the task failed."""

_WITH_VALUE: Final = frozenset("eliftTucMR")
"""Short options of ``ansible-playbook`` that take a value, in the same word or the next one."""

_PLAIN: Final = frozenset(
    {
        *("mode", "state", "output", "repair", "undo", "strict", "site_serial", "rotation_serial", "images_built_on"),
        *("app_stack_compose_dir", "token_keeper_project", "images_prefix", "schedule_where"),
        *("docker_host_upgrade", "docker_host_interrupt", "docker_host_source", "rotation_revocation"),
        *("rotation_force_retire", "rotation_discard_staged"),
        *("app_stack_api_port", "app_stack_keeper_port", "sandbox_port", "teardown_volume", "teardown_images"),
    }
)
"""Variables that are no secret, so that their values may be told. Whatever else ``-e`` was given might be one."""

_PREFIX: Final = "Task failed: "
"""Of messages of ansible-core, which the name of the task already says."""

_WORD: Final = re.compile(r"[\w./:,%+~-]*")
ELLIPSIS: Final = "…"


@dataclass(frozen=True)
class Ending:
    """How a run ended for a host.

    Attributes:
        host: its name in the inventory.
        result: one of this module's constants, or a word for what was done.
        task: name of the task that failed; empty where none did.
        why: that task's message, secrets kept out of it; empty where none failed.
    """

    host: str
    result: str
    task: str = ""
    why: str = ""

    @property
    def reason(self) -> str:
        """The message in one line that fits into a table."""
        return short(unreachable.obstacle(self.why).what if self.result == UNREACHABLE else self.why)


def reason(result: Mapping[str, Any]) -> str:
    """Return the message of a task that failed: nothing else of its result, and nothing of one that is hidden.

    Args:
        result: as callbacks get it, from which ``no_log`` has taken everything.
    """
    items = [one for one in result.get("results") or [] if isinstance(one, dict)]
    failed = [one for one in items if one.get("failed") or one.get("unreachable")]
    found = failed[0] if failed else result
    if "censored" in found or found.get("_ansible_no_log"):
        return "no_log hides why"
    said = found.get("msg") or result.get("reason") or ""
    text = "; ".join(str(one) for one in said) if isinstance(said, (list, tuple)) else str(said)
    return text[len(_PREFIX) :] if text.startswith(_PREFIX) else text


def short(text: str) -> str:
    """Return a text in one line of printable characters, cut where it is too long."""
    line = "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1].rsplit(" ", 1)[0] + ELLIPSIS


def lines(endings: Sequence[Ending], command: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what a person reads at the end of a run, line by line, each with the result it is about or an empty word.

    Args:
        endings: of all hosts, in the order of the inventory.
        command: the run's own command line, the program first.
    """
    left = [ending for ending in endings if ending.result in LEFT]
    rows = [(ending.host, ending.result, ending.task, ending.reason) for ending in endings]
    head = ("Host", "Result", "At", "Why") if any(row[2] or row[3] for row in rows) else ("Host", "Result")
    # the last column is as wide as it is
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    for number, row in enumerate((head, *rows)):
        cells = [row[column].ljust(width) for column, width in enumerate(widths)]
        line = "  ".join([*cells, row[len(widths)]]).rstrip()
        yield line, endings[number - 1].result if number else ""
    yield "", ""
    if not left:
        yield f"All {len(endings)} hosts are done.", ""
        return
    yield from ((line, UNREACHABLE) for line in _remedies(left))
    if len(endings) == 1:
        yield "When that is mended, run the same command again.", ""
        return
    done = len(endings) - len(left)
    counted = f"{done} of {len(endings)} hosts are done" if done else "No host is done"
    yield f"{counted}. When what is named above is mended, this does what is left, and nothing else:", ""
    yield "", ""
    told = again(command, [ending.host for ending in left])
    yield f"    {told}", ""
    if ELLIPSIS in told:
        yield "", ""
        yield f"{ELLIPSIS} stands for what -e was given: it may be a secret, and is not repeated here.", ""


def _remedies(left: Sequence[Ending]) -> Iterator[str]:
    """Yield what to do about the hosts that can't be reached, once for all with the same obstacle."""
    by_remedy: dict[str, list[Ending]] = {}
    for ending in left:
        if ending.result == UNREACHABLE:
            by_remedy.setdefault(unreachable.obstacle(ending.why).remedy, []).append(ending)
    for remedy, hosts in by_remedy.items():
        for ending in hosts:
            said = short(unreachable.told(ending.why)) or "nothing more was said"
            yield f"{ending.host} can't be reached: {said}"
        yield f"    {remedy[0].upper()}{remedy[1:]}."
        yield ""


def again(command: Sequence[str], hosts: Sequence[str]) -> str:
    """Return the command line that runs the same for some hosts alone, fit for a shell.

    Args:
        command: the run's own command line. What ``-e`` gave is repeated where it is known to be no secret.
        hosts: whose turn it is.
    """
    words: list[str] = []
    waiting = list(command[1:])
    while waiting:
        name, value, rest = _option(waiting)
        waiting = rest
        if name in ("-l", "--limit"):
            continue
        if name in ("-e", "--extra-vars"):
            words += ["-e", _harmless(value or "")]
        else:
            words += [shlex.quote(name)] + ([shlex.quote(value)] if value is not None else [])
    limit = shlex.quote(",".join(hosts))
    return " ".join([shlex.quote(command[0].rpartition("/")[2]), *words, "--limit", limit])


def _option(words: Sequence[str]) -> tuple[str, str | None, list[str]]:
    """Take the next option, or argument, off a command line: its name, its value, and the words that are left.

    Only what is left out or hidden has to be told from the rest; a value of any other option may pass as an argument.
    """
    word, rest = words[0], list(words[1:])
    if word.startswith("--"):
        return _long(word, rest)
    at = next((at for at, letter in enumerate(word) if at and letter in _WITH_VALUE), 0)
    if not word.startswith("-") or not at or word[at] not in "el":
        return word, None, rest
    option, value = f"-{word[at]}", word[at + 1 :].removeprefix("=") or (rest.pop(0) if rest else "")
    if at == 1:
        return option, value, rest
    return word[:at], None, [option, value, *rest]  # -Ke x is -K -e x


def _long(word: str, rest: list[str]) -> tuple[str, str | None, list[str]]:
    name, equals, value = word.partition("=")
    # as argparse has it, a part of a name is enough where it is that one's alone
    if len(name) > len("--") and "--extra-vars".startswith(name):
        name = "--extra-vars"
    elif len(name) > len("--li") and "--limit".startswith(name):
        name = "--limit"
    else:
        return word, None, rest
    return name, value if equals else (rest.pop(0) if rest else ""), rest


def _harmless(value: str) -> str:
    """Return what ``-e`` was given without what may be secret, quoted for a shell."""
    if value.startswith("@"):
        return shlex.quote(value)
    try:
        pairs = shlex.split(value)
    except ValueError:
        return ELLIPSIS
    told = []
    for pair in pairs:
        name, equals, given = pair.partition("=")
        if not equals or not name.isidentifier():
            return ELLIPSIS
        told.append(f"{name}={given if name in _PLAIN and _WORD.fullmatch(given) else ELLIPSIS}")
    return shlex.quote(" ".join(told)) if told else ELLIPSIS
