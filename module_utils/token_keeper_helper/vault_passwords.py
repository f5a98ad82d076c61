"""The vault passwords that the operator has given Ansible, in memory; it runs on the controller only."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible import constants  # type: ignore[import-untyped]
from ansible.errors import AnsibleError  # type: ignore[import-untyped]
from ansible.parsing.vault import (  # type: ignore[import-untyped]
    AnsibleVaultFormatError,
    VaultLib,
    is_encrypted,
    match_encrypt_secret,
)

from .failure import ModuleFailure

_GIVE = (
    "give the vault password as for any playbook: --vault-password-file, --vault-id, --ask-vault-pass, or "
    "ANSIBLE_VAULT_PASSWORD_FILE"
)


@dataclasses.dataclass(frozen=True)
class VaultPasswords:
    """Vault passwords by their vault ids, in the order in which they were given."""

    secrets: list[tuple[str, Any]] = dataclasses.field(repr=False)

    @classmethod
    def of(cls, loader: Any) -> VaultPasswords:
        """Return those that Ansible's loader was given.

        Raises:
            ModuleFailure: ``PasswordMissing``.
        """
        # the loader has no public way to them; Ansible's own lookups take this one
        secrets = list(loader._vault.secrets or [])
        if not secrets:
            raise ModuleFailure(
                "BackupError", "PasswordMissing", "what is encrypted needs one, and no vault password is given", _GIVE
            )
        return cls(secrets)

    def to_encrypt_with(self) -> tuple[str, bytes]:
        """Return vault id and password that ``ansible-vault encrypt`` would take.

        Raises:
            ModuleFailure: ANSIBLE_VAULT_ENCRYPT_IDENTITY names one that was not given, or it is one that no file or
                prompt can give again.
        """
        try:
            label, secret = match_encrypt_secret(self.secrets, constants.DEFAULT_VAULT_ENCRYPT_IDENTITY)
        except AnsibleError as error:
            raise ModuleFailure("BackupError", "PasswordMissing", str(error.message), _GIVE) from None
        password = bytes(secret.bytes)
        if password != password.strip():
            # Ansible takes white space off what is in a file or typed, but not off what a script prints
            raise ModuleFailure(
                "BackupError",
                "PasswordPadded",
                "the vault password, as its script prints it, has white space before or behind it",
                "let the script print it without; nothing was changed",
            )
        return str(label), password

    def opened(self, text: bytes, where: str) -> bytes:
        """Return what is in a file of ansible-vault, opened by Ansible's own code.

        Args:
            text: the file's content.
            where: its path, for the message.

        Raises:
            ModuleFailure: it is no such file (``NotAVault``), is torn (``Torn``), or none of the passwords opens it
                (``NotOpened``).
        """
        if not is_encrypted(text):
            raise ModuleFailure(
                "BackupError",
                "NotAVault",
                f"{where} is not encrypted with ansible-vault, as a backup is",
                "name a file that playbooks/backup_token.yml has made; nothing was changed",
            )
        try:
            return bytes(VaultLib(self.secrets).decrypt(text))
        except AnsibleVaultFormatError:
            raise ModuleFailure(
                "BackupError",
                "Torn",
                f"{where} is torn: a part of it is missing or damaged",
                "name another file; nothing was changed",
            ) from None
        except AnsibleError:
            raise ModuleFailure(
                "BackupError",
                "NotOpened",
                f"none of the vault passwords opens {where}, or it was damaged since it was made",
                "give the vault password that it was made with (--vault-password-file, --vault-id), or name another "
                "file; nothing was changed",
            ) from None
