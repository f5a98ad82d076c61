"""The command's verbs. Secrets come in on stdin and never go out, whatever the verb."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any, cast

import click

from token_keeper.cli import rotation
from token_keeper.cli.backup import backup, restore
from token_keeper.cli.consent import consent
from token_keeper.cli.login import login
from token_keeper.cli.output import fail
from token_keeper.cli.seconds import Seconds
from token_keeper.cli.verb import stdin, verb
from token_keeper.document import TokenDocument
from token_keeper.errors import ProviderUnavailable, ReauthRequired, StorageError, TokenKeeperError
from token_keeper.state import Publishing, Rotation
from token_keeper.status import Status
from token_keeper.store import DEFAULT_PATH, TokenStore

_EXIT_CODES = """
Exit codes: 0 done, 1 internal, 2 usage, 3 TokenMissing, 4 TokenCorrupt, 5 ReauthRequired, 6 ClientRejected,
7 PolicyDenied, 8 ProviderUnavailable, 9 LockTimeout, 10 StorageError, 11 Conflict, 12 ConsentError, 13 BackupError.
"""


@click.group(epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--path",
    envvar="TOKEN_KEEPER_PATH",
    default=DEFAULT_PATH,
    show_default=True,
    type=click.Path(path_type=Path, readable=False),
    help="The token document.",
)
@click.option(
    "--lock-timeout", type=Seconds(0), default=30.0, show_default=True, help="Seconds to wait for other writers."
)
@click.pass_context
def main(context: click.Context, path: Path, lock_timeout: float) -> None:
    """Keep one OAuth 2.0 token sound, fresh and shared."""
    # as Ctrl-C does: an exchange that is under way is seen to its end first
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    context.obj = TokenStore(path, lock_timeout=lock_timeout)


main.add_command(login)
main.add_command(consent)
main.add_command(backup)
main.add_command(restore)


@main.command()
@verb
def status(store: TokenStore) -> dict[str, Any]:
    """Look at the volume: document, generation, conditions. Changes nothing; exits 0 whenever it could look."""
    return store.status().as_dict()


@main.command()
@click.option(
    "--sealed", is_flag=True, help="The document itself too, sealed with the key on stdin (32 bytes, Base64)."
)
@verb
def show(store: TokenStore, *, sealed: bool) -> dict[str, Any]:
    """Show the document: fingerprints, expiry, scopes; no secret that could be read."""
    document = store.read()
    found = store.status()
    told = {**found.document, "generation": found.generation}
    if sealed:
        from token_keeper import sealing  # noqa: PLC0415 - the other verbs start faster without it

        told["sealed"] = sealing.seal(document.to_json().encode(), sealing.key_of_text(stdin()))
    return told


@main.command()
@click.option("--expect", type=int, help="Replace exactly this generation (0: none yet).")
@click.option("--force", is_flag=True, help="Replace whatever is there.")
@click.option("--expires-in", type=Seconds(), help="Seconds of life of the access token, by the sender's clock.")
@click.option(
    "--rotation", type=click.Choice(["yes", "no", "unknown"]), help="Does the provider rotate refresh tokens?"
)
@click.option("--reuse-grace", type=Seconds(0), help="Seconds for which it accepts a spent one again.")
@click.option(
    "--publishing",
    type=click.Choice(["testing", "production", "unknown"]),
    help="Is the app's consent screen published?",
)
@click.option("--same-account", is_flag=True, help="Replace another grant too, if account and client are the same.")
@click.option("--adopt", is_flag=True, help="An app wrote it: replace a refresh token that it has renewed with, too.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@verb
def push(
    store: TokenStore,
    *,
    expect: int | None,
    force: bool,
    expires_in: float | None,
    rotation: str | None,
    reuse_grace: float | None,
    publishing: str | None,
    same_account: bool,
    adopt: bool,
    dry_run: bool,
) -> dict[str, Any]:
    """Put the document on stdin into the volume, unless what is there is newer."""
    document = TokenDocument.parse(stdin(), "the document on stdin")
    return store.replace(
        document,
        expect=expect,
        force=force,
        expires_in=expires_in,
        rotation=cast("Rotation | None", rotation),
        reuse_grace=reuse_grace,
        publishing=cast("Publishing | None", publishing),
        same_account=same_account,
        adopt=adopt,
        dry_run=dry_run,
    ).as_dict()


@main.command()
@click.option(
    "--rotation", type=click.Choice(["yes", "no", "unknown"]), help="Does the provider rotate refresh tokens?"
)
@click.option("--reuse-grace", type=Seconds(0), help="Seconds for which it accepts a spent one again.")
@click.option(
    "--publishing",
    type=click.Choice(["testing", "production", "unknown"]),
    help="Is the app's consent screen published?",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@verb
def policy(
    store: TokenStore, *, rotation: str | None, reuse_grace: float | None, publishing: str | None, dry_run: bool
) -> dict[str, Any]:
    """Say what the provider does with refresh tokens; the document stays as it is."""
    return store.declare(
        rotation=cast("Rotation | None", rotation),
        reuse_grace=reuse_grace,
        publishing=cast("Publishing | None", publishing),
        dry_run=dry_run,
    ).as_dict()


@main.command()
@click.option("--force", is_flag=True, help="Renew a token that is still fresh, and do not wait for a back-off.")
@click.option("--min-valid", type=Seconds(0), help="Renew it if it has fewer seconds left than that.")
@click.option("--dry-run", is_flag=True, help="Say whether the provider would be asked, and do not ask it.")
@verb
def refresh(store: TokenStore, *, force: bool, min_valid: float | None, dry_run: bool) -> dict[str, Any]:
    """Renew the access token at the provider, under the volume's lock."""
    return store.refresh(force=force, min_valid=min_valid, dry_run=dry_run).as_dict()


