"""What is said to someone whose request to an admin endpoint makes no sense."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


class BadInputError(Exception):
    """A request that can't be carried out as it stands; its message goes to the sender with status 400."""


def reject_unknown(given: dict[str, Any], known: Collection[str], what: str) -> None:
    """Refuse names that mean nothing here, so that a typing error is not taken for success.

    Raises:
        BadInputError: ``given`` has a key that is not in ``known``.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BadInputError(f"unknown {what}: {', '.join(unknown)}; known are {', '.join(sorted(known))}")


def number(value: object, name: str, least: float, most: float) -> float:
    """Return ``value`` if it is a number from ``least`` to ``most``.

    Raises:
        BadInputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadInputError(f"{name} must be a number from {least:.15g} to {most:.15g}")
    return value


def whole_number(value: object, name: str, least: int, most: int) -> int:
    """Return ``value`` if it is a whole number from ``least`` to ``most``.

    Raises:
        BadInputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadInputError(f"{name} must be a whole number from {least} to {most}")
    return value


def yes_or_no(value: object, name: str) -> bool:
    """Return ``value`` if it is true or false.

    Raises:
        BadInputError: it is neither.
    """
    if not isinstance(value, bool):
        raise BadInputError(f"{name} must be true or false")
    return value


def one_of(value: object, name: str, choices: Collection[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        BadInputError: it is not.
    """
    if not isinstance(value, str) or value not in choices:
        raise BadInputError(f"{name} must be one of {', '.join(choices)}")
    return value


def line_of_text(value: object, name: str, longest: int = 512) -> str:
    """Return ``value`` if it is one non-empty line of printable text.

    Raises:
        BadInputError: it is not.
    """
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > longest:
        raise BadInputError(f"{name} must be one line of text, at most {longest} characters")
    return value


def texts(value: object, name: str) -> tuple[str, ...]:
    """Return ``value`` if it is a non-empty list of texts without spaces.

    Raises:
        BadInputError: it is not.
    """
    if not isinstance(value, list) or not value:
        raise BadInputError(f"{name} must be a list with at least one text")
    for item in value:
        if len(line_of_text(item, f"each of {name}", 2048).split()) != 1:
            raise BadInputError(f"each of {name} must be one word")
    return tuple(value)
