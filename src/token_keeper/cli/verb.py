"""What all verbs share: their input, their output, and how they fail."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from token_keeper.cli.output import emit, fail
from token_keeper.document import MAX_BYTES
from token_keeper.errors import TokenKeeperError
from token_keeper.store import TokenStore

Verb = TypeVar("Verb", bound=Callable[..., Any])


def internal(error: Exception) -> TokenKeeperError:
    """Return what is told of an error that nobody foresaw: its kind and place, since its text may quote anything."""
    import traceback  # noqa: PLC0415 - seldom needed, and every health check waits for the imports above

    frame = traceback.extract_tb(error.__traceback__)[-1]
    return TokenKeeperError(
        f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}",
        reason="Internal",
        remedy="this is a fault of Token Keeper: report it with this line",
    )


def stdin(most: int = MAX_BYTES) -> bytes:
    """Return what is on standard input: by default a little more than a document may have at most.

    Args:
        most: bytes that are looked at; one more is read, so that too much is noticed.
    """
    # a process may be started with its standard input closed
    return sys.stdin.buffer.read(most + 1) if sys.stdin is not None else b""


def verb(function: Verb) -> Verb:
    """Give a verb its ``--json`` option, its output, and its errors."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, errors too.")
    @click.pass_obj
    @functools.wraps(function)
    def run(store: TokenStore, /, *args: Any, as_json: bool, **options: Any) -> None:
        try:
            result = function(store, *args, **options)
        except TokenKeeperError as error:
            fail(error, as_json=as_json)
        except click.ClickException:
            raise
        except Exception as error:
            fail(internal(error), as_json=as_json)
        emit(result, as_json=as_json)

    return cast(Verb, run)
