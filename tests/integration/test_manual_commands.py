"""The manual way of looking after the token: each of its commands, and what takes its place.

`docs/manual-commands.md` has a row for each test here; the last test holds the two against each other.
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from deployment import ROOT, Deployment, Run, docker, eventually, run
from leaks import found_in
from programs import READER, WATCHER, asked, outcome, ready, started

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

DOCUMENT_FIELDS = {"token", "refresh_token", "token_uri", "client_id", "client_secret", "scopes", "expiry"}


def shell(deployment: Deployment, command: str) -> Run:
    """Run a manual command as a person would, in the project's folder."""
    return run(["sh", "-c", command], cwd=deployment.project_dir, environment=deployment.environment())


def document(deployment: Deployment) -> dict[str, Any]:
    """Return the document as stock code reads it."""
    said = shell(deployment, "docker compose exec -T api cat /app/tokens/token.json").succeeded()
    found: dict[str, Any] = json.loads(said.output)
    return found


def use(deployment: Deployment) -> None:
    """Have the application use the token against the calendar."""
    deployment.get(f"{deployment.api}/calendar/calendars")


def is_mended(deployment: Deployment, before: dict[str, Any]) -> None:
    """Use the token, which is served all the while, until its file is as it was: whoever spoiled it may be at it."""

    def whole() -> bool:
        use(deployment)
        found = shell(deployment, "docker compose exec -T api cat /app/tokens/token.json").succeeded().output
        return bool(found.strip().endswith("}") and json.loads(found) == before)

    eventually(whole, within=120, what="the document is put back")


def test_site_obtains_the_token(deployment: Deployment) -> None:
    assert deployment.counters()["exchanges"]["authorization_code"] >= 1
    assert document(deployment).keys() >= DOCUMENT_FIELDS


def test_site_pushes_into_the_volume(deployment: Deployment) -> None:
    listing = docker("exec", deployment.container("api"), "stat", "-c", "%a %u:%g", "/app/tokens/token.json")
    assert listing.split() == ["600", "999:999"]


def test_site_starts_the_stack(deployment: Deployment) -> None:
    services = shell(deployment, "docker compose ps --services --status running").succeeded().output.split()
    assert set(services) == {"api", "celery", "redis"}


def test_view_the_token(deployment: Deployment) -> None:
    secrets = document(deployment)
    shown = shell(deployment, "docker compose exec -T api token-keeper show").succeeded()
    assert secrets["token_uri"] in shown.output
    for name in ("token", "refresh_token", "client_secret"):
        assert secrets[name] not in shown.output


def test_reveal_the_token(deployment: Deployment, tmp_path: Path) -> None:
    shown = deployment.playbook("playbooks/show_token.yml").succeeded()
    assert (shown.changed, deployment.status()["document"]["refresh_token_fingerprint"] in shown.output) == (0, True)
    file = tmp_path / "token.json"
    asked = ("-e", "reveal=true", "-e", f"reveal_to={file}")
    # with all that makes Ansible talk
    revealed = deployment.playbook("playbooks/show_token.yml", "-vvvv", *asked, ANSIBLE_DEBUG="1").succeeded()
    found = json.loads(file.read_text())
    assert found["refresh_token"] == document(deployment)["refresh_token"]
    assert (stat.S_IMODE(file.stat().st_mode), revealed.changed) == (0o600, 1)
    secrets = {name: found[name] for name in ("token", "refresh_token", "client_secret")}
    assert found_in(shown.output + revealed.output, secrets) == []


def test_copy_the_token_out(deployment: Deployment, tmp_path: Path) -> None:
    backup = deployment.state_home / "backup-token.json"
    command = f"docker compose exec -T api cat /app/tokens/token.json > {backup}"
    try:
        shell(deployment, command).succeeded()
        assert json.loads(backup.read_text()) == document(deployment)
    finally:
        backup.unlink()

    password = tmp_path / "vault_password"
    password.write_text("correct horse")
    folder = json.dumps({"token_backup_dir": str(tmp_path / "backups")})
    vault = ["--vault-password-file", str(password), "-e", folder]
    deployment.playbook("playbooks/backup_token.yml", *vault).succeeded()
    (encrypted,) = (tmp_path / "backups").iterdir()
    assert document(deployment)["refresh_token"] not in encrypted.read_text()


def test_replace_the_token(deployment: Deployment, tmp_path: Path) -> None:
    before = deployment.status()["generation"]
    new = json.dumps({**document(deployment), "account": "somebody@example.com"})
    push = ["docker", "compose", "exec", "-T", "api", "token-keeper", "push", "--json", "--expect"]

    def pushed(expect: int) -> dict[str, Any]:
        ended = subprocess.run(
            [*push, str(expect)], cwd=deployment.project_dir, input=new, capture_output=True, text=True, check=False
        )
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    assert pushed(before + 7)["error"]["type"] == "Conflict"
    assert pushed(before)["generation"] == before + 1
    assert document(deployment)["account"] == "somebody@example.com"
    use(deployment)

    file = tmp_path / "new.json"
    file.write_text(json.dumps({**document(deployment), "account": "Somebody@example.com"}))
    file.chmod(0o600)
    deployment.playbook("playbooks/replace_token.yml", "-e", f"document_file={file}", "-e", "force=true").succeeded()
    assert document(deployment)["account"] == "Somebody@example.com"
    use(deployment)


def test_tee_is_mended(deployment: Deployment) -> None:
    before = document(deployment)
    shell(deployment, """echo '{"new": "token"}' | docker compose exec -T api tee /app/tokens/token.json""").succeeded()
    is_mended(deployment, before)


