"""When a grant will die by itself: the dates that a person wants to know days ahead."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from token_keeper.clock import LATEST
from token_keeper.document import TokenDocument
from token_keeper.provider import profile_of
from token_keeper.state import State, timestamp


@dataclasses.dataclass(frozen=True, slots=True)
class Deadline:
    """A date on which the grant dies unless something is done.

    Attributes:
        reason: ``GrantExpires`` (the provider said so), ``TestingEnds`` (the app's consent screen is not published) or
            ``Unused`` (nobody has used the refresh token for too long).
        at: Unix time.
        remedy: what keeps it from dying, or what comes after.
    """

    reason: str
    at: float
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object, with the days that are left, rounded down."""
        days = int((self.at - time.time()) // 86_400)
        return {"reason": self.reason, "at": timestamp(min(self.at, LATEST)), "days_left": days, "remedy": self.remedy}


def deadlines_of(state: State, document: TokenDocument) -> list[Deadline]:
    """Return the dates on which a document's grant will die, the first one first."""
    profile, found = profile_of(document), []
    if state.grant_expiry is not None:
        found.append(Deadline("GrantExpires", state.grant_expiry, "consent again before that day"))
    limited = not profile.untested_scopes.issuperset(document.scopes) or not document.scopes
    if state.publishing == "testing" and state.granted_at is not None and profile.testing_limit is not None and limited:
        found.append(
            Deadline(
                "TestingEnds",
                state.granted_at + profile.testing_limit,
                "publish the app's consent screen, then consent again",
            )
        )
    used_at = max(state.renewed_at or 0.0, state.granted_at or 0.0)
    if profile.idle_limit is not None and used_at:
        found.append(Deadline("Unused", used_at + profile.idle_limit, "each renewal of the token puts it off"))
    return sorted(found, key=lambda deadline: deadline.at)
