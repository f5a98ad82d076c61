"""The playbooks as an operator runs them: what they do, what they leave alone, and what they say."""

from __future__ import annotations

import json
import os
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from deployment import BIN, PLAYBOOK, ROOT, Deployment, docker, eventually, run
from leaks import found_in

# the first test that asks for the deployment waits for its images as well
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def traces(project: str) -> str:
    """Return what the engine has of a project: containers, volumes, networks, a line each."""
    mine = f"name={project}"
    return (
        docker("ps", "--all", "--filter", mine, "--format", "{{.Names}}")
        + docker("volume", "ls", "--filter", mine, "--format", "{{.Name}}")
        + docker("network", "ls", "--filter", mine, "--format", "{{.Name}}")
    )


def test_check_mode_on_a_bare_host_announces_changes_and_makes_none(tmp_path: Path) -> None:
    bare = Deployment("tk-alone-bare", 28082, 29402, tmp_path)
    checked = bare.playbook("site.yml", "--check").succeeded()
    assert checked.changed > 0
    assert traces("tk-alone-bare") == ""
    assert list(tmp_path.iterdir()) == []


def test_the_second_run_changes_nothing_exchanges_nothing_and_tells_no_secret(deployment: Deployment) -> None:
    before, counted = deployment.status(), deployment.counters()
    # with all that makes Ansible talk: the demo's own client comes another way than an operator's from the vault
    again = deployment.playbook("site.yml", "-vvvv", timeout=900, ANSIBLE_DEBUG="1").succeeded()
    after = deployment.status()
    client = deployment.get(f"{deployment.sandbox}/console/client_secret.json")["installed"]
    assert found_in(again.output, {"client secret": client["client_secret"]}) == []
    assert again.changed == 0, again.output
    assert after["generation"] == before["generation"]
    assert after["exchanges"] == before["exchanges"]
    assert deployment.counters()["exchanges"] == counted["exchanges"]
    assert "level process" in again.text


def test_check_mode_on_a_deployed_host_announces_nothing(deployment: Deployment) -> None:
    assert deployment.playbook("site.yml", "--check", "--diff").succeeded().changed == 0


def test_a_container_that_was_stopped_is_announced_and_stops_a_rotation_before_it_begins(
    deployment: Deployment,
) -> None:
    counted, stopped = deployment.exchanges(), deployment.container("celery", 2)
    docker("stop", stopped)
    try:
        checked = deployment.playbook("site.yml", "--check").succeeded()
        assert checked.changed > 0
        assert docker("inspect", "--format", "{{.State.Running}}", stopped).strip() == "false"
        refused = deployment.playbook("rotate_token.yml")
        assert refused.code != 0
        assert "celery: 1 of 2 containers run with the volume mounted. Nothing has been changed." in refused.text
        assert "PLAY [Rotate]" not in refused.output, "found out on all hosts, before the first is begun"
    finally:
        docker("start", stopped)
    assert deployment.exchanges() == counted
    eventually(
        lambda: deployment.playbook("playbooks/verify.yml", "-e", "mode=observe").code == 0,
        within=240,
        what="it is back",
    )


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"app_stack_api_port": 28090}, id="other port"),
        pytest.param({"app_stack_timezone": "Europe/Berlin"}, id="other configuration", marks=pytest.mark.long),
        pytest.param({"oauth_token_reconsent": True}, id="other grant"),
    ],
)
def test_check_mode_foresees_the_proof_of_what_it_announces(
    deployment: Deployment, variables: dict[str, object]
) -> None:
    before = deployment.status()
    checked = deployment.playbook("site.yml", "--check", "-e", json.dumps(variables)).succeeded()
    # what is there now would pass; what would be there then has to be proven
    assert f"The token in volume {deployment.volume} would be renewed once" in checked.text
    assert checked.changed >= 2
    after = deployment.status()
    assert (after["generation"], after["exchanges"]) == (before["generation"], before["exchanges"])


def test_check_mode_foresees_the_consent_for_a_dead_grant(deployment: Deployment) -> None:
    consents = deployment.counters()["exchanges"]["authorization_code"]
    requests.delete(f"{deployment.sandbox}/admin/grants", timeout=10).raise_for_status()
    with pytest.raises(AssertionError, match=r"revoked|invalid_grant"):
        docker("exec", deployment.container("api"), "token-keeper", "refresh", "--force")
    checked = deployment.playbook("site.yml", "--check", "-v")
    real = deployment.playbook("site.yml").succeeded()
    checked.succeeded()
    assert "A person would be asked to consent: the provider no longer honours the grant" in checked.text
    assert f"The token in volume {deployment.volume} would be renewed once" in checked.text
    assert deployment.counters()["exchanges"]["authorization_code"] == consents + 1
    assert "one refresh forced" in real.text


