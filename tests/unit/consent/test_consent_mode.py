"""Which mode is chosen where nobody has named one."""

from __future__ import annotations

import pytest

from token_keeper.consent import choose_mode

SSH = {"SSH_CONNECTION": "192.0.2.7 50022 192.0.2.1 22", "SSH_TTY": "/dev/pts/0"}


@pytest.mark.parametrize(
    ("environ", "terminal", "platform", "mode"),
    [
        ({"DISPLAY": ":0"}, True, "linux", "loopback"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True, "linux", "loopback"),
        ({}, True, "darwin", "loopback"),
        ({"BROWSER": "firefox"}, False, "linux", "loopback"),
        ({"BROWSER": "my-helper", **SSH}, True, "linux", "loopback"),
        ({}, True, "linux", "paste"),
        ({"DISPLAY": ""}, True, "linux", "paste"),
        ({"DISPLAY": "localhost:10.0", **SSH}, True, "linux", "paste"),
        ({"SSH_CONNECTION": SSH["SSH_CONNECTION"]}, True, "darwin", "paste"),
        ({"SSH_TTY": "/dev/pts/0", "DISPLAY": ":0"}, True, "linux", "paste"),
        ({}, False, "linux", "two_step"),
        (SSH, False, "linux", "two_step"),
    ],
)
def test_mode(environ: dict[str, str], terminal: bool, platform: str, mode: str) -> None:
    assert choose_mode(terminal=terminal, environ=environ, platform=platform) == mode
