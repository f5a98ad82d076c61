"""What SSH says of a host that can't be reached, and what a person reads of it."""

from __future__ import annotations

import pytest
from module_utils.token_keeper_helper import unreachable

SSH = "Task failed: Failed to connect to the host via ssh: "
CHANGED = (
    "@@@@@@@@@@@@@@@@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@@@@@@@@@@@@@@@@\n"
    "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r\nHost key verification failed."
)
SAID = {
    "ssh: connect to host 192.0.2.1 port 22: Connection refused": ("refused", "ansible_port"),
    "ssh: connect to host 192.0.2.1 port 22: Connection timed out": ("not answer", "firewall"),
    "ssh: connect to host 192.0.2.1 port 22: No route to host": ("not answer", "it is up"),
    "Connection timed out during banner exchange\r\nConnection to 192.0.2.1 port 22 timed out": ("not answer", "-T"),
    "ssh: Could not resolve hostname nobody.example.com: Name or service not known": ("no address", "ansible_host"),
    CHANGED: ("host key has changed", "ssh-keygen -R"),
    "No ED25519 host key is known for a and you have requested strict checking.\nHost key verification failed.": (
        "not known",
        "fingerprint",
    ),
    "deploy@192.0.2.1: Permission denied (publickey).": ("none of its keys", "ssh-copy-id"),
    'Load key "/home/me/key": bad permissions\ndeploy@192.0.2.1: Permission denied (publickey).': (
        "private key",
        "600",
    ),
    "Shared connection to 192.0.2.1 closed.": ("broke off", "is up"),
    "Timeout, server 192.0.2.1 not responding.\r\n": ("broke off", "is up"),
    "mux_client_request_session: read from master failed: Broken pipe": ("broke off", "is up"),
    "kex_exchange_identification: read: Connection reset by peer": ("broke off", "sshd logs"),
}


@pytest.mark.parametrize("said", SAID)
def test_each_way_is_told_from_the_others_and_has_a_remedy(said: str) -> None:
    what, remedy = SAID[said]
    found = unreachable.obstacle(SSH + said)
    assert what in found.what
    assert remedy in found.remedy


def test_a_host_that_does_not_answer_sudo_is_told() -> None:
    found = unreachable.obstacle("Timeout (22s) waiting for privilege escalation prompt: ")
    assert "become root" in found.what


def test_what_nobody_knows_has_a_remedy_as_well() -> None:
    found = unreachable.obstacle("Could not create container")
    assert (found.what, "ssh gets there" in found.remedy) == ("it can't be reached", True)


def test_what_was_said_is_told_without_frame_and_without_words_of_ansible() -> None:
    assert unreachable.told(SSH + "ssh: connect to host a port 1: Connection refused\n") == (
        "ssh: connect to host a port 1: Connection refused"
    )
    assert unreachable.told(SSH + CHANGED).startswith("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @ IT IS")
    assert unreachable.told(SSH) == ""
    sent = 'Task failed: Data could not be sent to remote host "a". Make sure it can be reached over ssh: ssh: refused'
    assert unreachable.told(sent) == "ssh: refused"


def test_a_connection_that_ends_in_silence_broke_off() -> None:
    silent = 'Task failed: Data could not be sent to remote host "a". Make sure this host can be reached over ssh: '
    assert unreachable.obstacle(silent).what == "the connection broke off"
    assert unreachable.obstacle("").what == "it can't be reached"