def test_the_report_names_every_consumer_with_its_generation(deployment: Deployment) -> None:
    report = deployment.playbook("playbooks/verify.yml", "-e", "mode=observe").succeeded()
    generation = deployment.status()["generation"]
    for name, processes in zip(deployment.consumers(), (1, 4, 4), strict=True):
        assert f"{name} {generation} {processes} process" in report.text
    assert f"http://127.0.0.1:{deployment.api_port}" in report.text
    assert deployment.sandbox in report.text
    assert deployment.status()["document"]["access_token_fingerprint"] in report.text


def test_a_sentence_becomes_an_event_in_the_calendar(deployment: Deployment) -> None:
    answer = requests.post(
        f"{deployment.api}/events/", json={"text": "Team sync tomorrow at 3pm for an hour"}, timeout=10
    )
    assert answer.status_code == 202
    task = answer.json()["id"]
    event = eventually(
        lambda: (state := deployment.get(f"{deployment.api}/events/{task}"))["status"] == "done" and state["event"],
        within=120,
        what="the request is done",
    )
    assert event["title"] == "Team sync"
    token = json.loads(docker("exec", deployment.container("api"), "cat", "/app/tokens/token.json"))["token"]
    listed = requests.get(
        f"{deployment.sandbox}/calendar/v3/calendars/primary/events",
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    ).json()["items"]
    [written] = [item for item in listed if item["id"] == event["id"]]
    assert written["summary"] == "Team sync"
    assert "T15:00:00" in written["start"]["dateTime"]
    assert "T16:00:00" in written["end"]["dateTime"]


def test_verify_forces_one_exchange_and_says_so(deployment: Deployment) -> None:
    before = deployment.status()
    counted = deployment.exchanges()
    forced = deployment.playbook("playbooks/verify.yml").succeeded()
    after = deployment.status()
    assert forced.changed > 0
    assert deployment.exchanges() - counted == 1
    assert after["exchanges"] - before["exchanges"] == 1
    assert after["generation"] == before["generation"] + 1
    assert "1 exchange in the store and 1 at the provider, level process" in forced.text


def test_observing_exchanges_nothing_and_changes_nothing(deployment: Deployment) -> None:
    before, counted = deployment.status()["generation"], deployment.exchanges()
    observed = deployment.playbook("playbooks/verify.yml", "-e", "mode=observe").succeeded()
    assert observed.changed == 0
    assert deployment.status()["generation"] == before
    assert deployment.exchanges() == counted


def test_site_renews_a_token_that_ran_out_while_nobody_asked(deployment: Deployment) -> None:
    deployment.expire_token()
    assert "run out" in deployment.playbook("playbooks/verify.yml", "-e", "mode=observe").succeeded().text
    renewed = deployment.playbook("site.yml").succeeded()
    assert renewed.changed == 1, renewed.output
    assert "had run out and was renewed" in renewed.text
    assert deployment.status()["document"]["expires_in"] > 3000
    assert deployment.playbook("site.yml").succeeded().changed == 0


def test_a_document_of_stock_google_auth_is_taken_over_before_the_proof(deployment: Deployment) -> None:
    before, counted = deployment.status(), deployment.exchanges()
    foreign = """
import google.auth.transport.requests as requests, google.oauth2.credentials as credentials, json
kept = json.load(open("/app/tokens/token.json"))
names = ("refresh_token", "token_uri", "client_id", "client_secret", "scopes")
own = credentials.Credentials(kept["token"], **{name: kept[name] for name in names})
own.refresh(requests.Request())
open("/app/tokens/token.json", "w").write(own.to_json())
"""
    docker("exec", deployment.container("api"), "python", "-c", foreign)
    written = deployment.status()
    assert not written["document"]["settled"]
    # the inputs of the images have changed meanwhile: the image that was deployed is the one to look with
    updated = ("-e", "images_base_revision=never-built")
    observed = deployment.playbook("playbooks/verify.yml", "-e", "mode=observe", *updated).succeeded()
    after = deployment.status()
    assert observed.changed == 1, "it was adopted, and that is a change"
    assert after["document"]["settled"]
    assert after["generation"] == before["generation"] + 1
    assert after["grant"] == before["grant"]
    assert after["document"]["access_token_fingerprint"] == written["document"]["access_token_fingerprint"]
    assert deployment.exchanges() == counted + 1  # the program's own
    assert f"generation {after['generation']}" in observed.text
    assert "level process" in observed.text


