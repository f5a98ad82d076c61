"""When the keeper renews: ahead of google-auth's own threshold, with jitter, and not in a loop."""

from __future__ import annotations

from typing import Final

from token_keeper.state import State

AHEAD: Final = 300.0
"""Seconds before a token's end from which it is renewed. An unmodified google-auth app renews at 225 s by itself; with
tokens of ten minutes or more it never sees one closer than four minutes to its end."""

_JITTER: Final = 60.0
_LIFE_SHARE: Final = 0.5


def ahead(state: State, spread: float) -> float:
    """Return the seconds before its end from which the volume's token is renewed.

    A token that lives for a minute is not renewed every few seconds: half its life has to be over. How long the
    provider lets tokens live is known from the last exchange; before the first one it is taken to be long.

    Args:
        state: what is known of the volume.
        spread: 0 to 1, this keeper's own place, so that keepers of many volumes don't ask one provider all at once.
    """
    wanted = AHEAD + _JITTER * spread
    return wanted if state.lifetime is None else min(wanted, state.lifetime * _LIFE_SHARE)
