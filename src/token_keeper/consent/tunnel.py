"""The command that brings a redirect to 127.0.0.1 from another machine's browser to this one."""

from __future__ import annotations

import os
import socket

from token_keeper.consent.loopback import HOST


def ssh_command(port: int) -> str:
    """Return what to run on the machine with the browser, so that ``port`` there leads to the same port here.

    Host and port are what the SSH client has connected to, where this is an SSH session, else this machine's own name.
    """
    connection = os.environ.get("SSH_CONNECTION", "").split()
    host, daemon = connection[2:] if len(connection) == 4 else (socket.gethostname(), "22")
    at = "" if daemon == "22" else f"-p {daemon} "
    return f"ssh -N -L {port}:{HOST}:{port} {at}{os.environ.get('USER') or 'USER'}@{host}"
