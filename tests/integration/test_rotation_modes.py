"""A new grant or a new client secret goes live while the stack serves; what doesn't work out goes back by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import requests
from deployment import Deployment, docker, eventually
from load import Client
from rotating import (
    ROTATE,
    admin,
    document,
    drop_old_secrets,
    falling,
    fault,
    killed,
    new_grant,
    new_secret,
    newest_secret,
    phase,
    sandbox_set,
    soaking,
    stage,
    works,
)
from rotation_bench import twenty_rotations

# the first test that asks for the deployment waits for its images as well
pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(1800)]

RECONSENT, CLIENT = ("-e", "mode=reconsent"), ("-e", "mode=client")
QUICK = ("-e", json.dumps({"rotation_timeout": 4, "refresh_health_timeout": 4}))


@pytest.fixture
def rotatable(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment with nothing left of earlier rotations, before and after."""
    yield deployment
    admin(deployment, "DELETE", "faults")
    for container in deployment.consumers():
        if json.loads(docker("inspect", "--format", "{{json .State.Paused}}", container)):
            docker("unpause", container)
    docker("exec", deployment.container("api"), "token-keeper", "unstage")
    works(deployment)
    drop_old_secrets(deployment)
    assert newest_secret(deployment) == document(deployment)["client_secret"], "site.yml finds the client as it is"


@contextmanager
def under_load(deployment: Deployment) -> Iterator[None]:
    """Have 20 requests a second sent meanwhile, none of which may fail."""
    with Client(deployment) as client:
        eventually(lambda: len(client.answers()) >= 20, within=30, what="the client is under way")
        yield
    assert len(client.answers()) >= 60
    assert client.failed() == []


def test_a_new_grant_goes_live_under_load(rotatable: Deployment) -> None:
    before, consents = rotatable.status(), rotatable.counters()["exchanges"]["authorization_code"]
    checked = rotatable.playbook(ROTATE, *RECONSENT, "--check").succeeded()
    assert checked.changed > 0
    assert rotatable.status()["staged"] is None
    with under_load(rotatable):
        rotatable.playbook(ROTATE, *RECONSENT).succeeded()
    after = rotatable.status()
    assert rotatable.counters()["exchanges"]["authorization_code"] == consents + 1
    assert after["rotation_record"]["phase"] == "retired"
    assert after["rotation_record"]["grant_before"] == before["grant"]
    assert after["grant"] == after["rotation_record"]["grant_after"] != before["grant"]
    assert before["document"]["refresh_token_fingerprint"] in after["lineage"]["superseded"]
    assert [entry["grant"] for entry in after["lineage"]["grants"]] == [after["grant"]]
    # the proof holds for the new grant: site.yml has nothing to do
    assert rotatable.playbook("site.yml").succeeded().changed == 0


def test_a_new_client_secret_goes_live_under_load(rotatable: Deployment) -> None:
    before, secret = rotatable.status(), new_secret(rotatable)
    checked = rotatable.playbook(ROTATE, *CLIENT, "--check").succeeded()
    assert checked.changed > 0
    assert rotatable.status()["generation"] == before["generation"]
    with under_load(rotatable):
        rotatable.playbook(ROTATE, *CLIENT).succeeded()
    after = rotatable.status()
    assert document(rotatable)["client_secret"] == secret
    assert (after["grant"], after["rotation_record"]["phase"]) == (before["grant"], "retired")
    assert rotatable.playbook(ROTATE, *CLIENT).succeeded().changed == 0
    drop_old_secrets(rotatable)  # the earlier one is good for nothing any more
    works(rotatable)


@pytest.mark.parametrize("mode", ["reconsent", "client"])
def test_a_consumer_that_does_not_follow_takes_it_back(rotatable: Deployment, mode: str) -> None:
    before, live = rotatable.status(), document(rotatable)
    stage(rotatable) if mode == "reconsent" else new_secret(rotatable)
    laggard = rotatable.container("celery", 2)
    docker("pause", laggard)
    try:
        refused = rotatable.playbook(ROTATE, "-e", f"mode={mode}", *QUICK)
    finally:
        docker("unpause", laggard)
    after = rotatable.status()
    assert refused.code != 0
    assert laggard in refused.text
    said = {"reconsent": "The earlier grant is live again", "client": "The client's earlier secret is live again"}
    assert said[mode] in refused.text
    assert "The token that is live now is valid" in refused.text
    assert (after["grant"], after["rotation_record"]["phase"]) == (before["grant"], "rolled_back")
    assert document(rotatable)["refresh_token"] == live["refresh_token"]
    assert document(rotatable)["client_secret"] == live["client_secret"]
    works(rotatable)


