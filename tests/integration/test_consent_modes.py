"""Consent without a browser at hand, several tokens of a host, and what is told of it all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import yaml
from at_a_terminal import Terminal
from deployment import eventually
from leaks import Sampler, found_in
from module_tasks import BIN, ROOT, TokenVolume, docker, play, run_playbook, token_volume

from sandbox_provider.person import _step
from sandbox_provider.testing import CALENDAR_SCOPES, Sandbox, running_sandbox

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

TALKATIVE = {"ANSIBLE_DEBUG": "1", "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "1", "ANSIBLE_DISPLAY_TRACEBACK": "always"}
PROFILE = {
    "name": "another",
    "authorization_parameters": {"access_type": "offline", "prompt": "consent"},
    "refresh_tokens": {"rotation": "yes", "reuse_grace": 30},
}
NO_DESKTOP = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "SSH_TTY")


@pytest.fixture(scope="module")
def provider() -> Iterator[Sandbox]:
    """A provider that gives a new refresh token at each exchange; its client's file names no endpoints."""
    with running_sandbox(rotation=True) as running:
        yield running


def client_of(provider: Sandbox) -> dict[str, str]:
    """Return the client without endpoints: they are found by the issuer."""
    return {"client_id": provider.client.client_id, "client_secret": provider.client.client_secret}


def variables(volume: TokenVolume, provider: Sandbox, folder: Path, **more: Any) -> dict[str, Any]:
    """Return the variables of a role that knows its provider by the issuer alone."""
    client = folder / "client_secret.json"
    client.write_text(json.dumps(client_of(provider)))
    return {
        "token_volume_name": volume.name,
        "token_volume_image": volume.image,
        "oauth_token_image": volume.image,
        "oauth_token_client_secrets_file": str(client),
        "oauth_token_issuer": provider.url,
        "oauth_token_provider": PROFILE,
        "oauth_token_scopes": list(CALENDAR_SCOPES),
        "oauth_token_network": "host",
        **more,
    }


def ends_at(url: str) -> str:
    """Return the address at which a browser ends that finds nothing at the redirect."""
    redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    while not url.startswith(redirect):
        _, location, _ = _step(url, None, {})
        assert location is not None
        url = urljoin(url, location)
    return url


def answer_file(folder: Path, answer: object) -> list[str]:
    """Write an answer as an operator does, and return the arguments that give it."""
    file = folder / "answer.yml"
    file.write_text(yaml.safe_dump({"oauth_token_answer": answer}))
    return ["-e", f"@{file}"]


ROLE = [{"include_role": {"name": "oauth_token"}}]
BOTH = [{"include_role": {"name": "token_volume"}}, *ROLE]


def secrets_of(*documents: dict[str, Any], answers: tuple[str, ...] = (), verifier: str = "") -> dict[str, str]:
    """Return everything that nobody may read, by name."""
    found = {f"code {n}": parse_qs(urlsplit(each).query)["code"][0] for n, each in enumerate(answers)}
    found |= {f"answer {n}": each for n, each in enumerate(answers)}
    for n, document in enumerate(documents):
        found |= {f"{name} {n}": document[name] for name in ("token", "refresh_token", "client_secret")}
    return {**found, "verifier": verifier} if verifier else found


LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def shown_in(output: str, provider: Sandbox) -> str:
    """Return the address that a person is to open."""
    found = re.findall(rf"{re.escape(provider.url)}/o/oauth2/[^\s\"'\\]+", output)
    assert found, output[-4000:]
    return str(found[-1])


def status_of(volume: TokenVolume) -> dict[str, Any]:
    """Return what ``token-keeper status`` says of a volume."""
    found: dict[str, Any] = json.loads(docker(*volume.helper, "status", "--json"))
    return found


