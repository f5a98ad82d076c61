"""The keeper: a daemon that renews the token ahead of everybody else, so that apps in any language need only read."""

from token_keeper.keeper.daemon import Keeper
from token_keeper.keeper.several import SeveralKeepers

__all__ = ["Keeper", "SeveralKeepers"]
