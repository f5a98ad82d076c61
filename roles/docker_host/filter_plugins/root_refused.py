"""Why root could not be had on a host, as a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

_UNKNOWN: Final = "it says: "
_CAUSES: Final = (
    (
        ("a password is required", "missing sudo password", "no password was provided", "missing su password"),
        "it asks for a password: run with -K (--ask-become-pass), or name it as ansible_become_password in a vault.",
    ),
    (
        (
            "incorrect sudo password",
            "incorrect password",
            "sorry, try again",
            "authentication failure",
            "incorrect su password",
        ),
        "the password was wrong: run with -K again, or correct ansible_become_password.",
    ),
    (
        ("not in the sudoers file", "may not run sudo", "is not allowed to run sudo", "is not allowed to execute"),
        "it does not let {user}: an administrator adds {user} (`adduser {user} sudo`, or a file in /etc/sudoers.d), or "
        "connect as somebody else (ansible_user).",
    ),
    (
        ("must have a tty", "no tty present", "a terminal is required"),
        "it demands a terminal (requiretty): `Defaults:{user} !requiretty` in /etc/sudoers.d lifts that for this user.",
    ),
    (
        ("sudo: not found", "sudo: command not found", "not found: sudo", "sudo: no such file"),
        "it is not there: connect as root (ansible_user), have it installed, or name another (ansible_become_method).",
    ),
    (
        ("no start of json char found", "ran nothing on the docker host"),  # what it says of itself is lost then
        "it ran nothing: see on the host what `sudo -l` says for {user}; root is what it has to allow.",
    ),
    (
        ("/etc/sudoers", "no valid sudoers sources"),
        "its own configuration is broken: have `visudo --check` run on the host.",
    ),
)


def reason(result: Mapping[str, Any] | None, user: str) -> str:
    """Say why a task that becomes root has failed.

    Args:
        result: what was registered of it.
        user: who it was tried as.

    Returns:
        A sentence that follows on "sudo:"; empty where the task went well, or says nothing of it.
    """
    if not result or result.get("rc") == 0:
        return ""
    said = " ".join(
        str(result.get(part) or "") for part in ("msg", "stderr", "module_stderr", "stdout", "module_stdout")
    ).strip()
    for signs, remedy in _CAUSES:
        if any(sign in said.lower() for sign in signs):
            return remedy.format(user=user)
    return f"{_UNKNOWN}{' '.join(said.split())[:300]}" if said else ""


def failure(result: Mapping[str, Any], user: str) -> str:
    """Say why the first task on a host has failed: for want of root, with what to do; else as it was told."""
    said = reason(result, user)
    if said and not said.startswith(_UNKNOWN):
        return f"{user} cannot become root, as the inventory asks (ansible_become). sudo: {said} Nothing was changed."
    return str(result.get("msg") or said)


class FilterModule:
    """The filters by the names that templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name, as Ansible asks for them."""
        return {"docker_host_root_refused": reason, "docker_host_failure": failure}
