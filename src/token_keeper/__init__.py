"""Token Keeper: one OAuth 2.0 token, shared by many processes, never torn, lost or raced.

store = TokenStore("/app/tokens/token.json")
headers = {"Authorization": f"Bearer {store.access_token()}"}
calendar = build("calendar", "v3", credentials=store.credentials())
"""

from token_keeper.document import TokenDocument
from token_keeper.errors import TokenKeeperError
from token_keeper.fingerprint import fingerprint
from token_keeper.store import Snapshot, TokenStore

__all__ = ["Snapshot", "TokenDocument", "TokenKeeperError", "TokenStore", "fingerprint"]
