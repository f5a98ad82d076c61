"""A document on its way to a person: sealed until then, into a file or onto a terminal that somebody sits at."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator

import pytest
from module_utils.token_keeper_helper import disclosure
from module_utils.token_keeper_helper.failure import ModuleFailure
from module_utils.token_keeper_helper.process import Completed
from pretended import ROOT, Docker, error, refused

from token_keeper import sealing

DOCUMENT = {
    "token": "ya29.canary",
    "refresh_token": "1//canary",
    "token_uri": "https://provider.example/token",
    "client_id": "client",
    "client_secret": "GOCSPX-canary",
    "scopes": ["calendar"],
}


def sealed(docker: Docker, data: bytes = json.dumps(DOCUMENT).encode(), *, key: bytes | None = None) -> None:
    """Have the helper answer as ``show --sealed`` does, with the key that it got or with another one."""

    def answer() -> Completed:
        stdin = docker.calls[-1][1]
        assert stdin is not None
        told = {"generation": 8, "sealed": sealing.seal(data, key or sealing.key_of_text(stdin))}
        return Completed(0, json.dumps(told), "")

    docker.on("show", answers=[answer])


def test_the_document_comes_by_a_key_that_only_standard_input_has(docker: Docker) -> None:
    sealed(docker)
    found = disclosure.disclosed(docker.helper)
    assert json.loads(found.text)["refresh_token"] == "1//canary"
    assert found.generation == 8
    assert "canary" not in repr(found)
    [(argv, stdin)] = docker.calls
    assert stdin is not None
    assert stdin.decode().strip() not in " ".join(argv)


def test_each_call_has_a_key_of_its_own(docker: Docker) -> None:
    sealed(docker)
    for _ in range(2):
        disclosure.disclosed(docker.helper)
    first, second = (stdin for _, stdin in docker.calls)
    assert first != second


@pytest.mark.parametrize("data", [b"{}", b"canary"])
def test_what_is_no_document_is_not_quoted(docker: Docker, data: bytes) -> None:
    sealed(docker, data)
    with pytest.raises(ModuleFailure) as caught:
        disclosure.disclosed(docker.helper)
    assert caught.value.kind == "TokenCorrupt"
    assert "canary" not in str(caught.value.as_result())


def test_what_was_sealed_with_another_key_is_refused(docker: Docker) -> None:
    sealed(docker, key=sealing.new_key())
    with pytest.raises(ModuleFailure) as caught:
        disclosure.disclosed(docker.helper)
    assert caught.value.reason == "SealBroken"


def test_an_image_of_an_earlier_release_and_a_volume_without_a_document_are_told(docker: Docker) -> None:
    docker.on("show", answers=[refused(2, "Error: No such option: --sealed"), error("TokenMissing", "NoDocument", 3)])
    with pytest.raises(ModuleFailure) as caught:
        disclosure.disclosed(docker.helper)
    assert caught.value.reason == "ImageUnsuitable"
    with pytest.raises(ModuleFailure) as caught:
        disclosure.disclosed(docker.helper)
    assert caught.value.kind == "TokenMissing"


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal: the person's, and the program's."""
    person, program = pty.openpty()
    try:
        yield person, program
    finally:
        os.close(person)
        os.close(program)


def seen(person: int, until: str) -> str:
    screen = ""
    while until not in screen:
        assert select.select([person], [], [], 20)[0], screen
        screen += os.read(person, 4096).decode()
    return screen


def shown(program: int) -> tuple[threading.Thread, list[str]]:
    failures: list[str] = []

    def show() -> None:
        try:
            disclosure.Screen(program).show("The document", "canary")
        except ModuleFailure as failure:
            failures.append(failure.reason)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    return thread, failures


@pytest.mark.parametrize("kind", ["xterm", "dumb"])
def test_it_is_shown_to_who_presses_enter_until_they_do_so_again(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("TERM", kind)
    person, program = terminal
    before = termios.tcgetattr(program)
    os.write(person, b"\r")  # typed before anything was asked
    assert select.select([program], [], [], 20)[0], "it is there, and not still on its way through the kernel"
    thread, failures = shown(program)
    assert "canary" not in seen(person, "or Ctrl-C.")
    os.write(person, b"\r")
    screen = seen(person, "Enter takes this off the screen again." if kind == "xterm" else "Enter goes on.")
    assert "canary" in screen
    assert ("\x1b[?1049h" in screen) == (kind == "xterm")
    os.write(person, b"\x03" if kind == "xterm" else b"\r")
    thread.join(20)
    assert not thread.is_alive()
    assert failures == []
    if kind == "xterm":
        assert "canary" not in seen(person, "\x1b[?1049l")
    assert termios.tcgetattr(program) == before


@pytest.mark.parametrize("leaves", [True, False], ids=["ctrl-c", "nobody"])
def test_nobody_is_shown_nothing(terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch, leaves: bool) -> None:
    monkeypatch.setattr(disclosure, "_PATIENCE", 20.0 if leaves else 0.2)
    person, program = terminal
    thread, failures = shown(program)
    screen = seen(person, "or Ctrl-C.")
    if leaves:
        os.write(person, b"\x03")
    thread.join(20)
    assert failures == ["NobodyThere"]
    assert "canary" not in screen
    assert not select.select([person], [], [], 0)[0]


def test_without_a_terminal_there_is_none() -> None:
    look = "import sys; sys.path.insert(0, 'plugins/action'); import token_reveal; print(token_reveal._TERMINAL)"
    ended = subprocess.run(
        [sys.executable, "-c", look],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert ended.stdout.strip() == "None", ended.stderr
