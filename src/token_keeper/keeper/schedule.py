"""When the keeper renews: ahead of google-auth's own threshold, with jitter, and not in a loop."""

from __future__ import annotations

from typing import Final

from token_keeper.state import State

AHEAD: Final = 300.0
"""Seconds before a token's end from which it is renewed. An unmodified google-auth app renews at 225 s by itself; with
tokens of ten minutes or more it never sees one closer than four minutes to its end."""

_JITTER: Final = 60.0
_LIFE_SHARE: Final = 0.5
_LATE: Final = 30.0
_LATE_SHARE: Final = 0.25
_ROUNDING: Final = 2.0


def ahead(state: State, spread: float) -> float:
    """Return the seconds before its end from which the volume's token is renewed.

    A token that lives for a minute is not renewed every few seconds: half its life has to be over. How long the
    provider lets tokens live is known from the last exchange; before the first one it is taken to be long.

    Args:
        state: what is known of the volume.
        spread: 0 to 1, this keeper's own place, so that keepers of many volumes don't ask one provider all at once.
    """
    wanted, life = AHEAD + _JITTER * spread, _life(state)
    return wanted if life is None else min(wanted, life * _LIFE_SHARE)


def patience(wanted: float) -> float:
    """Return the seconds for which a keeper that stands by leaves to the active one what is to be done.

    The active one does it within a second, or an exchange's deadline; one that was stopped (SIGSTOP, a paused
    container) keeps the role and does nothing. A token of ten minutes or more is then still renewed four minutes ahead.

    Args:
        wanted: what :func:`ahead` says.
    """
    return min(_LATE, wanted * _LATE_SHARE)


def _life(state: State) -> float | None:
    """Return the seconds of life that the provider gives its tokens, ``None`` where that is not known.

    The state remembers what the last exchange brought. A token that was pushed or adopted since, and came with more,
    shows that this no longer holds (another provider, another setting); one that came with less may be a used one.
    """
    if state.lifetime is None or state.token_life is None:
        return state.lifetime
    return None if state.token_life.seconds > state.lifetime + _ROUNDING else state.lifetime