@main.command()
@click.option("--grant", help="Go back to this one and no other; nothing is done where it is current already.")
@verb
def rollback(store: TokenStore, grant: str | None) -> dict[str, Any]:
    """Go back to the newest earlier grant that the provider still accepts."""
    return store.rollback(grant).as_dict()


@main.command()
@click.option(
    "--min-valid",
    type=Seconds(0),
    default=60.0,
    show_default=True,
    help="Seconds that the access token has to live on.",
)
@verb
def verify(store: TokenStore, min_valid: float) -> dict[str, Any]:
    """Check that consumers can work: sound document, living grant, valid access token, writable volume.

    A token that is at its end is renewed first, as a consumer would.
    """
    return verified(store, min_valid)


def verified(store: TokenStore, min_valid: float) -> dict[str, Any]:
    """Return the facts of a document that passes ``verify``.

    Raises:
        TokenKeeperError: it does not pass, with the type that says why.
    """
    token = store.access_token()
    found = store.status()
    if _seconds_left(found) < min_valid:
        store.refresh(rejected=token)
        found = store.status()
        if _seconds_left(found) < min_valid:
            raise ProviderUnavailable(
                f"the new access token in {found.path} lives for {max(_seconds_left(found), 0):.0f} s only",
                reason="ShortLived",
                remedy=f"ask for less than --min-valid {min_valid:g}: the provider's tokens do not live that long",
            )
    for condition in found.conditions:
        if condition["type"] == "ReauthRequired" and condition["status"] == "True" and not found.healthy:
            raise ReauthRequired(
                f"{found.path} still holds a valid access token, but its grant is dead: {condition['message']}",
                reason=condition["reason"],
                remedy="consent again before the token ends: run site.yml",
            )
    if not found.volume["writable"]:
        raise StorageError(
            f"{found.path} is valid, but its directory is not writable for this user: nobody could renew it from here",
            reason="NotWritable",
            remedy="mount the volume read-write and run as its owner",
        )
    return {"valid": True, "generation": found.generation, **found.document}


def _seconds_left(found: Status) -> float:
    left = found.document.get("expires_in")
    return float(left) if left is not None else float("-inf")


@main.command()
@click.option("--reason", default="Cleared", show_default=True, help="A CamelCase word, kept in the tombstone.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@verb
def clear(store: TokenStore, reason: str, dry_run: bool) -> dict[str, Any]:
    """Take the document away on purpose; a tombstone stays, and the history for a way back."""
    if not (reason.isascii() and reason.isalnum() and len(reason) <= 60):
        raise click.BadParameter("is not one word of letters and digits", param_hint="--reason")
    return store.clear(reason, dry_run=dry_run).as_dict()


@main.command()
@click.option("--hold", type=Seconds(0), help="Hold the lock for so many seconds, to see that others are kept out.")
@click.option("--repair", is_flag=True, help="Mend what can be mended without a person, and say what was done.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def doctor(store: TokenStore, hold: float | None, repair: bool, as_json: bool) -> None:
    """Say what is wrong with the volume and what to do; changes nothing unless asked, and exits 10 on an error."""
    from token_keeper.cli.doctor import diagnose  # noqa: PLC0415 - the other verbs start faster without it

    try:
        diagnose(store, hold=hold, mend=repair, as_json=as_json)
    except TokenKeeperError as error:
        fail(error, as_json=as_json)


@main.command()
@click.option("--listen", default="0.0.0.0:9401", show_default=True, help="Where /healthz, /readyz and /metrics are.")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path, readable=False))
@click.pass_obj
def keep(store: TokenStore, listen: str, paths: tuple[Path, ...]) -> None:
    """Keep the token fresh until SIGTERM: renew it ahead of every consumer, and tell how it is.

    Several documents may be named, of one volume or of several; they take the place of --path.
    """
    from token_keeper.cli.keep import keep_running  # noqa: PLC0415 - the other verbs start faster without it

    try:
        keep_running(paths or (store.path,), store.service, listen)
    except TokenKeeperError as error:
        fail(error, as_json=False)


@main.command("init-volume")
@click.option("--uid", type=click.IntRange(0), required=True, help="User that every consumer runs as.")
@click.option("--gid", type=click.IntRange(0), required=True, help="Group of the same.")
@click.option("--mode", default="0700", show_default=True, help="Mode of the directory, octal.")
@click.option("--force", is_flag=True, help="Take over a volume that holds other things than token documents.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@verb
def init_volume(store: TokenStore, *, uid: int, gid: int, mode: str, force: bool, dry_run: bool) -> dict[str, Any]:
    """Give the volume its first owner and mode (as root with CAP_CHOWN)."""
    try:
        bits = int(mode, 8)
    except ValueError:
        raise click.BadParameter(f"{mode!r} is not an octal mode", param_hint="--mode") from None
    if bits & ~0o770 or bits & 0o700 != 0o700:
        raise click.BadParameter(f"{mode} must let the owner in and nobody outside the group", param_hint="--mode")
    from token_keeper.initialise import initialise  # noqa: PLC0415 - needed once in a volume's life

    return initialise(
        store.path.parent, name=store.path.name, uid=uid, gid=gid, mode=bits, force=force, dry_run=dry_run
    ).as_dict()


for step in rotation.VERBS:
    main.add_command(step)
