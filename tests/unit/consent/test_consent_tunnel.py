"""The command that brings a redirect to this machine, as a person copies it."""

from __future__ import annotations

import socket

import pytest

from token_keeper.consent.tunnel import ssh_command


@pytest.mark.parametrize(
    ("connection", "end"),
    [
        ("192.0.2.7 50022 192.0.2.1 22", "deploy@192.0.2.1"),
        ("192.0.2.7 50022 192.0.2.1 2222", "-p 2222 deploy@192.0.2.1"),
        ("2001:db8::7 50022 2001:db8::1 22", "deploy@2001:db8::1"),
        ("", f"deploy@{socket.gethostname()}"),
        ("odd", f"deploy@{socket.gethostname()}"),
    ],
)
def test_it_goes_where_the_session_came_from(connection: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", connection)
    monkeypatch.setenv("USER", "deploy")
    assert ssh_command(8765) == f"ssh -N -L 8765:127.0.0.1:8765 {end}"
