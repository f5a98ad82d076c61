"""The verbs that replace a grant or a client, or end a grant."""

from __future__ import annotations

from typing import Any, Final, cast

import click

from token_keeper.cli.seconds import Seconds
from token_keeper.cli.verb import stdin, verb
from token_keeper.document import TokenDocument
from token_keeper.rotation_record import Mode
from token_keeper.store import TokenStore

_DRY_RUN: Final = click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
_REVOKE: Final = click.option(
    "--revoke", "revocation_uri", help="Also end it at the provider: its endpoint of RFC 7009."
)
_SEMANTICS: Final = click.option(
    "--revocation",
    "semantics",
    type=click.Choice(["token", "grant"]),
    default="grant",
    show_default=True,
    help="What a revocation ends there: the grant of that token, or all that the account allowed the client.",
)


@click.command()
@click.option(
    "--reason",
    type=click.Choice(["reconsent", "client"]),
    default="reconsent",
    show_default=True,
    help="A new consent for the same client, or for another one.",
)
@click.option("--expires-in", type=Seconds(), help="Seconds of life of the access token, by the sender's clock.")
@click.option("--force", is_flag=True, help="Put it in the place of another one that is staged.")
@_DRY_RUN
@verb
def stage(store: TokenStore, *, reason: str, expires_in: float | None, force: bool, dry_run: bool) -> dict[str, Any]:
    """Keep the document on stdin beside the current one, until it is promoted."""
    document = TokenDocument.parse(stdin(), "the document on stdin")
    return store.rotation.stage(
        document, cast("Mode", reason), expires_in=expires_in, force=force, dry_run=dry_run
    ).as_dict()


@click.command("check-staged")
@click.option("--url", help="What only a good token can GET, such as the calendar API or userinfo.")
@click.option("--tokeninfo", help="Where the token is POSTed as a form, as Google's tokeninfo takes it.")
@verb
def check_staged(store: TokenStore, *, url: str | None, tokeninfo: str | None) -> dict[str, Any]:
    """Show the staged access token to a server of the provider; spends nothing."""
    address = url or tokeninfo
    if address is None or (url and tokeninfo):
        raise click.UsageError("give --url or --tokeninfo")
    return store.rotation.check(address, as_form=url is None).as_dict()


@click.command()
@click.option("--force", is_flag=True, help="Although another grant is current by now than when it was staged.")
@click.option("--unchecked", is_flag=True, help="Although check-staged has not found it good.")
@_DRY_RUN
@verb
def promote(store: TokenStore, *, force: bool, unchecked: bool, dry_run: bool) -> dict[str, Any]:
    """Make the staged document the document; the grant before it stays in the history."""
    return store.rotation.promote(force=force, unchecked=unchecked, dry_run=dry_run).as_dict()


@click.command()
@_REVOKE
@_SEMANTICS
@_DRY_RUN
@verb
def unstage(store: TokenStore, *, revocation_uri: str | None, semantics: str, dry_run: bool) -> dict[str, Any]:
    """Forget the staged document."""
    return store.rotation.unstage(
        revocation_uri=revocation_uri, semantics="token" if semantics == "token" else "grant", dry_run=dry_run
    ).as_dict()


@click.command()
@verb
def converged(store: TokenStore) -> dict[str, Any]:
    """Note that every consumer uses what was promoted."""
    return store.rotation.converged().as_dict()


@click.command()
@_REVOKE
@_SEMANTICS
@click.option("--force", is_flag=True, help="Although nobody noted `converged`, or a program wrote the old one back.")
@_DRY_RUN
@verb
def retire(
    store: TokenStore, *, revocation_uri: str | None, semantics: str, force: bool, dry_run: bool
) -> dict[str, Any]:
    """End the grant that was there before the promotion, or forget the client's earlier secret."""
    return store.rotation.retire(
        revocation_uri=revocation_uri,
        semantics="token" if semantics == "token" else "grant",
        force=force,
        dry_run=dry_run,
    ).as_dict()


@click.command()
@click.option("--back", is_flag=True, help="Go back to the secret before; nothing is read from stdin.")
@click.option("--force", is_flag=True, help="Do not wait for a back-off.")
@click.option("--dry-run", is_flag=True, help="Say whether the provider would be asked, and do not ask it.")
@verb
def reclient(store: TokenStore, *, back: bool, force: bool, dry_run: bool) -> dict[str, Any]:
    """Give the document the new secret of its client: the JSON that the provider's console offers, on stdin.

    One exchange proves it. Where the provider refuses it, everything stays as it was.
    """
    if back:
        return store.rotation.reclient(None, force=force, dry_run=dry_run).as_dict()
    from token_keeper.consent.client_secrets import ClientSecrets  # noqa: PLC0415 - the other verbs start faster

    client = ClientSecrets.parse(stdin(), "the client on stdin")
    return store.rotation.reclient(client.client_secret, client.client_id, force=force, dry_run=dry_run).as_dict()


@click.command()
@click.option("--url", help="The provider's endpoint of RFC 7009.")
@click.option("--local", is_flag=True, help="There is none: take the document away, and let the grant live on there.")
@_DRY_RUN
@verb
def revoke(store: TokenStore, *, url: str | None, local: bool, dry_run: bool) -> dict[str, Any]:
    """End the grant at the provider and take the document away; consumers then say ReauthRequired at once."""
    if bool(url) == local:
        raise click.UsageError("give --url, or --local where the provider has no endpoint for it")
    return store.revoke(url, dry_run=dry_run).as_dict()


VERBS: Final = (stage, check_staged, promote, converged, retire, unstage, reclient, revoke)
