"""Token Keeper: one OAuth 2.0 token, shared by many processes, never torn, lost or raced."""
