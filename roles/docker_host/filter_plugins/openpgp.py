"""The fingerprint of an OpenPGP key that packages are signed with, told without gpg: a controller may have none."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from ansible.errors import AnsibleFilterError  # type: ignore[import-untyped]

# Headers, one empty line, no other, the sum at the end: whoever reads it otherwise finds no other key in it
_ARMOR: Final = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\n(?:[^\n:]+: [^\n]*\n)*\n"
    r"((?:[^\s-][^\n]*\n)+?)(?:=[A-Za-z0-9+/]{4}\n)?-----END PGP PUBLIC KEY BLOCK-----"
)
_PUBLIC_KEY: Final = 6
_OF_A_KEY: Final = frozenset({2, _PUBLIC_KEY, 13, 14, 17})
"""Signatures, the key, its users, subkeys (RFC 4880, 11.1). Others may hold one more key."""


def fingerprints(text: str) -> list[str]:
    """Return the fingerprints of the primary keys in an armored block, as hex digits (RFC 4880, 12.2).

    Raises:
        ValueError: it holds no such key, or one of another version; the text says which.
    """
    text = _lines(text)
    blocks = _ARMOR.findall(text)
    if not blocks:
        raise ValueError(
            "it holds no armored public key (-----BEGIN PGP PUBLIC KEY BLOCK-----; `gpg --armor --export` writes one)"
        )
    if _ARMOR.sub("", text).strip():
        raise ValueError("it holds more than armored public keys, and apt may take that for keys as well")
    found = []
    for block in blocks:
        try:
            data = base64.b64decode(block.replace("\n", ""), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"its armor is damaged: {error}") from error
        for tag, body in _packets(data):
            if tag not in _OF_A_KEY:
                raise ValueError(f"it holds a packet of type {tag}, which no public key has")
            found += [_fingerprint(body)] if tag == _PUBLIC_KEY else []
    if not found:
        raise ValueError("it holds no public key")
    return found


def trusted(text: str, fingerprint: str) -> str:
    """Return the text of a key, with the ends of lines that apt knows, if its one primary key has this fingerprint.

    Raises:
        AnsibleFilterError: it has another, or there are several, or none can be read.
    """
    if problem := obstacle(text, fingerprint):
        raise AnsibleFilterError(f"docker_host_repository_key: {problem}")
    return _lines(text)


def obstacle(text: str, fingerprint: str) -> str:
    """Say why a key may not be trusted; empty where it may."""
    if not text.strip():
        return "no key could be read there."
    wanted = re.sub(r"[\s:]", "", fingerprint).upper().removeprefix("0X")
    if not re.fullmatch(r"[0-9A-F]{40}", wanted):
        return f"docker_host_repository_fingerprint is {fingerprint!r}, and a fingerprint has 40 hex digits."
    try:
        found = fingerprints(text)
    except ValueError as error:
        return f"{error}."
    if found != [wanted]:
        return f"its fingerprint is {' and '.join(found)}, and docker_host_repository_fingerprint is {wanted}."
    return ""


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def _fingerprint(body: bytes) -> str:
    if body[:1] != b"\x04":
        raise ValueError(f"its key is of version {body[0] if body else 'none'}, and this reads version 4")
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the packets (RFC 4880, 4.2), each as its tag and its body."""
    at = 0
    while at < len(data):
        header = data[at]
        if not header & 0x80:
            raise ValueError("it is damaged: no packet begins where one should")
        if header & 0x40:
            tag, (length, begin) = header & 0x3F, _new_length(data, at + 1)
        else:
            tag, octets = (header >> 2) & 0x0F, (1, 2, 4, 0)[header & 0x03]
            begin = at + 1 + octets
            length = int.from_bytes(data[at + 1 : begin], "big") if octets else len(data) - begin
        if begin + length > len(data):
            raise ValueError("it is damaged: it ends in the middle of a packet")
        yield tag, data[begin : begin + length]
        at = begin + length


def _new_length(data: bytes, at: int) -> tuple[int, int]:
    first = data[at] if at < len(data) else 0
    if first < 192:
        return first, at + 1
    if first < 224:
        return ((first - 192) << 8) + (data[at + 1] if at + 1 < len(data) else 0) + 192, at + 2
    if first == 255:
        return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5
    raise ValueError("it is damaged: a key has no parts of unknown length")


class FilterModule:
    """The filters by the names that templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name, as Ansible asks for them."""
        return {"docker_host_key_obstacle": obstacle, "docker_host_trusted_key": trusted}
