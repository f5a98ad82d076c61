"""Calendar Assistant: the reference application that shares one OAuth token through Token Keeper."""