def test_observing_says_why_a_token_that_ran_out_cannot_be_renewed(deployment: Deployment) -> None:
    deployment.expire_token()
    fault = {"endpoint": "token", "kind": "500", "count": 50}
    requests.post(f"{deployment.sandbox}/admin/faults", json=fault, timeout=10).raise_for_status()
    try:
        with pytest.raises(AssertionError, match="Backend Error"):
            docker("exec", deployment.container("api"), "token-keeper", "refresh")
        refused = deployment.playbook("playbooks/verify.yml", "-e", "mode=observe")
    finally:
        requests.delete(f"{deployment.sandbox}/admin/faults", timeout=10).raise_for_status()
        docker("exec", deployment.container("api"), "token-keeper", "refresh", "--force")
    assert refused.code != 0
    assert refused.changed == 0
    assert f"The token in volume {deployment.volume} on demo has run out, and renewing it failed" in refused.text
    assert "The last attempt: Status500, http://sandbox:9400/token answered 500" in refused.text


def test_where_the_proof_cannot_be_recorded_nothing_is_exchanged(deployment: Deployment) -> None:
    counted = deployment.exchanges()
    nowhere = "refresh_health_project_dir=/nonexistent"
    refused = deployment.playbook("playbooks/verify.yml", "-e", nowhere)
    assert refused.code != 0
    assert "/nonexistent on demo, where the proof is recorded, is not a folder" in refused.text
    assert deployment.exchanges() == counted


def test_a_consumer_that_lags_is_named(deployment: Deployment) -> None:
    laggard = deployment.container("celery", 2)
    docker("pause", laggard)
    try:
        refused = deployment.playbook("playbooks/verify.yml", "-e", "refresh_health_timeout=20")
    finally:
        docker("unpause", laggard)
    assert refused.code != 0
    [sentence] = [line for line in refused.text.split("fatal: ")[1:] if "Not every consumer" in line]
    assert laggard in sentence
    assert deployment.container("celery", 1) not in sentence
    assert deployment.container("api") not in sentence
    deployment.playbook("playbooks/verify.yml", "-e", "mode=observe").succeeded()


def test_a_mode_that_there_is_not_is_refused_before_anything_happens(deployment: Deployment) -> None:
    counted = deployment.exchanges()
    refused = deployment.playbook("rotate_token.yml", "-e", "mode=observe")
    assert refused.code != 0
    assert "mode=observe is no way to rotate. Valid: refresh (a new access token within the same grant)" in refused.text
    refused = deployment.playbook("rotate_token.yml", "-e", "rotation_serial=lots")
    assert refused.code == 2
    assert "rotation_serial is lots, which is no number of hosts. Nothing has been changed." in refused.text
    assert deployment.exchanges() == counted


def test_a_port_that_is_taken_stops_the_run_before_any_change(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 28083)):
        refused = Deployment("tk-alone-port", 28083, 29403, tmp_path).playbook("site.yml")
    assert refused.code != 0
    assert "Port 28083 on 127.0.0.1 of demo is taken by another program" in refused.text
    assert "app_stack_api_port" in refused.text
    assert traces("tk-alone-port") == ""
    assert list(tmp_path.iterdir()) == []


def test_a_port_of_another_container_is_told_with_its_name(deployment: Deployment, tmp_path: Path) -> None:
    refused = Deployment("tk-alone-port", 28084, deployment.sandbox_port, tmp_path).playbook("site.yml")
    assert refused.code != 0
    holder = f"container {deployment.project}-sandbox"
    assert f"Port {deployment.sandbox_port} on 127.0.0.1 of demo is taken by {holder}" in refused.text
    assert traces("tk-alone-port") == ""


def test_a_volume_without_a_token_stops_the_stack_before_it_starts(deployment: Deployment, tmp_path: Path) -> None:
    play = tmp_path / "stack_alone.yml"
    play.write_text(
        "- hosts: docker_hosts\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.include_role: {name: images, tasks_from: names.yml}\n"
        "    - ansible.builtin.include_role: {name: app_stack}\n"
    )
    refused = Deployment("tk-alone-empty", 28085, 29405, tmp_path).playbook(str(play))
    assert refused.code != 0
    assert "The volume tk-alone-empty_token_data does not exist on demo" in refused.text
    assert traces("tk-alone-empty") == ""


