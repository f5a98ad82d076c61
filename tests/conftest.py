"""Settings for all tests."""

from __future__ import annotations

import hypothesis

# a machine that is busy with other things makes no test wrong
hypothesis.settings.register_profile("kit", deadline=None)
hypothesis.settings.load_profile("kit")