def test_a_grant_that_the_provider_ends_on_its_own_is_ended_there(rotatable: Deployment) -> None:
    old, new = document(rotatable), stage(rotatable)
    variables = {"mode": "reconsent", "rotation_revocation": "token"}
    with sandbox_set(rotatable, revoke_whole_grant=False):
        ended = rotatable.playbook(ROTATE, "-e", json.dumps(variables)).succeeded()
    assert "ended at the provider" in ended.text
    assert document(rotatable)["refresh_token"] == new["refresh_token"] != old["refresh_token"]
    works(rotatable)


Fault = Callable[[Deployment], AbstractContextManager[tuple[str, ...]]]
"""Makes something go wrong, and gives the options that the playbook needs for it."""


def sandbox_fault(endpoint: str, kind: str, count: int = 1, when: str = "before") -> Fault:
    @contextmanager
    def switched_on(deployment: Deployment) -> Iterator[tuple[str, ...]]:
        fault(deployment, endpoint, kind, count, when)
        yield ()

    return switched_on


@contextmanager
def paused(deployment: Deployment) -> Iterator[tuple[str, ...]]:
    docker("pause", deployment.container("celery", 1))
    yield QUICK
    docker("unpause", deployment.container("celery", 1))


@contextmanager
def no_redis(deployment: Deployment) -> Iterator[tuple[str, ...]]:
    docker("pause", deployment.container("redis"))
    yield ()
    docker("unpause", deployment.container("redis"))


@contextmanager
def unready(_: Deployment) -> Iterator[tuple[str, ...]]:
    with falling(1) as url:
        yield ("-e", f"rotation_ready_url={url}")


@contextmanager
def no_way(_: Deployment) -> Iterator[tuple[str, ...]]:
    yield ("-e", "rotation_network=tk-no-such-network")


@contextmanager
def withdrawn(deployment: Deployment) -> Iterator[tuple[str, ...]]:
    """The new grant dies between its consent and the check."""
    made = new_grant(deployment)
    stage(deployment, made)
    with sandbox_set(deployment, revoke_whole_grant=False):
        ended = {"token": made["refresh_token"]}
        requests.post(f"{deployment.sandbox}/revoke", data=ended, timeout=10).raise_for_status()
    yield ()


@contextmanager
def asked_to_revoke(deployment: Deployment) -> Iterator[tuple[str, ...]]:
    fault(deployment, "revoke", "500")
    yield ("-e", "rotation_revocation=token")


@contextmanager
def lost(deployment: Deployment) -> Iterator[tuple[str, ...]]:
    """The reply of a provider that is known not to rotate; of another one nobody may ask for it again."""
    declare = "from token_keeper import TokenStore as S; S().declare(rotation='no')"
    docker("exec", deployment.container("api"), "python", "-c", declare)
    fault(deployment, "token", "drop", 1, "after")
    yield ()


TOKEN = sandbox_fault("token", "500")
BACK = "The earlier grant is live again"
FAULTS: dict[str, tuple[str, Fault, str, str]] = {
    # name: mode, what goes wrong, what is said of it, phase afterwards
    "preflight: Redis is stopped": ("reconsent", no_redis, "Nothing has been changed", "staged"),
    "verify: the calendar fails": (
        "reconsent",
        sandbox_fault("calendar", "500", 3),
        "The staged document waits",
        "staged",
    ),
    "verify: no network": ("reconsent", no_way, "The staged document waits", "staged"),
    "verify: the grant died": ("reconsent", withdrawn, "The staged document has been forgotten", "-"),
    "watch: the token endpoint fails": (
        "reconsent",
        sandbox_fault("token", "500"),
        "grant is live again",
        "rolled_back",
    ),
    "watch: a reply is lost": (
        "reconsent",
        sandbox_fault("token", "drop", when="after"),
        "grant is live again",
        "rolled_back",
    ),
    "watch: a consumer is stopped": ("reconsent", paused, BACK, "rolled_back"),
    "watch: the application is unready": ("reconsent", unready, BACK, "rolled_back"),
    "retire: the provider does not revoke": ("reconsent", asked_to_revoke, "not retired yet", "converged"),
    "client: the secret is wrong": ("client", sandbox_fault("token", "oauth_error"), "client of the token", "-"),
    "client: a reply is lost": ("client", lost, "client of the token", "-"),
    "client: the application is unready": ("client", unready, "earlier secret is live again", "rolled_back"),
    "refresh: the token endpoint fails": ("refresh", TOKEN, "refresh of the token", "-"),
    "refresh: a consumer is stopped": ("refresh", paused, "the newest document stays", "-"),
}
IN_CI = ("verify: the calendar fails", "watch: the token endpoint fails", "retire: the provider does not revoke")
"""What goes wrong at each phase; the others cost minutes, and are part of the long tests."""


