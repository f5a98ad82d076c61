"""``python -m token_keeper``: the same as the ``token-keeper`` command."""

from token_keeper.cli import main

main()
