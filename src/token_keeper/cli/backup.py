"""The verbs that take a backup and put it back; it leaves encrypted, in ansible-vault's format."""

from __future__ import annotations

from typing import Any

import click

from token_keeper.cli.output import emit, fail
from token_keeper.cli.verb import internal, stdin, verb
from token_keeper.errors import BackupError, TokenKeeperError
from token_keeper.store import TokenStore


@click.command()
@click.option("--host", default="", help="Name of the host, noted in the backup.")
@click.option("--volume", default="", help="Name of the volume, noted likewise.")
@click.option("--vault-id", help="Label of the vault password, in the text's first line; none by default.")
@click.option("--known", help="Fingerprint of a document that needs no other backup.")
@click.option("--dry-run", is_flag=True, help="Say what would be backed up, and make nothing; needs no password.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, with the text in it; errors too.")
@click.pass_obj
def backup(store: TokenStore, /, *, as_json: bool, **options: Any) -> None:
    """Print a backup of the document, encrypted with the vault password on stdin; ansible-vault opens it.

    What it holds besides the document is enough to restore it safely. The volume stays as it is.
    """
    try:
        result = _taken(store, **options)
    except TokenKeeperError as error:
        fail(error, as_json=as_json)
    except Exception as error:
        fail(internal(error), as_json=as_json)
    if as_json or "vault" not in result:
        emit(result, as_json=as_json)
    else:
        click.echo(result["vault"], nl=False)


@click.command()
@click.option("--force", is_flag=True, help="Although it was rotated away, or is of another account, client or grant.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@verb
def restore(store: TokenStore, *, force: bool, dry_run: bool) -> dict[str, Any]:
    """Put a backup into the volume, unless what is there is newer.

    On stdin: the vault password and behind it the backup, as `cat vault_password backup.vault` prints them; or what
    `ansible-vault view` prints of it.
    """
    from token_keeper.backup import MAX_BYTES, Backup  # noqa: PLC0415 - the other verbs start faster without it

    data = stdin(MAX_BYTES)
    if len(data) > MAX_BYTES:
        raise BackupError(
            f"what is on stdin is larger than {MAX_BYTES} bytes: no backup is",
            reason="NotABackup",
            remedy="give the vault password and a file that backup_token.yml or `token-keeper backup` has made",
        )
    return store.restore(Backup.parse(_plain(data), "the backup on stdin"), force=force, dry_run=dry_run).as_dict()


def _taken(
    store: TokenStore, *, host: str, volume: str, vault_id: str | None, known: str | None, dry_run: bool
) -> dict[str, Any]:
    from token_keeper import report  # noqa: PLC0415 - the other verbs start faster without them
    from token_keeper.vaulttext import encrypt  # noqa: PLC0415

    password = b"" if dry_run else stdin()
    taken = store.backup(host=host, volume=volume)
    unchanged = known is not None and known == taken.document.fingerprint
    told = {
        "changed": not unchanged,
        "reason": "Unchanged" if unchanged else "Taken",
        **taken.facts(),
        "document": report.describe(taken.document),
    }
    if unchanged or dry_run:
        return told
    return {**told, "vault": encrypt(taken.to_json().encode(), password, vault_id)}


def _plain(data: bytes) -> bytes:
    from token_keeper.vaulttext import MARK, decrypt  # noqa: PLC0415 - see restore

    # The text is hexadecimal: its mark can't be in it a second time, nor can it end as JSON does. How the data begins
    # says nothing, because a password may begin with a brace.
    at = data.rfind(MARK)
    return decrypt(data[at:], data[:at]) if at >= 0 and not data.rstrip().endswith(b"}") else data
