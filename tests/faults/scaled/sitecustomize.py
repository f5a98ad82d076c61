"""Python runs this at the start of each process of the short run, where three times are shorter by one factor.

The token's life is the provider's setting. Here it is google-auth's threshold in the app, and in the keeper the time
ahead of a token's end at which it renews. The keeper looks oftener too, but not by that factor.
"""

from __future__ import annotations

import os

_FACTOR = float(os.environ["TIME_SCALE"])
_LOOKS_A_SECOND = 4

if os.environ["TIME_SCALE_OF"] == "app":
    from google.auth import _helpers

    _helpers.REFRESH_THRESHOLD /= _FACTOR
else:
    from token_keeper.keeper import daemon, schedule

    schedule.AHEAD /= _FACTOR
    schedule._JITTER /= _FACTOR
    daemon.Keeper.__init__.__kwdefaults__["look_every"] /= min(_FACTOR, _LOOKS_A_SECOND)
