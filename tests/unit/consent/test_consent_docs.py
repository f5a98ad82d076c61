"""The page about consent knows every reason with which consent can fail."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_reason_is_explained() -> None:
    sources = [path.read_text() for path in (ROOT / "src/token_keeper/consent").glob("*.py")]
    reasons = {reason for source in sources for reason in re.findall(r'"((?:[A-Z][a-z]+){2,})"', source)}
    reasons.discard("ClientSecrets")  # the class, in __all__
    page = (ROOT / "docs/consent.md").read_text()

    assert {"StateMismatch", "ScopesMissing", "RedirectPortInUse", "ConsentRefused"} <= reasons
    assert {reason for reason in reasons if f"`{reason}`" not in page} == set()
