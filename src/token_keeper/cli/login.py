"""The verb ``login``: consent on a machine with a person at it, and the document that comes of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from token_keeper.cli import terminal
from token_keeper.cli.output import fail
from token_keeper.cli.seconds import Seconds
from token_keeper.cli.verb import internal
from token_keeper.errors import ConsentError, StorageError, TokenKeeperError

if TYPE_CHECKING:
    from token_keeper.consent import ClientSecrets, Consent, Inquiry

_MAX_CLIENT_FILE = 65_536


@click.command()
@click.option(
    "--client-secrets",
    required=True,
    metavar="FILE",
    help="The OAuth client's JSON, from the console; - is stdin.",
)
@click.option("--scope", "scopes", required=True, multiple=True, help="A scope to ask for; more than once for more.")
@click.option("--provider", metavar="NAME|FILE", help="google, generic, or a profile of your own; see docs/consent.md.")
@click.option("--issuer", metavar="URL", help="The provider's issuer identifier, by which generic finds its endpoints.")
@click.option("--auth-uri", metavar="URL", help="Authorization endpoint, if not the client's own.")
@click.option("--token-uri", metavar="URL", help="Token endpoint, if not the client's own.")
@click.option(
    "--mode", type=click.Choice(["loopback", "paste"]), help="By default loopback with a browser here, else paste."
)
@click.option("--account", metavar="NAME", help="The account that has to consent: its mail address, or its identifier.")
@click.option(
    "--output", metavar="FILE", help="Write the document to a new file, mode 0600; - is stdout, even if a terminal."
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option("--redirect-port", type=click.IntRange(0, 65_535), default=0, help="Port of the redirect; 0 is any.")
@click.option("--browser", metavar="COMMAND", help="A browser, or a command with %s; else BROWSER, else the desktop's.")
@click.option("--timeout", type=Seconds(1), default=600.0, show_default=True, help="Seconds to wait for the answer.")
@click.option("--allow-http", is_flag=True, help="Allow endpoints without TLS on another machine.")
def login(
    client_secrets: str,
    output: str | None,
    *,
    force: bool,
    mode: str | None,
    redirect_port: int,
    browser: str | None,
    timeout: float,
    **asked: Any,
) -> None:
    """Consent here, and write the document to stdout or to a file; no volume is touched.

    All that a person has to read goes to stderr.
    """
    if output is None and sys.stdout.isatty():
        raise click.UsageError(
            "the document holds secrets, and stdout is a terminal: name a file with --output, redirect stdout, or "
            "insist with --output -"
        )
    try:
        target = None if output in {None, "-"} else Path(str(output))
        if target is not None:
            _require_writable(target, force=force)
        found = _consent(_inquiry(client_secrets, asked), mode, redirect_port, browser, timeout)
        for warning in found.warnings:
            click.echo(f"note: {warning}", err=True)
        text = found.document.to_json()
        if target is None:
            click.echo(text)
        else:
            _write(target, text.encode(), force=force)
        _tell(found, target)
    except TokenKeeperError as error:
        fail(error, as_json=False)
    except click.ClickException:
        raise
    except Exception as error:
        fail(internal(error), as_json=False)


def _inquiry(client_secrets: str, asked: dict[str, Any]) -> Inquiry:
    from token_keeper.consent import Inquiry  # noqa: PLC0415 - the other verbs start faster without it

    return Inquiry.prepare(_client(client_secrets), asked.pop("scopes"), **asked)


def _client(file: str) -> ClientSecrets:
    from token_keeper.consent import ClientSecrets  # noqa: PLC0415 - see _inquiry

    if file == "-":
        return ClientSecrets.parse(sys.stdin.buffer.read(_MAX_CLIENT_FILE), "the client secrets on stdin")
    try:
        with open(file, "rb") as opened:
            data = opened.read(_MAX_CLIENT_FILE)
    except OSError as error:
        raise ConsentError(
            f"{file}: the client's file can't be read: {error.strerror}",
            reason="ClientSecretsUnreadable",
            remedy="correct --client-secrets",
        ) from None
    return ClientSecrets.parse(data, file)


def _consent(inquiry: Inquiry, mode: str | None, redirect_port: int, browser: str | None, timeout: float) -> Consent:
    from token_keeper import consent  # noqa: PLC0415 - see _inquiry

    if (mode or consent.choose_mode(terminal=terminal.is_there())) != "paste":
        return consent.by_loopback(
            inquiry, announce=_announce, redirect_port=redirect_port, timeout=timeout, browser=browser
        )
    if not terminal.is_there():
        raise ConsentError(
            "there is no terminal to paste the answer at",
            reason="TerminalMissing",
            remedy="run it at a terminal, or with --mode loopback",
        )
    arrival, deadline = consent.Arrival(), time.monotonic() + timeout
    return consent.by_paste(
        inquiry,
        announce=_announce,
        ask=lambda prompt: terminal.ask(prompt, deadline, arrival.is_there),
        redirect_port=redirect_port,
        timeout=timeout,
        arrival=arrival,
    )


def _announce(text: str) -> None:
    click.echo(f"{text}\n", err=True)


def _tell(found: Consent, target: Path | None) -> None:
    by = f" by {found.account}" if found.account else ""
    click.echo(
        f"Consent complete{by} for: {', '.join(found.document.scopes)}."
        + (f" The document is in {target}." if target is not None else ""),
        err=True,
    )


def _require_writable(target: Path, *, force: bool) -> None:
    """Find out before a person is bothered that their document would find no place."""
    if target.is_dir():
        raise StorageError(f"{target} is a directory", reason="NotAFile", remedy="name a file with --output")
    if not force and os.path.lexists(target):
        raise _exists(target)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise StorageError(
            f"{target.parent} is not a directory in which this user may make files",
            reason="NotWritable",
            remedy="name another file with --output",
        )
    try:
        descriptor = _new(temporary := _beside(target))
        try:
            private = not os.fstat(descriptor).st_mode & 0o077
        finally:
            os.close(descriptor)
            os.unlink(temporary)
    except OSError as error:
        raise StorageError(
            f"cannot write {target}: {error.strerror}", reason="InputOutput", remedy="name another file with --output"
        ) from None
    if not private:
        raise StorageError(
            f"the file system of {target.parent} lets others read what only its owner may",
            reason="NotPrivate",
            remedy="name a file on another one with --output",
        )


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.tmp-{secrets.token_hex(8)}")


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _write(target: Path, data: bytes, *, force: bool) -> None:
    """Make a file with mode 0600 that is there whole or not at all, durably."""
    temporary = _beside(target)
    try:
        descriptor = _new(temporary)
        try:
            with open(descriptor, "wb") as file:
                file.write(data + b"\n")
                file.flush()
                os.fsync(descriptor)
            _place(temporary, target, force=force)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        raise StorageError(
            f"cannot write {target}: {error.strerror}",
            reason="InputOutput",
            remedy="the consent is spent: run it again with another --output",
        ) from None


def _place(temporary: Path, target: Path, *, force: bool) -> None:
    if force:
        os.replace(temporary, target)
        return
    try:
        os.link(temporary, target)  # which fails where a file is, even one that was made a moment ago
    except FileExistsError:
        raise
    except OSError:
        # a file system without hard links: a person's consent is worth more than the moment between these two calls
        if os.path.lexists(target):
            raise FileExistsError from None
        os.rename(temporary, target)


def _exists(target: Path) -> StorageError:
    return StorageError(
        f"{target} exists already, and was left as it is",
        reason="FileExists",
        remedy="name another file, or replace it with --force",
    )