@pytest.mark.parametrize("name", [name for name in FAULTS if soaking() or name in IN_CI])
def test_whatever_fails_a_token_works_afterwards(rotatable: Deployment, name: str) -> None:
    mode, goes_wrong, sentence, expected = FAULTS[name]
    if mode == "reconsent":
        stage(rotatable)
    elif mode == "client":
        new_secret(rotatable)
    with goes_wrong(rotatable) as options:
        failed = rotatable.playbook(ROTATE, "-e", f"mode={mode}", *options)
    admin(rotatable, "DELETE", "faults")
    assert failed.code != 0, failed.output
    assert sentence in failed.text
    if expected != "-":
        assert phase(rotatable) == expected
    works(rotatable)
    if expected in ("staged", "converged"):
        with sandbox_set(rotatable, revoke_whole_grant=False):
            rotatable.playbook(ROTATE, "-e", f"mode={mode}", *options[: 2 * (expected == "converged")]).succeeded()
        assert phase(rotatable) == "retired"
        works(rotatable)


CUTS = [
    "Let the staged document go live",
    "Renew the token in its volume",
    "Watch that they go on, and that the application stays ready",
    "Retire what was before",
]
"""Tasks of a rotation that change something: killed at the start of each, it has done all that stand before."""


@pytest.mark.parametrize("at", [str(task) for task in range(1, 65)] if soaking() else CUTS)
def test_a_run_that_was_killed_is_finished_by_the_next(rotatable: Deployment, at: str) -> None:
    new = stage(rotatable)
    came = killed(rotatable, at, *RECONSENT)
    assert came or at.isdigit(), "there is such a task"
    if not came:
        return  # the rotation has fewer tasks than that
    rotatable.playbook(ROTATE, *RECONSENT).succeeded() if phase(rotatable) != "retired" else None
    assert phase(rotatable) == "retired"
    assert document(rotatable)["refresh_token"] == new["refresh_token"]
    works(rotatable)


@pytest.mark.parametrize("at", [str(task) for task in range(1, 65)] if soaking() else ["Retire what was before"])
def test_a_change_of_the_secret_that_was_killed_is_finished_by_the_next(rotatable: Deployment, at: str) -> None:
    secret = new_secret(rotatable)
    if not killed(rotatable, at, *CLIENT):
        return
    changed = document(rotatable)["client_secret"] == secret
    again = rotatable.playbook(ROTATE, *CLIENT).succeeded()
    assert phase(rotatable) == "retired"
    assert document(rotatable)["client_secret"] == secret
    assert ("has this secret of its client already" in again.text) is changed
    assert changed or at.isdecimal(), "the named task comes after the change"
    works(rotatable)


def test_a_way_back_that_was_killed_is_gone_again(rotatable: Deployment) -> None:
    live = document(rotatable)
    stage(rotatable)
    with falling(1) as url:
        assert killed(rotatable, "Go back", *RECONSENT, "-e", f"rotation_ready_url={url}", delay=0.4)
    if phase(rotatable) == "promoted":
        with falling(0) as url:
            assert rotatable.playbook(ROTATE, *RECONSENT, "-e", f"rotation_ready_url={url}").code != 0
    assert phase(rotatable) == "rolled_back"
    assert document(rotatable)["refresh_token"] == live["refresh_token"]
    works(rotatable)


@pytest.mark.skipif(not soaking(), reason="takes ten minutes: SOAK=1")
def test_twenty_rotations_in_a_row_under_load(rotatable: Deployment) -> None:
    measured = twenty_rotations(rotatable)
    assert measured["failed"] == 0
    assert measured["ratio"] <= 1.3, measured
