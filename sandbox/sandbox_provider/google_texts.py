"""Texts that Google's endpoints answer with and that clients have come to know."""

from __future__ import annotations

from typing import Final

EXPIRED_OR_REVOKED: Final = "Token has been expired or revoked."
"""With ``invalid_grant``: the refresh token was good once."""

BAD_REQUEST: Final = "Bad Request"
"""With ``invalid_grant`` and others: anything Google doesn't want to explain."""

CLIENT_AUTH_METHODS: Final = ["client_secret_post", "client_secret_basic"]
"""How clients may authenticate (RFC 6749 section 2.3.1)."""
