"""Refusals by the policy of an organisation, which no other attempt of the client can change."""

from __future__ import annotations

from typing import Final

POLICY_ERRORS: Final[dict[str, dict[str, str]]] = {
    # an administrator allows the app, or the scope, to nobody
    "admin_policy_enforced": {
        "error": "admin_policy_enforced",
        "error_description": "Access to your account data is restricted by policies within your organization. Please"
        " contact the administrator of your organization for more information.",
    },
    # the session control of a Workspace wants the person to sign in again
    "invalid_rapt": {
        "error": "invalid_grant",
        "error_description": "reauth related error (invalid_rapt)",
        "error_uri": "https://support.google.com/a/answer/9368756",
        "error_subtype": "invalid_rapt",
    },
}
"""Bodies of the answers of the token endpoint (RFC 6749 section 5.2), by the kind of fault that brings them."""
