"""The modules and the action plugins on the real engine, with the keeper image that the role builds."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from module_tasks import BIN, ROOT, TokenVolume, Vaulted, docker, play, run_playbook, token_volume

from sandbox_provider.testing import CALENDAR_SCOPES, Sandbox, running_sandbox

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PERSON = f"{sys.executable} {ROOT}/sandbox/sandbox_provider/person.py %s &"
DOCUMENT = {
    "token": "an-access-token",
    "refresh_token": "a-refresh-token",
    "token_uri": "https://provider.example/token",
    "client_id": "client",
    "client_secret": "a-client-secret",
    "scopes": ["calendar"],
    "universe_domain": "googleapis.com",
    "account": "",
    "expiry": "2030-01-01T00:00:00Z",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A provider on this machine's loopback; a helper on the host's network reaches it."""
    with running_sandbox() as running:
        yield running


@pytest.fixture
def provider(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The provider, as well-behaved afterwards as before."""
    yield sandbox
    sandbox.clear_faults()
    sandbox.settings(consent="grant", omit_refresh_token=False, granted_scopes=None, access_token_lifetime=3600)


def put(volume: TokenVolume, document: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return a task that puts a document into the volume."""
    return {"token_volume": {**volume.options, "document": document, **options}}


def consent(volume: TokenVolume, provider: Sandbox, **options: Any) -> dict[str, Any]:
    """Return a task that makes sure of a token, with a person who says yes."""
    asked = {
        "client_secrets": provider.client_secrets(),
        "scopes": list(CALENDAR_SCOPES),
        "browser": PERSON,
        "timeout": 120,
    }
    return {"oauth_token": {**volume.options, **asked, **options}}


# -- the volume


def test_a_fresh_volume_is_initialised_once(fresh: TokenVolume, tmp_path: Path) -> None:
    before = fresh.contents()
    task = {"token_volume": fresh.options}
    announced = play(tmp_path, task, arguments=["--check", "--diff"]).result
    assert announced["changed"]
    assert fresh.contents() == before
    first, second = play(tmp_path, task, task).results
    assert first["changed"]
    assert first["volume"] == announced["volume"] == {"uid": 999, "gid": 999, "mode": "0700"}
    assert not second["changed"]
    assert fresh.inside("stat -c '%u:%g %a' .").strip() == "999:999 700"


def test_the_same_document_twice_is_no_change(volume: TokenVolume, tmp_path: Path) -> None:
    task = put(volume, DOCUMENT)
    first = play(tmp_path, task).result
    assert (first["changed"], first["reason"], first["generation"]) == (True, "Created", 1)
    before = volume.contents()
    second = play(tmp_path, task).result
    assert (second["changed"], second["reason"], second["generation"]) == (False, "Unchanged", 1)
    assert volume.contents() == before
    assert volume.document() == DOCUMENT
    assert volume.inside("stat -c '%u:%g %a' token.json").strip() == "999:999 600"


def test_a_newer_document_is_not_replaced_without_force(volume: TokenVolume, tmp_path: Path) -> None:
    newer, older = DOCUMENT | {"token": "newer", "expiry": "2031-01-01T00:00:00Z"}, DOCUMENT
    assert play(tmp_path, put(volume, older), put(volume, newer)).results[1]["reason"] == "Replaced"
    kept = play(tmp_path, put(volume, older)).result
    assert (kept["changed"], kept["reason"], kept["generation"]) == (False, "NewerThere", 2)
    assert volume.document()["token"] == "newer"
    forced = play(tmp_path, put(volume, older, force=True)).result
    assert (forced["changed"], forced["generation"]) == (True, 3)
    assert volume.document()["token"] == DOCUMENT["token"]


def test_another_generation_than_expected_is_a_conflict(volume: TokenVolume, tmp_path: Path) -> None:
    other = DOCUMENT | {"refresh_token": "other"}
    assert play(tmp_path, put(volume, DOCUMENT, expect=0)).code == 0
    refused = play(tmp_path, put(volume, other, expect=0))
    assert refused.result["error"]["reason"] == "GenerationChanged"
    assert play(tmp_path, put(volume, other, expect=1)).result["generation"] == 2


def test_encrypted_values_and_dates_of_yaml_are_understood(volume: TokenVolume, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("opensesame")
    encrypt = [str(BIN / "ansible-vault"), "encrypt_string", "--vault-password-file", str(secret), "a-refresh-token"]
    text = subprocess.run(encrypt, capture_output=True, text=True, check=True).stdout
    vaulted = Vaulted("\n".join(line.strip() for line in text.splitlines()[1:]) + "\n")
    document = DOCUMENT | {
        "refresh_token": vaulted,
        "expiry": "{{ '2030-01-01T00:00:00Z' | to_datetime('%Y-%m-%dT%H:%M:%SZ') }}",
    }
    played = play(tmp_path, put(volume, document), arguments=["--vault-password-file", str(secret)])
    assert played.code == 0, played.output
    assert volume.document() == DOCUMENT


def test_a_wrong_owner_is_mended_and_the_document_stays(volume: TokenVolume, tmp_path: Path) -> None:
    task = put(volume, DOCUMENT)
    assert play(tmp_path, task).code == 0
    volume.inside("chown -R 0:0 . && chmod 0755 .")
    before = volume.contents()
    checked = play(tmp_path, task, arguments=["--check"])
    assert checked.result["changed"], checked.output
    assert volume.contents() == before
    mended = play(tmp_path, task, task).results
    assert [each["changed"] for each in mended] == [True, False]
    assert volume.inside("stat -c '%u:%g %a' . token.json").split("\n")[:2] == ["999:999 700", "999:999 600"]


@pytest.mark.parametrize("owner", ["70:70", "999:999"], ids=["closed to the kit", "owner and mode as the kit's"])
def test_somebody_elses_volume_is_refused_in_check_mode_too(fresh: TokenVolume, tmp_path: Path, owner: str) -> None:
    fresh.inside(f"mkdir base && echo 16 > PG_VERSION && chown -R {owner} . && chmod 0700 .")
    before, kept = fresh.contents(), "find . -exec stat -c '%n %u:%g %a %Y' {} + | sort"
    owners = fresh.inside(kept)
    task: dict[str, Any] = {"token_volume": fresh.options, "ignore_errors": True}
    announced = play(tmp_path, task, arguments=["--check"]).result
    assert fresh.contents() == before
    refused = play(tmp_path, task).result
    for result in (announced, refused):
        assert result["error"]["reason"] == "ForeignContent", result
        assert "PG_VERSION" in result["msg"]
        assert "token_volume_force" in result["msg"]
    assert fresh.inside(kept) == owners
    forced = {"token_volume": {**fresh.options, "force": True}}
    assert [each["changed"] for each in play(tmp_path, forced, task).results] == [True, False]
    assert fresh.inside("stat -c '%u:%g' . base PG_VERSION").split() == ["999:999"] * 3


def test_a_running_app_of_another_user_keeps_its_token(volume: TokenVolume, tmp_path: Path) -> None:
    other = {"token_volume": {**volume.options, "uid": 1000, "gid": 1000}, "ignore_errors": True}
    assert play(tmp_path, put(volume, DOCUMENT)).code == 0
    before = volume.contents()
    with volume.mounted_by("app") as app:
        refused = [play(tmp_path, other, arguments=arguments).result for arguments in (["--check"], [])]
        assert volume.contents() == before
    for result in refused:
        assert result["error"]["reason"] == "VolumeInUse", result
        assert f"{app} (running)" in result["msg"]
    assert play(tmp_path, other).result["changed"]


def test_a_document_that_is_none_is_refused_before_anything_is_touched(fresh: TokenVolume, tmp_path: Path) -> None:
    before = fresh.contents()
    played = play(tmp_path, put(fresh, {"token": "canary-value", "client_id": "x"}))
    assert played.result["error"]["type"] == "TokenCorrupt"
    assert "refresh_token" in played.result["msg"]
    assert "canary-value" not in played.output
    assert fresh.contents() == before


def test_check_mode_changes_nothing(volume: TokenVolume, provider: Sandbox, tmp_path: Path) -> None:
    assert play(tmp_path, put(volume, DOCUMENT)).code == 0
    before, counted = volume.contents(), provider.counters()
    played = play(
        tmp_path,
        put(volume, DOCUMENT | {"token": "x", "expiry": "2031-01-01T00:00:00Z"}),
        {"token_volume": {**volume.options, "state": "refreshed", "force": True, "network": "host"}},
        {"token_volume": {**volume.options, "state": "cleared"}},
        {"token_volume": {"volume": volume.name, "state": "absent"}},
        consent(volume, provider),
        {"token_volume_info": {**volume.options, "consumers": True}},
        arguments=["--check", "--diff"],
    )
    assert played.code == 0, played.output
    assert [result["changed"] for result in played.results] == [True, True, True, True, True, False]
    assert volume.contents() == before
    assert provider.counters() == counted


def test_a_diff_shows_fingerprints_and_no_secret(volume: TokenVolume, tmp_path: Path) -> None:
    played = play(
        tmp_path,
        put(volume, DOCUMENT),
        put(volume, DOCUMENT | {"token": "another-token"}, force=True),
        arguments=["--diff"],
    )
    before, after = played.result["diff"]["before"]["document"], played.result["diff"]["after"]["document"]
    assert before["access_token_fingerprint"] != after["access_token_fingerprint"]
    assert before["refresh_token_fingerprint"] == after["refresh_token_fingerprint"]
    assert not any(
        secret in played.output for secret in ("an-access-token", "another-token", "a-refresh-token", "a-client-secret")
    )


def test_refreshed_exchanges_once_by_force_and_not_at_all_without_need(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path
) -> None:
    document = provider.issue_token()
    counted = provider.counters()["exchanges"]["refresh_token"]
    task = {**volume.options, "state": "refreshed", "network": "host"}
    played = play(tmp_path, put(volume, document), {"token_volume": {**task, "force": True}}, {"token_volume": task})
    assert played.code == 0, played.output
    forced, again = played.results[1:]
    assert (forced["changed"], forced["exchanged"], forced["generation"]) == (True, True, 2)
    assert (again["changed"], again["exchanged"], again["generation"]) == (False, False, 2)
    assert provider.counters()["exchanges"]["refresh_token"] == counted + 1
    assert provider.accepts(volume.document()["token"])


def test_refreshed_goes_by_the_proxy_and_the_certificates_that_it_is_given(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path
) -> None:
    assert play(tmp_path, consent(volume, provider)).code == 0
    way = {**volume.options, "state": "refreshed", "force": True, "network": "host"}
    nowhere = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    counted = provider.counters()
    lost = play(tmp_path, {"token_volume": {**way, "environment": nowhere}}).result
    assert lost["error"]["type"] == "ProviderUnavailable", lost
    assert provider.counters() == counted
    missing = play(tmp_path, {"token_volume": {**way, "ca_bundle": str(tmp_path / "absent.pem")}}).result
    assert "absent.pem" in missing["msg"]
    found = play(tmp_path, {"token_volume": {**way, "ca_bundle": "/etc/ssl/certs/ca-certificates.crt"}})
    assert found.result.get("exchanged"), found.output


def test_refreshed_without_a_network_to_the_provider_keeps_the_token(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path
) -> None:
    document = provider.issue_token()
    task = {"token_volume": {**volume.options, "state": "refreshed", "force": True, "network": "none"}}
    played = play(tmp_path, put(volume, document), task)
    assert played.result["error"]["type"] == "ProviderUnavailable"
    assert volume.document() == document


def test_cleared_leaves_a_tombstone_and_the_same_document_does_not_come_back_by_accident(
    volume: TokenVolume, tmp_path: Path
) -> None:
    task = {"token_volume": {**volume.options, "state": "cleared", "reason": "AccountClosed"}}
    played = play(tmp_path, put(volume, DOCUMENT), task, task, {"token_volume_info": volume.options})
    assert [each["changed"] for each in played.results] == [True, True, False, False]
    assert played.result["status"]["document"]["reason"] == "AccountClosed"


def test_a_volume_that_a_container_has_is_not_removed(volume: TokenVolume, tmp_path: Path) -> None:
    task = {"token_volume": {"volume": volume.name, "state": "absent"}}
    with volume.mounted_by("user") as user:
        played = play(tmp_path, task)
        assert played.result["error"]["reason"] == "VolumeInUse"
        assert f"{user} (running)" in played.result["msg"]
    assert [each["changed"] for each in play(tmp_path, task, task).results] == [True, False]


# -- what stands in the way


@pytest.mark.parametrize("module", ["token_volume", "token_volume_info", "oauth_token"])
def test_without_an_engine_every_module_says_so(module: str, tmp_path: Path) -> None:
    options = {"volume": "tk-e-none", "image": "keeper:1", "docker_host": "unix:///nonexistent.sock"}
    if module == "oauth_token":
        options |= {"client_secrets": {"client_id": "a", "client_secret": "b"}, "scopes": ["c"]}
    played = play(tmp_path, {module: options})
    assert played.code != 0
    assert played.result["msg"].startswith("no Docker Engine answers at unix:///nonexistent.sock")
    assert "docker_host" in played.result["msg"]


def test_without_a_docker_command_it_is_named(tmp_path: Path) -> None:
    options = {"volume": "tk-e-none", "image": "keeper:1", "docker_cli": "/nonexistent/docker"}
    module, action = play(
        tmp_path, {"token_volume": options, "ignore_errors": True}, {"token_volume": {**options, "document": DOCUMENT}}
    ).results
    assert module["error"]["reason"] == action["error"]["reason"] == "DockerCommandMissing"


def test_without_the_image_the_remedy_is_the_role_and_check_mode_goes_on(fresh: TokenVolume, tmp_path: Path) -> None:
    task = {"token_volume": {"volume": fresh.name, "image": "tk-e-none:1"}}
    played = play(tmp_path, task)
    assert played.result["error"]["reason"] == "ImageMissing"
    assert "role images" in played.result["msg"]
    checked = play(tmp_path, task, arguments=["--check"])
    assert checked.code == 0
    assert "tk-e-none:1" in checked.output


def test_without_the_volume_it_is_not_created_by_looking(image: str, tmp_path: Path) -> None:
    options = {"volume": "tk-e-nowhere", "image": image}
    played = play(
        tmp_path,
        {"token_volume": options, "ignore_errors": True},
        {"token_volume": {**options, "document": DOCUMENT}, "ignore_errors": True},
        {"token_volume_info": options},
    )
    assert [each.get("error", {}).get("reason") for each in played.results] == ["VolumeMissing", "VolumeMissing", None]
    assert played.result["volume_exists"] is False
    assert docker("volume", "ls", "--quiet", "--filter", "name=tk-e-nowhere") == ""


def test_without_the_network_it_is_named(volume: TokenVolume, tmp_path: Path) -> None:
    task = {"token_volume": {**volume.options, "state": "refreshed", "network": "tk-e-nonet"}}
    played = play(tmp_path, put(volume, DOCUMENT), task)
    assert played.result["error"]["reason"] == "NetworkMissing"
    assert "tk-e-nonet" in played.result["msg"]


def test_a_read_only_volume_is_said_before_anybody_is_asked(image: str, provider: Sandbox, tmp_path: Path) -> None:
    place = tmp_path / "read-only"
    place.mkdir()
    options = ("--opt", "type=none", "--opt", "o=bind,ro", "--opt", f"device={place}")
    counted = provider.counters()
    with token_volume(image, *options) as volume:
        played = play(
            tmp_path,
            {"token_volume": volume.options, "ignore_errors": True},
            {**put(volume, DOCUMENT), "ignore_errors": True},
            consent(volume, provider),
        )
    initialised, pushed, asked = (each["error"] for each in played.results)
    assert (initialised["type"], initialised["reason"]) == ("StorageError", "ReadOnly")
    assert pushed["reason"] == "ReadOnly"
    assert asked["type"] == "StorageError"
    assert provider.counters() == counted


def test_a_wrong_image_is_no_keeper(fresh: TokenVolume, tmp_path: Path) -> None:
    base = docker("images", "--quiet", "token-keeper-demo-base").split()[0]
    played = play(tmp_path, {"token_volume": {"volume": fresh.name, "image": base}})
    assert played.result["error"]["reason"] == "ImageUnsuitable"


def test_options_that_make_no_sense_are_refused(fresh: TokenVolume, tmp_path: Path) -> None:
    wrong = [
        {"token_volume": {**fresh.options, "volume": "/srv/tokens"}},
        {"token_volume": {**fresh.options, "mode": "0777"}},
        put(fresh, DOCUMENT, state="cleared"),
        put(fresh, DOCUMENT, expect=1, force=True),
        {"token_volume": {**fresh.options, "expect": 1}},
        {"token_volume": {"volume": fresh.name}},
        {"oauth_token": {**fresh.options, "scopes": ["a"]}},
        {"oauth_token": {**fresh.options, "scopes": ["a"], "client_secrets": {}, "client_secrets_file": "x"}},
    ]
    played = play(tmp_path, *({**task, "ignore_errors": True} for task in wrong))
    assert all(each["failed"] and each["msg"] for each in played.results)
    assert "an-access-token" not in played.output


# -- consumers


def test_consumers_are_found_and_proven(volume: TokenVolume, tmp_path: Path) -> None:
    assert play(tmp_path, put(volume, DOCUMENT)).code == 0
    label = ("--label", "com.docker.compose.service=api")
    with (
        volume.mounted_by("api", "/app/tokens", *label) as api,
        volume.mounted_by("odd", "/data") as odd,
        volume.mounted_by("wrong", "/app/tokens/token.json") as wrong,
        volume.mounted_by("stranger", "/app/tokens", "--user=12345:12345") as stranger,
    ):
        task = {"token_volume_info": {**volume.options, "consumers": True, "expect_generation": 1, "timeout": 0}}
        played = play(tmp_path, task)
        hostname = docker("inspect", "--format", "{{.Config.Hostname}}", api).strip()
    assert played.code == 0, played.output
    found = {each["container"]: each for each in played.result["consumers"]}
    assert found[api] == {
        "container": api,
        "hostname": hostname,
        "service": "api",
        "mount": "/app/tokens",
        "level": "container",
        "generation": 1,
        "converged": True,
        "processes": [],
        "reason": "",
    }
    assert found[odd]["converged"]
    assert "/data" in found[odd]["reason"]
    assert "as if it were the file" in found[wrong]["reason"]
    assert "ermission denied" in found[stranger]["reason"]
    assert played.result["lagging"] == sorted([wrong, stranger])


def test_it_waits_for_a_generation_that_is_still_to_come(volume: TokenVolume, tmp_path: Path) -> None:
    newer = DOCUMENT | {"token": "newer", "expiry": "2031-01-01T00:00:00Z"}
    assert play(tmp_path, put(volume, DOCUMENT)).code == 0
    task = {"token_volume_info": {**volume.options, "consumers": True, "expect_generation": 2, "timeout": 60}}
    with volume.mounted_by("api") as api, ThreadPoolExecutor(1) as aside:
        waiting = aside.submit(play, tmp_path, task)
        helper = ("ps", "--quiet", "--filter", f"volume={volume.name}", "--filter", "label=io.token-keeper.role=helper")
        while not docker(*helper):
            assert not waiting.done(), waiting.result().output
        volume.push(newer)
        result = waiting.result().result
    # what has pushed it mounts the volume as well, and may be there still
    seen = next(consumer for consumer in result["consumers"] if consumer["container"] == api)
    assert (seen["converged"], seen["generation"]) == (True, 2)


# -- consent


def test_consent_puts_a_token_into_the_volume_and_is_not_asked_again(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path
) -> None:
    task = consent(
        volume, provider, account="me@example.com", consumer_token_uri="http://sandbox:9400/token", allow_http=True
    )
    counted = provider.counters()["exchanges"]["authorization_code"]
    played = play(tmp_path, task, task)
    assert played.code == 0, played.output
    first, second = played.results
    assert (first["changed"], first["reason"], first["generation"]) == (True, "NoSoundDocument", 1)
    assert (second["changed"], second["reason"]) == (False, "Unchanged")
    assert provider.counters()["exchanges"]["authorization_code"] == counted + 1
    document = volume.document()
    assert provider.accepts(document["token"])
    assert (document["token_uri"], document["account"]) == ("http://sandbox:9400/token", "me@example.com")
    assert document["refresh_token"] not in played.output


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reconsent": True}, "ReconsentAsked"),
        ({"scopes": [*CALENDAR_SCOPES, "https://www.googleapis.com/auth/calendar.events"]}, "ScopesMissing"),
        ({"consumer_token_uri": "https://other.example/token"}, "EndpointChanged"),
    ],
)
def test_what_is_not_what_is_asked_for_is_replaced(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    played = play(tmp_path, consent(volume, provider), consent(volume, provider, **changes))
    assert played.code == 0, played.output
    assert (played.result["changed"], played.result["reason"], played.result["generation"]) == (True, reason, 2)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"consent": "deny"}, "ConsentRefused"),
        ({"consent": "wrong_state"}, "StateMismatch"),
        ({"omit_refresh_token": True}, "RefreshTokenMissing"),
        ({"granted_scopes": ["openid"]}, "ScopesMissing"),
        ({"consent": "silent"}, "ConsentTimedOut"),
    ],
)
def test_a_consent_that_fails_leaves_the_token_as_it_was(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    assert play(tmp_path, consent(volume, provider)).code == 0
    before = volume.contents()
    provider.settings(**settings)
    patience = 3 if reason == "ConsentTimedOut" else 120
    played = play(tmp_path, consent(volume, provider, reconsent=True, timeout=patience))
    assert played.code != 0
    assert (played.result["error"]["type"], played.result["error"]["reason"]) == ("ConsentError", reason)
    assert played.result["error"]["remedy"]
    assert volume.contents() == before


def test_what_is_declared_of_the_provider_changes_without_a_consent(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path
) -> None:
    assert play(tmp_path, consent(volume, provider, rotation="unknown")).code == 0
    before, document = volume.contents(), volume.document()
    declared = consent(volume, provider, rotation="no", reuse_grace=20)
    announced = play(tmp_path, declared, arguments=["--check"]).result
    assert (announced["changed"], announced["reason"]) == (True, "PolicyChanged")
    assert volume.contents() == before
    first, second, looked = play(tmp_path, declared, declared, {"token_volume_info": volume.options}).results
    assert (first["changed"], first["generation"], second["changed"]) == (True, 1, False)
    assert (looked["status"]["rotation"], looked["status"]["reuse_grace"]) == ("no", 20.0)
    assert volume.document() == document


def test_two_hosts_ask_one_after_the_other_on_one_fixed_port(image: str, provider: Sandbox, tmp_path: Path) -> None:
    with token_volume(image) as one, token_volume(image) as two, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "token_volume_name": f"{{{{ {{'one': '{one.name}', 'two': '{two.name}'}}[inventory_hostname] }}}}",
            "token_volume_image": image,
            "oauth_token_image": image,
            "oauth_token_client_secrets": provider.client_secrets(),
            "oauth_token_scopes": list(CALENDAR_SCOPES),
            "oauth_token_browser": PERSON,
            "oauth_token_timeout": 120,
            "oauth_token_redirect_port": port,
        }
        tasks = [{"import_role": {"name": name}} for name in ("token_volume", "oauth_token")]
        keywords = {"hosts": "all", "vars": variables}
        played = run_playbook(tmp_path, tasks, ["-i", "one,two,", "--limit", "one,two"], keywords, {})
        assert played.returncode == 0, played.stdout + played.stderr
        assert all(provider.accepts(each.document()["token"]) for each in (one, two))


