"""The provider's address as whoever asks has reached it: browsers, containers and tunnels each know another one."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from flask import request

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def reached_at(public_url: str) -> str:
    """Return the address by which the request that is under way came, without a slash at its end.

    It is also the issuer's name there: RFC 8414 section 3.3 wants the issuer in the metadata to be the address from
    which they were fetched, and a client compares the ``iss`` of an answer with that.

    Args:
        public_url: the configured address; it keeps its scheme and path, and serves requests whose Host says nothing.
    """
    host = request.host
    if host == urlsplit(public_url).netloc or not _HOST.fullmatch(host):
        return public_url
    return f"{request.scheme}://{host}"