def test_an_answer_is_pasted_at_a_terminal_and_shown_nowhere(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path
) -> None:
    told = variables(volume, provider, tmp_path)
    playbook = tmp_path / "play.yml"
    head = {"hosts": "localhost", "gather_facts": False, "tasks": ROLE}
    told |= {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    playbook.write_text(yaml.safe_dump([{**head, "vars": told}]))
    command = [str(BIN / "ansible-playbook"), "-i", "localhost,", str(playbook), "-vvvv", "--diff"]
    environment = {name: value for name, value in os.environ.items() if name not in NO_DESKTOP}
    environment |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1", **TALKATIVE}
    environment |= {"SSH_CONNECTION": "192.0.2.7 50123 192.0.2.9 22", "USER": "deploy"}
    with Sampler() as sampler, Terminal(command, ROOT, environment) as terminal:
        shown = terminal.see("(it is not shown):")
        url = re.search(rf"{re.escape(provider.url)}/o/oauth2/\S+", shown)
        assert url is not None
        port = urlsplit(parse_qs(urlsplit(url[0]).query)["redirect_uri"][0]).port
        assert f"ssh -N -L {port}:127.0.0.1:{port} deploy@192.0.2.9" in shown
        other = f"http://127.0.0.1:{port}/?state=another&code=canary-code-of-another"
        terminal.paste(other)
        terminal.see("State mismatch")
        answer = ends_at(url[0])
        terminal.paste(answer)
        assert terminal.wait() == 0, terminal.screen[-4000:]
    secrets = secrets_of(volume.document(), answers=(other, answer))
    assert found_in(terminal.screen, secrets) == []
    assert sampler.leaks(secrets) == []
    assert "NoSoundDocument" in terminal.screen


def test_two_runs_of_which_the_second_is_given_the_answer(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path
) -> None:
    told = variables(volume, provider, tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        done = run_playbook(tmp_path, ROLE, ["-vvvv", "--diff", *arguments], {"vars": told | LOCAL}, TALKATIVE)
        return done.returncode, done.stdout + done.stderr

    with Sampler() as sampler:
        code, first = run()
        assert code != 0
        url = shown_in(first, provider)
        assert "oauth_token_answer" in first
        verifier = json.loads(volume.inside("cat .token.json.consent"))["verifier"]
        answer = ends_at(url)
        foreign = answer.replace("state=", "state=x")
        code, refused = run(*answer_file(tmp_path, foreign))
        assert code != 0
        assert "belongs to another question" in refused
        assert shown_in(refused, provider) == url, "the same address, as long as it is good"
        code, second = run(*answer_file(tmp_path, [foreign, answer]))
        assert code == 0, second[-4000:]
        before = volume.contents()
        code, third = run(*answer_file(tmp_path, answer))
        assert code == 0
        assert volume.contents() == before, "a run that has nothing to do changes nothing"
    document = volume.document()
    assert provider.accepts(document["token"])
    assert document["token_uri"] == provider.token_uri, "found by the issuer"
    status = status_of(volume)
    assert (status["rotation"], status["reuse_grace"]) == ("yes", 30), "declared by the profile"
    secrets = secrets_of(document, answers=(answer, foreign), verifier=verifier)
    for output in (first, refused, second, third):
        assert found_in(output, secrets) == []
    assert sampler.leaks(secrets) == []


def test_several_tokens_in_one_volume_and_in_two(fresh: TokenVolume, provider: Sandbox, tmp_path: Path) -> None:
    person = f"{sys.executable} {ROOT}/sandbox/sandbox_provider/person.py %s &"
    with token_volume(fresh.image) as other:
        tokens = [
            {"name": "calendar"},
            {"name": "reports", "file": "reports.json", "account": "reports@sandbox.invalid"},
            {"name": "elsewhere", "volume": other.name, "client_secrets_variable": "another_client"},
        ]
        told = variables(fresh, provider, tmp_path, oauth_tokens=tokens, another_client=client_of(provider))
        told |= {"oauth_token_browser": person}
        provider.settings(accounts=["demo@sandbox.invalid", "reports@sandbox.invalid"])
        first = play(tmp_path, *BOTH, play_keywords={"vars": LOCAL | told})
        assert first.code == 0, first.output[-4000:]
        before = fresh.contents(), other.contents()
        assert fresh.inside("ls").split() == ["reports.json", "token.json"]
        assert json.loads(fresh.inside("cat reports.json"))["account"] == "reports@sandbox.invalid"
        second = play(tmp_path, *BOTH, arguments=["-vvvv"], play_keywords={"vars": LOCAL | told})
        assert second.code == 0, second.output[-4000:]
        assert not any(result.get("changed") for result in second.results), second.output[-4000:]
        assert (fresh.contents(), other.contents()) == before
        documents = [json.loads(fresh.inside(f"cat {name}")) for name in ("token.json", "reports.json")]
        assert found_in(first.output + second.output, secrets_of(*documents, other.document())) == []
        kept, said = kept_by_one_keeper(fresh, "token.json", "reports.json")
        for before_it, now in zip(documents, kept, strict=True):
            assert now["token"] != before_it["token"]
            assert now["account"] == before_it["account"]
            assert provider.accepts(now["token"])
        assert found_in(said, secrets_of(*documents, *kept)) == []


def kept_by_one_keeper(volume: TokenVolume, *names: str) -> tuple[list[dict[str, Any]], str]:
    """Let one container keep documents that near their end; return what they are then, and what it has said."""
    mount = f"type=volume,source={volume.name},target=/app/tokens,volume-nocopy"
    paths = [f"/app/tokens/{name}" for name in names]
    for path in paths:
        push = ("--path", path, "push", "--force", "--expires-in", "100")
        docker(*volume.helper, *push, stdin=volume.inside(f"cat {path}"))
    confined = ("--user=999:999", "--read-only", "--cap-drop=ALL", "--network=host", "--mount", mount)
    keeper = f"{volume.name}-keeper"
    docker("run", "--detach", "--name", keeper, *confined, volume.image, "keep", "--listen", "127.0.0.1:0", *paths)
    try:
        logs = ["docker", "logs", keeper]

        def said() -> str:
            return subprocess.run(logs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout

        eventually(lambda: all(f"{path}: renewed" in said() for path in paths), within=60, what="both are renewed")
        docker("stop", keeper)
        return [json.loads(volume.inside(f"cat {path}")) for path in paths], said()
    finally:
        docker("rm", "--force", keeper)