@pytest.mark.parametrize("playbook", ["site.yml", "rotate_token.yml", "playbooks/verify.yml", "playbooks/teardown.yml"])
def test_from_another_directory_a_playbook_says_where_it_belongs(playbook: str, tmp_path: Path) -> None:
    # make names the file by this variable, a person does not
    environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
    refused = run([PLAYBOOK, str(ROOT / playbook)], cwd=tmp_path, environment=environment)
    assert refused.code != 0
    assert "The project's ansible.cfg is not in force" in refused.text
    assert f"cd {ROOT}" in refused.text
    assert refused.changed == 0


def test_in_a_folder_that_others_may_write_to_it_says_so(tmp_path: Path) -> None:
    copy = tmp_path / "kit"
    copy.mkdir()
    for name in ("ansible.cfg", "site.yml"):
        shutil.copy(ROOT / name, copy)
    for name in ("playbooks", "roles", "inventory"):
        shutil.copytree(ROOT / name, copy / name)
    copy.chmod(0o777)
    refused = run([PLAYBOOK, "site.yml"], cwd=copy)
    assert refused.code != 0
    assert f"chmod o-w {copy}" in refused.text
    assert refused.changed == 0


def test_the_first_task_says_which_inventory_runs() -> None:
    demo = run([PLAYBOOK, "rotate_token.yml", "-e", "mode=none"]).text.split("TASK [")[1]
    assert f"{ROOT}/inventory/demo" in demo
    assert "Hosts demo" in demo
    assert "a demo" in demo
    production = run([PLAYBOOK, "-i", "inventory/example", "rotate_token.yml", "-e", "mode=none"]).text.split("TASK [")[
        1
    ]
    assert "assistant-1.example.com, assistant-2.example.com" in production
    assert "PRODUCTION" in production


def test_the_example_inventory_is_sound(tmp_path: Path) -> None:
    listed = run([str(BIN / "ansible-inventory"), "-i", "inventory/example", "--list"]).succeeded()
    hosts = ["assistant-1.example.com", "assistant-2.example.com"]
    assert json.loads(listed.output)["provider_google"]["hosts"] == hosts

    # as it is told to be made: the client's file beside it is no inventory, and nothing complains of it
    copy = tmp_path / "production"
    shutil.copytree(ROOT / "inventory/example", copy)
    for name in ("client_secret.vault.json", "client_secret_630.apps.googleusercontent.com.json"):
        (copy / name).write_text('{"installed": {"client_id": "id"}}')
    beside = run([str(BIN / "ansible-inventory"), "-i", str(copy), "--list"]).succeeded()
    assert json.loads(beside.output)["provider_google"]["hosts"] == hosts  # a warning would stand before it

    for playbook in ("site.yml", "rotate_token.yml", "playbooks/verify.yml", "playbooks/teardown.yml"):
        run([PLAYBOOK, "-i", "inventory/example", "--syntax-check", playbook]).succeeded()


def test_teardown_keeps_the_token_and_site_goes_on_with_it(deployment: Deployment, tmp_path: Path) -> None:
    before, consents = deployment.status(), deployment.counters()["exchanges"]["authorization_code"]
    there = traces(deployment.project)
    with ExitStack() as gone:
        for folder in (deployment.project_dir, deployment.project_dir.with_name(f"{deployment.project}-sandbox")):
            gone.callback((folder / "gone.yml").rename, folder / "compose.yml")
            (folder / "compose.yml").rename(folder / "gone.yml")
        announced = deployment.playbook("playbooks/teardown.yml", "--check").succeeded()
    for name in (*deployment.consumers(), f"{deployment.project}_internal", f"{deployment.project}-sandbox"):
        assert name in announced.text.partition("Would be removed:")[2]
    assert announced.changed >= 2
    assert traces(deployment.project) == there

    first = deployment.playbook("playbooks/teardown.yml").succeeded()
    again = deployment.playbook("playbooks/teardown.yml").succeeded()
    assert first.changed > 0
    assert again.changed == 0, again.output
    assert sorted(traces(deployment.project).split()) == [f"{deployment.project}-sandbox_data", deployment.volume]
    assert not deployment.project_dir.exists()

    # by another name of the engine's socket; a task that didn't take it would find no engine at all
    engine = tmp_path / "engine.sock"
    engine.symlink_to("/var/run/docker.sock")
    named = ("-e", f"docker_host_socket={engine}")
    deployment.playbook("site.yml", *named, DOCKER_HOST="unix:///nonexistent.sock").succeeded()
    after = deployment.status()
    assert after["grant"] == before["grant"]
    assert after["generation"] > before["generation"]
    assert deployment.counters()["exchanges"]["authorization_code"] == consents
