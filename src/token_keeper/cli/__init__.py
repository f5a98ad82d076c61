"""The ``token-keeper`` command: the store's verbs for a shell, a playbook and a health check."""

from token_keeper.cli.main import main

__all__ = ["main"]
