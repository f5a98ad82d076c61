"""Why a host can't be reached, in a few words, and what to do: what SSH says of it is long and names neither."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Obstacle:
    """What is in the way to a host.

    Attributes:
        what: what happened, in a few words.
        remedy: what to do about it, as an order without a full stop.
    """

    what: str
    remedy: str


_BROKE_OFF: Final = Obstacle(
    "the connection broke off", "see whether it is up, or restarts, and what its sshd logs (journalctl -u ssh)"
)
_KNOWN: Final[tuple[tuple[str, Obstacle], ...]] = (
    (
        r"remote host identification has changed|host key for .* has changed",
        Obstacle(
            "its host key has changed since it was last seen",
            "find out whether the machine was made anew; if it was, ssh-keygen -R its address and ssh there once; "
            "if it was not, somebody else answers in its place",
        ),
    ),
    (
        r"host key verification failed|no .* host key is known",
        Obstacle(
            "its host key is not known here",
            "compare its fingerprint and accept it: ssh there once as the user who runs this",
        ),
    ),
    (
        r"could not resolve hostname|name or service not known|nodename nor servname|name resolution",
        Obstacle("its name leads to no address", "correct the name, or give its address in ansible_host"),
    ),
    (
        r"unprotected private key|bad permissions|load key .*: |identity file .* not accessible",
        Obstacle(
            "the private key can't be used",
            "correct ansible_ssh_private_key_file; it has to be readable by you alone (chmod 600)",
        ),
    ),
    (
        r"too many authentication failures|permission denied",
        Obstacle(
            "SSH lets this user in by none of its keys",
            "see that ansible_user exists there and has your public key (ssh-copy-id), and that your agent, or "
            "ansible_ssh_private_key_file, has the private one",
        ),
    ),
    (
        r"privilege escalation prompt",
        Obstacle(
            "it answered no more when the user was to become root",
            "see whether it hangs; if it is only slow, give it longer: timeout in ansible.cfg, or -T 60",
        ),
    ),
    # A connection that was there. Before those that are never made: ssh may say both
    (
        r"server .*not responding|broken pipe|shared connection .*closed|connection reset|connection .* closed by"
        r"|connection closed by|kex_exchange_identification|banner exchange: .*(reset|closed)",
        _BROKE_OFF,
    ),
    (
        r"connection refused",
        Obstacle(
            "SSH is refused: nobody listens at that address and port",
            "see that sshd runs there, and correct ansible_host or ansible_port",
        ),
    ),
    (
        r"timed out|no route to host|network is unreachable|host is down",
        Obstacle(
            "it does not answer",
            "see that it is up, that ansible_host is its address, and that no firewall is in between; where it is only "
            "slow, give it longer: timeout in ansible.cfg, or -T 60",
        ),
    ),
    (
        r"temporary directory|remote_tmp",
        Obstacle("its user can't write to its own folder", "see whether its disk is full, or its home is missing"),
    ),
)
_OTHER: Final = Obstacle("it can't be reached", "see that it is up and that ssh gets there")
_FRAME: Final = re.compile(r"@{3,}")
"""Around what SSH says of a host key that has changed."""
_WORDS: Final = re.compile(
    r"^(task failed: )?(failed to connect to the host via \w+:|data could not be sent to remote host .*?over ssh:)?",
    re.IGNORECASE | re.DOTALL,
)


def obstacle(said: str) -> Obstacle:
    """Tell what is in the way to a host.

    Args:
        said: Ansible's message, with what the SSH client printed.
    """
    words = told(said)
    if said and not words:  # who can't connect is told why; a connection that others share ends in silence
        return _BROKE_OFF
    return next((known for pattern, known in _KNOWN if re.search(pattern, words, re.IGNORECASE)), _OTHER)


def told(said: str) -> str:
    """Return what SSH said, on one line and without Ansible's own words; empty where it said nothing."""
    return " ".join(_WORDS.sub("", _FRAME.sub("", said)).split())
