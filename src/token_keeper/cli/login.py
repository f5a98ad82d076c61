"""The verb ``login``: consent on a machine with a person at it, and the document that comes of it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from token_keeper.cli import terminal
from token_keeper.cli.output import fail
from token_keeper.cli.seconds import Seconds
from token_keeper.cli.verb import internal
from token_keeper.errors import ConsentError, TokenKeeperError
from token_keeper.private_file import PrivateFile

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
        target = None if output in {None, "-"} else _file(Path(str(output)), force=force)
        if target is not None:
            target.require()
        found = _consent(_inquiry(client_secrets, asked), mode, redirect_port, browser, timeout)
        for warning in found.warnings:
            click.echo(f"note: {warning}", err=True)
        text = found.document.to_json()
        if target is None:
            click.echo(text)
        else:
            target.write(text.encode())
        _tell(found, target.target if target is not None else None)
    except TokenKeeperError as error:
        fail(error, as_json=False)
    except click.ClickException:
        raise
    except Exception as error:
        fail(internal(error), as_json=False)


def _file(target: Path, *, force: bool) -> PrivateFile:
    spent = "the consent is spent: run it again with another --output"
    return PrivateFile(target, force, "--output", "--force", spent)


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