def test_nobody_is_asked_where_nobody_can_consent(volume: TokenVolume, provider: Sandbox, tmp_path: Path) -> None:
    nobody = consent(volume, provider, consent="none")
    refused = play(tmp_path, nobody)
    assert refused.result["error"]["reason"] == "ConsentNeeded"
    assert "consent=auto" in refused.result["msg"]
    accepted = play(tmp_path, consent(volume, provider), nobody)
    assert accepted.result["changed"] is False


def test_a_change_during_the_consent_is_not_overwritten(volume: TokenVolume, provider: Sandbox, tmp_path: Path) -> None:
    assert play(tmp_path, consent(volume, provider)).code == 0
    other = tmp_path / "other.json"
    other.write_text(json.dumps(DOCUMENT | {"token_uri": provider.token_uri}))
    push = shlex.join(["docker", *volume.helper, "push", "--force"])
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!/bin/sh\n{push} < {other} >/dev/null &&\n"
        f'exec {sys.executable} {ROOT}/sandbox/sandbox_provider/person.py "$1"\n'
    )
    browser.chmod(0o700)
    played = play(tmp_path, consent(volume, provider, reconsent=True, browser=f"{shlex.quote(str(browser))} %s &"))
    assert (played.result["error"]["type"], played.result["error"]["reason"]) == ("Conflict", "GenerationChanged")
    assert volume.document()["refresh_token"] == "a-refresh-token"


