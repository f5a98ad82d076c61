"""What is judged before anything is installed: keys, files, and why root could not be had."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from test_docker_host_packages import load

OPENPGP = load("filter_plugins/openpgp.py")
PROGRAM = load("filter_plugins/program_file.py")
ROOT_REFUSED = load("filter_plugins/root_refused.py")

# Made with `gpg --quick-generate-key 'Test of packages' ed25519 sign` for this test; gpg tells the same fingerprint
KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawhcmBYJKwYBBAHaRw8BAQdATIty6h83OIOzYoZR3E0FAx2Wh6+iWtmavrV7
09GZrtK0EFRlc3Qgb2YgcGFja2FnZXOIlgQTFgoAPhYhBE8ZuJX4l6d4Dj5lGSxs
4gYBy8o6BQJrCFyYAhsDBQkFo5qABQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJ
ECxs4gYBy8o6tRsBAICW1KupqlMRSvIOpS1PIhTrNSPFr9dkR2R/HV2AvQ35AQDc
IRMKE9IKYMckwDW8kRWHmykKhg4QNazw6KlleLP2Ag==
=hC4i
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINT = "4F19B895F897A7780E3E65192C6CE20601CBCA3A"


def test_a_key_is_known_by_its_fingerprint() -> None:
    assert OPENPGP.fingerprints(KEY) == [FINGERPRINT]
    spaced = " ".join(FINGERPRINT[at : at + 4] for at in range(0, 40, 4)).lower()
    for written in (FINGERPRINT, spaced, f"0x{FINGERPRINT}"):
        assert OPENPGP.obstacle(KEY, written) == ""
        assert OPENPGP.trusted(KEY, written) == KEY
    assert OPENPGP.obstacle(KEY.replace("\n", "\r\n"), FINGERPRINT) == ""
    assert OPENPGP.obstacle(KEY.replace("BLOCK-----\n\n", "BLOCK-----\nComment: ours\n\n"), FINGERPRINT) == ""


OTHER = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"


@pytest.mark.parametrize(
    ("text", "fingerprint", "problem"),
    [
        (KEY, OTHER, f"its fingerprint is {FINGERPRINT}, and docker_host_repository_fingerprint is {OTHER}"),
        (KEY + KEY, FINGERPRINT, f"its fingerprint is {FINGERPRINT} and {FINGERPRINT}"),
        (KEY, FINGERPRINT[-16:], "a fingerprint has 40 hex digits"),
        ("", FINGERPRINT, "no key could be read there"),
        ("<html>sign in</html>", FINGERPRINT, "it holds no armored public key"),
        (KEY.replace("mDM", "m!M"), FINGERPRINT, "its armor is damaged"),
        # What reads armor reads these in its own way: Debian 12's apt all that is base64 below an empty line
        (KEY + KEY.replace("PUBLIC KEY BLOCK", "MESSAGE"), FINGERPRINT, "it holds more than armored public keys"),
        (f"\nmDMEawhc\n{KEY}", FINGERPRINT, "it holds more than armored public keys"),
        (f"{KEY}mDMEawhc\n", FINGERPRINT, "it holds more than armored public keys"),
        (KEY.replace("\n09GZ", "\n\n09GZ"), FINGERPRINT, "it holds no armored public key"),
        (KEY.replace("BLOCK-----\n\n", "BLOCK-----\n \n"), FINGERPRINT, "it holds no armored public key"),
        (KEY.replace("\n09GZ", "\n=hC4i\n09GZ"), FINGERPRINT, "its armor is damaged"),
    ],
    ids=[
        *("another", "one more", "short", "none", "a page", "damaged"),
        *("another block", "before it", "behind it", "an empty line", "no empty line", "an early end"),
    ],
)
def test_no_other_key_is_trusted(text: str, fingerprint: str, problem: str) -> None:
    assert problem in OPENPGP.obstacle(text, fingerprint)
    with pytest.raises(OPENPGP.AnsibleFilterError, match="docker_host_repository_key"):
        OPENPGP.trusted(text, fingerprint)


PACKETS = base64.b64decode("".join(KEY.split("\n\n", 1)[1].split("-----", 1)[0].split("\n")[:-2]))


def armored(packets: bytes) -> str:
    """Packets as a block, without its sum."""
    text = base64.b64encode(packets).decode()
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{text}\n-----END PGP PUBLIC KEY BLOCK-----\n"


def test_half_a_key_is_no_key() -> None:
    assert OPENPGP.obstacle(armored(PACKETS), FINGERPRINT) == ""
    assert "it ends in the middle of a packet" in OPENPGP.obstacle(armored(PACKETS[:30]), FINGERPRINT)


@pytest.mark.parametrize("tag", [5, 8], ids=["a secret key", "something compressed"])
def test_nothing_that_could_be_another_key_is_brought_with_it(tag: int) -> None:
    packet = bytes([0x80 | tag << 2, 3]) + b"any"
    assert f"it holds a packet of type {tag}" in OPENPGP.obstacle(armored(PACKETS + packet), FINGERPRINT)


def test_a_key_that_was_written_on_windows_is_one_for_apt() -> None:
    assert OPENPGP.trusted(KEY.replace("\n", "\r\n"), FINGERPRINT) == KEY


def program(machine: int = 62, bits: int = 2, order: int = 1) -> bytes:
    """The head of an ELF file."""
    return (
        b"\x7fELF"
        + bytes([bits, order, 1])
        + bytes(9)
        + b"\x02\x00"
        + machine.to_bytes(2, "little" if order == 1 else "big")
    )


@pytest.mark.parametrize(
    ("content", "architecture", "problem"),
    [
        (program(), "x86_64", ""),
        (program(183), "aarch64", ""),
        (program(40, bits=1), "armv7l", ""),
        (program(22, order=2), "s390x", ""),
        (program(183), "x86_64", "is a program for aarch64, and the host is x86_64"),
        (program(3, bits=1), "x86_64", "is a program for i386"),
        (program(8), "x86_64", "is a program for machine 8 of 64 bits"),
        (b"#!/bin/sh\necho Docker Compose\n", "x86_64", "is no program: it is no ELF file"),
        (b"", "x86_64", "is no program"),
    ],
)
def test_a_file_is_a_program_for_the_host(tmp_path: Path, content: bytes, architecture: str, problem: str) -> None:
    file = tmp_path / "docker-compose"
    file.write_bytes(content)
    checksum = hashlib.sha256(content).hexdigest()
    for written in (checksum, f"sha256:{checksum}", checksum.upper()):
        found = PROGRAM.obstacle(str(file), written, architecture)
        assert problem in found
        assert bool(found) is bool(problem)


@pytest.mark.parametrize(
    ("checksum", "problem"),
    [
        ("", "a SHA-256 has 64 hex digits"),
        ("d41d8cd98f00b204e9800998ecf8427e", "a SHA-256 has 64 hex digits"),
        ("0" * 64, "and docker_host_compose_checksum is 000"),
    ],
)
def test_a_file_whose_checksum_is_another_is_refused(tmp_path: Path, checksum: str, problem: str) -> None:
    file = tmp_path / "docker-compose"
    file.write_bytes(program())
    assert problem in PROGRAM.obstacle(str(file), checksum, "x86_64")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none on the controller cannot be read" in PROGRAM.obstacle(
        f"{tmp_path}/none", "0" * 64, "x86_64"
    )


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"rc": 1, "msg": "Task failed: Missing sudo password"}, "asks for a password: run with -K"),
        ({"rc": 1, "module_stderr": "sudo: a password is required\n"}, "asks for a password: run with -K"),
        ({"rc": 1, "msg": "Incorrect sudo password"}, "the password was wrong"),
        ({"rc": 1, "stderr": "deploy is not in the sudoers file."}, "an administrator adds deploy"),
        ({"rc": 1, "stderr": "sudo: sorry, you must have a tty to run sudo"}, "`Defaults:deploy !requiretty`"),
        ({"rc": 127, "module_stdout": "/bin/sh: 1: sudo: not found"}, "it is not there: connect as root"),
        ({"rc": 1, "stderr": "sudo: no valid sudoers sources found, quitting"}, "visudo --check"),
        ({"rc": 1, "msg": "Module result deserialization failed: No start of json char found"}, "it ran nothing"),
        ({"rc": 1, "msg": "something\n  else"}, "it says: something else"),
        ({"rc": 0, "stdout": "0"}, ""),
        ({}, ""),
    ],
)
def test_why_root_could_not_be_had_is_said_with_the_remedy(result: dict[str, Any], said: str) -> None:
    found = ROOT_REFUSED.reason(result, "deploy")
    assert said in found
    assert bool(found) is bool(said)


def test_the_first_task_s_failure_is_told_as_it_was_where_it_is_another() -> None:
    told = ROOT_REFUSED.failure({"msg": "Task failed: Missing sudo password"}, "deploy")
    assert told.startswith("deploy cannot become root, as the inventory asks (ansible_become). sudo: it asks for")
    said = "sudo ran nothing on the Docker host (exit code 1), and said nothing"
    told = ROOT_REFUSED.failure({"msg": said}, "deploy")
    assert told.startswith("deploy cannot become root, as the inventory asks (ansible_become). sudo: it ran nothing")
    assert ROOT_REFUSED.failure({"rc": 1, "msg": "no space left"}, "deploy") == "no space left"
