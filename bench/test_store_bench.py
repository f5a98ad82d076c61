"""``make bench`` runs this: the measurement of the store, and what must hold whatever the machine.

Only counts, and relations between what was measured side by side: absolute times say more of the machine.
"""

from __future__ import annotations

import pytest
import store

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def results() -> store.Results:
    return store.main([])


def test_one_exchange_and_no_error_in_any_stampede(results: store.Results) -> None:
    assert results.of("store")
    for run in results.of("store"):
        assert set(run.exchanges) == {1}, run
        assert run.errors == 0, run


def test_no_reader_sees_a_torn_document(results: store.Results) -> None:
    for run in results.of("store"):
        assert run.reads > 0, run
        assert run.torn == 0, run


def test_the_grant_is_alive_after_every_round(results: store.Results) -> None:
    for run in results.of("store"):
        assert run.alive == run.rounds, run


def test_waiters_are_served_sooner_than_with_a_lock_file(results: store.Results) -> None:
    ours = {(run.processes, run.rotating): run for run in results.of("store") if run.where == "processes"}
    for peer in results.of("filelock"):
        assert ours[peer.processes, peer.rotating].convergence < peer.convergence, peer


def test_nobody_waits_while_the_token_is_good(results: store.Results) -> None:
    for renewal in results.renewals:
        assert renewal.exchanges == 1, renewal
        assert renewal.waited == 0, renewal


def test_a_fresh_token_costs_hardly_more_than_a_stat(results: store.Results) -> None:
    seconds = results.seconds
    assert seconds["access_token"] < 3 * seconds["os.stat"]
    assert seconds["access_token"] < seconds["read and parse"] / 5


def test_durability_costs_hardly_more_than_it_must(results: store.Results) -> None:
    seconds = results.seconds
    bare = seconds["bare durable replace"]
    assert seconds["durable replace"] < 1.5 * bare
    # five flushes where the bare sequence has two: history and its folder, document, state, directory
    assert seconds["push"] < 6 * bare
    # eight: the reserved reply and the journalled intent come before, the reply itself after the exchange
    assert seconds["refresh, without the provider"] < 10 * bare
