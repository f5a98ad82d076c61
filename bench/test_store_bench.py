"""``make bench`` runs this: the measurement of the store, and what must hold whatever the machine."""

from __future__ import annotations

import store


def test_the_store_makes_one_exchange_a_stampede() -> None:
    for run in store.main():
        if run.way == "store":
            assert set(run.exchanges) == {1}
            assert run.errors == 0
