"""Rotation of refresh tokens, reuse of a spent one, and the grace in which a reuse is forgiven."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import requests
from sandbox_parts import InProcess, refusal

from sandbox_provider.testing import Sandbox

DEAD = (400, "invalid_grant", "Token has been expired or revoked.")


def test_each_refresh_gives_a_new_refresh_token(inside: InProcess) -> None:
    inside.settings(rotation=True)
    token = inside.consent()["refresh_token"]
    seen = {token}
    for _ in range(5):
        token = inside.refresh(token).json["refresh_token"]
        seen.add(token)
    assert len(seen) == 6


def test_reuse_revokes_the_family_and_nothing_else(inside: InProcess) -> None:
    inside.settings(rotation=True)
    first, other = inside.consent(), inside.consent()
    second = inside.refresh(first["refresh_token"]).json
    assert refusal(inside.refresh(first["refresh_token"])) == DEAD
    assert refusal(inside.refresh(second["refresh_token"])) == DEAD
    assert inside.calendar(second["access_token"]) == 401
    assert inside.refresh(other["refresh_token"]).status_code == 200
    assert inside.counters()["rotation"]["reuse_detected"] == 1


def test_a_replay_within_the_grace_stays_in_the_family(inside: InProcess) -> None:
    inside.settings(rotation=True, reuse_grace=10)
    first = inside.consent()["refresh_token"]
    lost = inside.refresh(first).json["refresh_token"]
    inside.clock.now += 9.9
    again = inside.refresh(first)
    assert again.status_code == 200
    sibling = again.json["refresh_token"]
    assert len({first, lost, sibling}) == 3
    assert inside.calendar(again.json["access_token"]) == 200
    assert inside.counters()["rotation"] == {"reuse_detected": 0, "replayed_in_grace": 1}
    # whichever answer the client kept works
    assert inside.refresh(sibling).status_code == 200
    assert inside.refresh(lost).status_code == 200


def test_a_replay_does_not_lengthen_the_grace(inside: InProcess) -> None:
    inside.settings(rotation=True, reuse_grace=10)
    first = inside.consent()["refresh_token"]
    inside.refresh(first)
    inside.clock.now += 6
    assert inside.refresh(first).status_code == 200
    inside.clock.now += 4
    assert refusal(inside.refresh(first)) == DEAD


def test_a_token_spent_earlier_has_no_grace(inside: InProcess) -> None:
    inside.settings(rotation=True, reuse_grace=10)
    first = inside.consent()["refresh_token"]
    second = inside.refresh(first).json["refresh_token"]
    third = inside.refresh(second).json["refresh_token"]
    assert refusal(inside.refresh(first)) == DEAD
    assert refusal(inside.refresh(third)) == DEAD


def test_a_refused_scope_spends_nothing(inside: InProcess) -> None:
    inside.settings(rotation=True)
    token = inside.consent()["refresh_token"]
    assert inside.refresh(token, scope="unheard-of").status_code == 400
    assert inside.refresh(token).status_code == 200


def test_without_rotation_a_spent_token_stays_spent(inside: InProcess) -> None:
    inside.settings(rotation=True)
    first = inside.consent()["refresh_token"]
    second = inside.refresh(first).json["refresh_token"]
    inside.settings(rotation=False)
    assert "refresh_token" not in inside.refresh(second).json
    assert refusal(inside.refresh(first)) == DEAD


@pytest.mark.parametrize("grace", [0, 60])
def test_refreshes_at_the_same_moment(sandbox: Sandbox, grace: int) -> None:
    """Of any number of refreshes with one token exactly one moves the family on."""
    clients = 16
    sandbox.settings(rotation=True, reuse_grace=grace)
    for _ in range(5):
        document, before = sandbox.issue_token(), sandbox.counters()
        start = Barrier(clients)
        form = {"grant_type": "refresh_token"} | {
            name: document[name] for name in ("client_id", "client_secret", "refresh_token")
        }

        def refresh(_: int, start: Barrier = start, form: dict = form) -> requests.Response:
            start.wait()
            return requests.post(sandbox.token_uri, data=form, timeout=30)

        with ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(refresh, range(clients)))
        good = [answer.json() for answer in answers if answer.status_code == 200]
        after = sandbox.counters()
        assert after["exchanges"]["refresh_token"] - before["exchanges"]["refresh_token"] == len(good)
        assert len({answer["refresh_token"] for answer in good}) == len(good)
        replayed = after["rotation"]["replayed_in_grace"] - before["rotation"]["replayed_in_grace"]
        detected = after["rotation"]["reuse_detected"] - before["rotation"]["reuse_detected"]
        # without a grace the first reuse kills the family, the first answer's token included
        assert (len(good), replayed, detected) == ((clients, clients - 1, 0) if grace else (1, 0, 1))
        assert all(sandbox.accepts(answer["access_token"]) is bool(grace) for answer in good)
