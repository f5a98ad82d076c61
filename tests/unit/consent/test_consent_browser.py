"""Opening a browser: by name, by command, by BROWSER, and without one."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest

from token_keeper.consent.browser import open_in_background, opener

URL = "http://127.0.0.1:9/?a=1&b=2"


@pytest.fixture(autouse=True)
def fresh_webbrowser(monkeypatch: pytest.MonkeyPatch) -> None:
    """No desktop, no BROWSER, and a webbrowser module that has not looked for them yet."""
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    monkeypatch.setattr(webbrowser, "_browsers", {})


@pytest.fixture
def recorder(tmp_path: Path) -> tuple[Path, Callable[[], str]]:
    """An executable that records its arguments."""
    script, record = tmp_path / "my-browser", tmp_path / "arguments"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {record}\n')
    script.chmod(0o700)
    return script, record.read_text


def test_command_with_a_place_for_the_address(recorder: tuple[Path, Callable[[], str]]) -> None:
    script, read = recorder

    assert opener(f"{script} --new %s")(URL)
    assert read() == f"--new\n{URL}\n"


def test_command_without_a_place_for_the_address(recorder: tuple[Path, Callable[[], str]]) -> None:
    script, read = recorder

    assert opener(str(script))(URL)
    assert read() == f"{URL}\n"


@pytest.mark.parametrize("command", [None, ""])
def test_browser_variable(
    recorder: tuple[Path, Callable[[], str]], monkeypatch: pytest.MonkeyPatch, command: str | None
) -> None:
    script, read = recorder
    monkeypatch.setenv("BROWSER", f"{script} %s")

    assert opener(command)(URL)
    assert read() == f"{URL}\n"


@pytest.mark.parametrize(
    "command", ["/nonexistent/browser", "/nonexistent/browser %s", "false %s", "'unbalanced %s", "%s"]
)
def test_command_that_opens_nothing(command: str) -> None:
    assert opener(command)(URL) is False


def test_no_browser_at_all() -> None:
    assert opener()(URL) is False


def test_browser_for_terminals_is_not_chosen_by_itself(
    recorder: tuple[Path, Callable[[], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, read = recorder
    lynx = script.rename(script.with_name("lynx"))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("PATH", str(lynx.parent), prepend=":")

    assert opener()(URL) is False
    assert not (lynx.parent / "arguments").exists()
    assert opener("lynx")(URL)
    assert read() == f"{URL}\n"


def test_background_does_not_wait_for_the_browser() -> None:
    closed, failed = threading.Event(), threading.Event()

    open_in_background(lambda _url: closed.wait(10), URL, failed.set)

    assert not failed.is_set()
    closed.set()


def test_background_tells_of_failure() -> None:
    def broken(_url: str) -> bool:
        raise RuntimeError

    for cannot in (broken, lambda _url: False):
        failed = threading.Event()
        open_in_background(cannot, URL, failed.set)
        assert failed.wait(5)
