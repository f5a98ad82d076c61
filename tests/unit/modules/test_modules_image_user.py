"""Whose the token is: users of images and services as numbers."""

from __future__ import annotations

import pytest
from module_utils.token_keeper_helper import image_user
from module_utils.token_keeper_helper.failure import ModuleFailure
from pretended import Docker, printed, refused

PASSWD = "root:x:0:0:root:/root:/bin/sh\nappuser:x:4321:4322:,,,:/srv:/bin/sh\nbroken\n"
GROUP = "root:x:0:\nappgrp:x:4322:\nextra:x:77:appuser\n"


def archive(text: str) -> str:
    return "h" * 512 + text + "\0" * 1024


@pytest.mark.parametrize(
    ("user", "known"),
    [
        ("appuser", (4321, 4322)),
        ("4321", (4321, 4322)),
        ("appuser:extra", (4321, 77)),
        ("4321:5", (4321, 5)),
        ("1000", (1000, 0)),
        ("1000:extra", (1000, 77)),
        (":extra", (0, 77)),
        ("nobody-here", None),
        ("appuser:nogroup-here", None),
    ],
)
def test_names_and_numbers_are_what_the_engine_makes_of_them(user: str, known: tuple[int, int] | None) -> None:
    assert image_user.identity(user, PASSWD, GROUP) == known


def test_numbers_need_no_image(docker: Docker) -> None:
    assert image_user.resolve(docker.engine, "theirs:1", "1000:1001") == (1000, 1001)
    assert image_user.resolve(docker.engine, "theirs:1", "") == (0, 0)
    assert image_user.resolve(docker.engine, "theirs:1", ":") == (0, 0), "what ${UID}:${GID} is without them"
    assert docker.calls == []


def test_a_name_is_looked_up_in_the_image_and_nothing_of_it_is_run(docker: Docker) -> None:
    docker.on("create", answers=[printed("c0ffee\n")])
    docker.on("cp", "c0ffee:/etc/passwd", answers=[printed(archive(PASSWD))])
    docker.on("cp", "c0ffee:/etc/group", answers=[printed(archive(GROUP))])
    docker.on("rm", answers=[printed("")])
    assert image_user.resolve(docker.engine, "theirs:1", "appuser") == (4321, 4322)
    words = [argv[1] for argv, _ in docker.calls]
    assert words == ["create", "cp", "cp", "rm"]
    assert "--network=none" in docker.calls[0][0]
    assert docker.calls[-1][0][-1] == "c0ffee"


def test_a_user_that_nobody_knows_is_named_and_the_container_goes(docker: Docker) -> None:
    docker.on("create", answers=[printed("c0ffee\n")])
    docker.on("cp", answers=[refused(1, "no such file")])
    docker.on("rm", answers=[printed("")])
    with pytest.raises(ModuleFailure, match=r"the user appuser is not in /etc/passwd.*app_stack_users"):
        image_user.resolve(docker.engine, "theirs:1", "appuser")
    assert docker.calls[-1][0][1] == "rm"