def test_volume_is_listed(deployment: Deployment) -> None:
    assert deployment.volume in shell(deployment, "docker volume ls | grep token_data").succeeded().output


def test_emptied_by_hand_is_mended(deployment: Deployment) -> None:
    before = document(deployment)
    shell(deployment, """docker compose exec -T api sh -c 'echo "" > /app/tokens/token.json'""").succeeded()
    is_mended(deployment, before)


def test_clear_the_token(deployment: Deployment) -> None:
    kept = document(deployment)
    shell(deployment, "docker compose exec -T api token-keeper clear").succeeded()
    try:
        gone = shell(deployment, "docker compose exec -T api token-keeper show --json")
        assert json.loads(gone.output)["error"]["type"] == "TokenMissing"
    finally:
        subprocess.run(
            ["docker", "compose", "exec", "-T", "api", "token-keeper", "push", "--force"],
            cwd=deployment.project_dir,
            input=json.dumps(kept),
            text=True,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    use(deployment)


def test_regenerate_after_clear(deployment: Deployment) -> None:
    consents = deployment.counters()["exchanges"]["authorization_code"]
    shell(deployment, "docker compose exec -T api token-keeper clear").succeeded()
    deployment.playbook("site.yml").succeeded()
    assert deployment.counters()["exchanges"]["authorization_code"] == consents + 1
    use(deployment)


def test_which_containers_see_the_token(deployment: Deployment) -> None:
    listings = {
        shell(deployment, f"docker compose exec -T {target} ls -la /app/tokens/token.json").succeeded().output
        for target in ("api", "celery", "--index 2 celery")
    }
    assert len(listings) == 1
    report = deployment.playbook("playbooks/verify.yml", "-e", "mode=observe").succeeded()
    for name in deployment.consumers():
        assert name in report.output


def test_restart_keeps_the_token(deployment: Deployment) -> None:
    before = document(deployment)
    shell(deployment, "docker compose restart").succeeded()
    eventually(lambda: _ready(deployment), within=90, what="the api is ready again")
    is_mended(deployment, before)


def _ready(deployment: Deployment) -> bool:
    try:
        return requests.get(f"{deployment.api}/health/ready", timeout=5).ok
    except requests.RequestException:
        return False


def test_volume_is_mounted_as_a_directory(deployment: Deployment) -> None:
    for name in deployment.consumers():
        mounts = json.loads(docker("inspect", "--format", "{{json .Mounts}}", name))
        tokens = [mount for mount in mounts if mount["Destination"] == "/app/tokens"]
        assert [(mount["Type"], mount["Name"]) for mount in tokens] == [("volume", deployment.volume)]
        assert not [mount for mount in mounts if mount["Type"] == "bind"]


def test_any_container_can_refresh(deployment: Deployment) -> None:
    for name in deployment.consumers():
        before, exchanges = deployment.status()["generation"], deployment.exchanges()
        docker("exec", name, "token-keeper", "refresh", "--force", "--json")
        assert deployment.status()["generation"] == before + 1
        assert deployment.exchanges() == exchanges + 1


def test_refresh_is_seen_at_once(deployment: Deployment) -> None:
    """A process in each container keeps its store open; whoever refreshes, the next call of all of them knows."""
    with ExitStack() as running:
        watchers = [
            running.enter_context(started("exec", "-i", name, "python", "-c", WATCHER))
            for name in deployment.consumers()
        ]
        for watcher in watchers:
            ready(watcher)
        used = {asked(watcher) for watcher in watchers}
        assert len(used) == 1
        for name in deployment.consumers():
            docker("exec", name, "token-keeper", "refresh", "--force", "--json")
            now = {asked(watcher) for watcher in watchers}
            assert now == {deployment.status()["document"]["access_token_fingerprint"]}
            assert now.isdisjoint(used)
            used |= now


def test_token_is_private(deployment: Deployment) -> None:
    mode = docker("exec", deployment.container("api"), "stat", "-c", "%a", "/app/tokens").strip()
    assert stat.S_IMODE(int(mode, 8)) == 0o700
    refused = run(["docker", "exec", "-u", "1234", deployment.container("api"), "cat", "/app/tokens/token.json"])
    assert refused.code != 0
    assert "Permission denied" in refused.output


def test_reader_never_sees_a_torn_document(deployment: Deployment) -> None:
    with started("exec", "-i", deployment.container("celery", 2), "python", "-c", READER) as reader:
        ready(reader)
        for _ in range(5):
            docker("exec", deployment.container("api"), "token-keeper", "refresh", "--force")
        seen = outcome(reader)
    assert seen["torn"] == 0
    assert isinstance(seen["tokens"], int)
    assert seen["tokens"] >= 2, "it read while the document was replaced"


def test_burst_makes_one_exchange(deployment: Deployment) -> None:
    """Two containers refresh at the same moment: the second one finds what the first one has brought."""
    expired = json.dumps({**document(deployment), "token": None, "expiry": "2020-01-01T00:00:00Z"})
    subprocess.run(
        ["docker", "compose", "exec", "-T", "api", "token-keeper", "push", "--force"],
        cwd=deployment.project_dir,
        input=expired,
        text=True,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    exchanges = deployment.exchanges()
    racers = [
        subprocess.Popen(["docker", "exec", name, "token-keeper", "refresh"], stdout=subprocess.DEVNULL)
        for name in deployment.consumers()
    ]
    assert [racer.wait(timeout=60) for racer in racers] == [0, 0, 0]
    assert deployment.exchanges() == exchanges + 1


def test_the_page_has_a_row_for_each_test() -> None:
    page = (ROOT / "docs" / "manual-commands.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    here = {name for name in globals() if name.startswith("test_")} - {"test_the_page_has_a_row_for_each_test"}
    assert named == here
