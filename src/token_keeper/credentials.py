"""google-auth credentials that live in a token store."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import google.auth.exceptions
import google.oauth2.credentials

from token_keeper.errors import ProviderUnavailable, TokenCorrupt, TokenKeeperError, TokenMissing

if TYPE_CHECKING:
    from token_keeper.document import TokenDocument
    from token_keeper.store import TokenStore


class StoreCredentials(google.oauth2.credentials.Credentials):
    """Credentials for google API clients whose token comes from, and is renewed in, a shared store.

    They notice a token that somebody else has renewed by themselves, before each request and at the price of one
    ``stat``. google-auth never exchanges anything on its own: its retries would resend a spent refresh token.

    Args:
        store: the store; the credentials may be shared among threads as far as google-auth's own may.
    """

    def __init__(self, store: TokenStore) -> None:
        document = _document(store)
        untyped: Any = super()
        untyped.__init__(
            token=document.token,
            token_uri=document.token_uri,
            client_id=document.client_id,
            scopes=list(document.scopes) or None,
            expiry=_naive(document.expiry),
            account=document.account,
            universe_domain=document.universe_domain,
        )
        self._store = store
        # what a thread has sent, and a server may refuse: another thread may have taken a newer one meanwhile
        self._sent = threading.local()

    def refresh(self, request: Any) -> None:
        """Take a newer token from the store, or have the store renew the one that was refused.

        google-auth calls this when its token is stale and after a 401. Among any number of processes that were
        refused the same token, one exchange is made.

        Raises:
            google.auth.exceptions.RefreshError: with the store's error as its cause.
        """
        del request  # the store has a transport of its own: one attempt, journalled
        try:
            refused = getattr(self._sent, "token", self.token)
            if refused is None:
                self._store.access_token()
            else:
                self._store.refresh(rejected=refused)
            self._take()
        except TokenKeeperError as error:
            retryable = isinstance(error, ProviderUnavailable)
            raise google.auth.exceptions.RefreshError(str(error), retryable=retryable) from error

    def before_request(self, request: Any, method: str, url: str, headers: dict[str, str]) -> None:
        """Put the store's current token into a request's headers.

        Raises:
            google.auth.exceptions.RefreshError: the store has no valid token to give.
        """
        try:
            token = self._store.access_token()
            if token != self.token:
                self._take()
        except TokenKeeperError as error:
            retryable = isinstance(error, ProviderUnavailable)
            raise google.auth.exceptions.RefreshError(str(error), retryable=retryable) from error
        self._sent.token = token
        untyped: Any = self
        untyped.apply(headers, token=token)

    @property
    def refresh_token(self) -> None:
        """Nothing: the refresh token stays in the store."""
        return

    def _take(self) -> None:
        document = _document(self._store)
        self.token, self.expiry = document.token, _naive(document.expiry)

    def _make_copy(self) -> StoreCredentials:
        """Return what google-auth's ``with_quota_project`` and its like start from."""
        return type(self)(self._store)

    def __getstate__(self) -> dict[str, Any]:
        """Refuse to be pickled: a token must not travel in a message or a cache."""
        raise TypeError("credentials of a token store are not pickled; make them anew in each process")


def _document(store: TokenStore) -> TokenDocument:
    """Return the document; one that somebody has torn is mended first, where the volume holds what it takes."""
    try:
        return store.read()
    except (TokenCorrupt, TokenMissing):
        store.access_token()
        return store.read()


def _naive(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None