def test_a_document_left_by_a_foreign_writer_can_be_replaced(
    volume: TokenVolume, provider: Sandbox, tmp_path: Path
) -> None:
    foreign = DOCUMENT | {"token_uri": "https://elsewhere.example/token"}
    played = play(tmp_path, put(volume, DOCUMENT))
    volume.inside("cat > token.json", user="999:999", stdin=json.dumps(foreign))
    played = play(tmp_path, consent(volume, provider))
    assert played.code == 0, played.output
    assert played.result["reason"] == "ClientChanged"
    assert provider.accepts(volume.document()["token"])


def test_client_secrets_come_from_an_encrypted_file(volume: TokenVolume, provider: Sandbox, tmp_path: Path) -> None:
    password, secrets = tmp_path / "password", tmp_path / "client_secret.json"
    password.write_text("opensesame")
    secrets.write_text(json.dumps(provider.client_secrets()))
    vault = [str(BIN / "ansible-vault"), "encrypt", "--vault-password-file", str(password), str(secrets)]
    subprocess.run(vault, capture_output=True, check=True)
    task = consent(volume, provider, client_secrets_file=str(secrets))
    del task["oauth_token"]["client_secrets"]
    locked = play(tmp_path, task)
    assert locked.result["error"]["reason"] == "ClientSecretsUnreadable"
    assert "vault password" in locked.result["msg"]
    opened = play(tmp_path, task, arguments=["--vault-password-file", str(password)])
    assert opened.code == 0, opened.output
    assert provider.accepts(volume.document()["token"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"client_secrets": {}}, "ClientSecretsMissing"),
        ({"client_secrets": {"installed": {"client_id": "canary-id"}}}, "ClientSecretsMalformed"),
        ({"client_secrets": {"type": "service_account", "private_key": "canary-key"}}, "ClientSecretsMalformed"),
        ({"scopes": []}, "ScopesInvalid"),
        ({"token_uri": "http://provider.example/token"}, "EndpointInsecure"),
        ({"auth_uri": "ftp://provider.example"}, "EndpointMalformed"),
    ],
)
def test_a_client_that_cannot_work_is_refused_before_anything_is_asked(
    image: str, provider: Sandbox, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    nowhere = TokenVolume("tk-e-nowhere", image)
    played = play(tmp_path, consent(nowhere, provider, docker_host="unix:///nonexistent.sock", **options))
    assert (played.result["error"]["type"], played.result["error"]["reason"]) == ("ConsentError", reason)
    assert "canary" not in played.output


def test_a_document_passes_through_become(volume: TokenVolume, tmp_path: Path) -> None:
    played = play(tmp_path, put(volume, DOCUMENT), play_keywords={"become": True, "become_method": "su"})
    assert played.code == 0, played.output
    assert volume.document() == DOCUMENT


def test_the_environment_of_the_task_reaches_the_docker_command(volume: TokenVolume, tmp_path: Path) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nonexistent.sock"}
    played = play(
        tmp_path,
        {**put(volume, DOCUMENT), "environment": nowhere, "ignore_errors": True},
        {"token_volume": volume.options, "environment": nowhere},
    )
    assert [each["error"]["reason"] for each in played.results] == ["EngineUnreachable", "EngineUnreachable"]
