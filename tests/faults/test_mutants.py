"""Tests that can fail: each guarantee is taken away once, and the test that guards it has to notice.

The same tests pass in ``tests/unit/keeper``, or here, when nothing is broken.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutants import MUTANTS

FAULTS = Path(__file__).resolve().parent
TESTS = FAULTS.parent / "unit" / "keeper"

CAUGHT_BY = {
    "no_lock": "stampede.py::test_sixty_four_forked_processes_make_one_exchange[False]",
    "lock_timeout_ignored": "refresh.py::test_an_expired_token_waits_for_the_lock_and_then_says_so",
    "lock_inherited_by_children": "lock.py::test_forks_in_the_midst_of_locking_inherit_nothing",
    "no_second_look_under_the_lock": "refresh.py::test_who_gets_the_lock_looks_again_before_it_asks",
    "fixed_temporary_name": "volume.py::test_no_two_writers_share_a_temporary_name",
    "written_in_place": "volume.py::test_a_reader_never_sees_anything_but_a_whole_file",
    "no_flush": "volume.py::test_what_is_written_is_flushed_before_and_after_the_rename",
    "no_flush_of_the_directory": "volume.py::test_what_is_written_is_flushed_before_and_after_the_rename",
    "second_attempt": "refresh.py::test_a_lost_reply_under_rotation_is_not_tempted",
    "no_journal": "stampede.py::test_when_the_holder_is_killed_under_rotation_nobody_tempts_the_provider",
    "journal_not_taken_back": "refresh.py::test_a_journal_whose_flush_fails_is_taken_back",
    "reply_not_saved_first": "refresh.py::test_a_late_reply_is_written_and_rolled_forward",
    "recovered_reply_not_flushed": "faults/power_loss.py::test_a_recovery_of_a_reply_that_was_written_and_not_flushed",
    "replies_not_remembered_when_names_are_lost": "faults/power_loss.py::test_a_refresh[True-history fails]",
    "pending_replies_cleaned_up": "reconcile.py::test_a_complete_reply_is_rolled_forward",
    "superseded_token_adopted": "reconcile.py::test_a_superseded_refresh_token_is_refused_and_mended",
    "foreign_consent_overwritten": "refresh.py::test_a_consent_given_meanwhile_is_not_overwritten",
    "dead_grant_asked_again": "refresh.py::test_a_dead_grant_is_said_once",
    "refused_tokens_renewed_at_once": "storms.py::test_a_server_that_refuses_every_token_costs_one_exchange",
    "adopted_copies_predecessor_trusted": ("replacement.py::test_the_next_refresh_token_of_a_copy_is_adopted"),
    "doubtful_grants_tried": "rollback.py::test_a_refresh_token_that_a_foreign_program_may_have_spent_is_not_tried",
    "late_replies_always_installed": "refresh.py::test_a_reply_kept_in_memory_does_not_overwrite_a_newer_one",
    "token_at_hand_forgotten": "availability.py::test_the_token_is_served_at_once_while_the_lock_is_held",
    "staged_document_in_the_history": "rotation.py::test_no_way_but_promotion_leads_to_what_is_staged",
    "promotion_that_was_cut_short_gone_back_to": (
        "rotation.py::test_a_promotion_that_came_no_further_than_the_history_leads_nowhere"
    ),
    "new_grant_without_its_name": "rotation.py::test_a_swap_that_was_not_noted_is_noted_by_the_next_step",
    "open_exchange_forgotten_by_a_new_grant": "rotation.py::test_a_grant_whose_exchange_is_open_is_not_gone_back_to",
    "old_secret_adopted": "reclient.py::test_an_app_with_the_old_secret_in_memory_does_not_bring_it_back",
    "holder_of_the_old_secret_unnoticed": (
        "reclient.py::test_an_app_whose_write_is_refused_holds_the_old_secret_all_the_same"
    ),
    "live_grant_revoked_with_the_earlier_one": (
        "rotation.py::test_what_may_be_of_the_earlier_grant_is_not_revoked_with_it"
    ),
    "half_a_document_put_back": "faults/stock_writes.py::test_half_a_document_gives_its_refresh_token[yes]",
    "revoked_document_given_away": "revocation.py::test_nobody_is_given_it_while_the_lock_is_busy",
    "rotated_away_token_restored": "backup.py::test_what_was_rotated_away_comes_back_by_force_alone",
    "lineage_not_restored": "backup.py::test_on_another_volume_the_lineage_goes_on",
    "strangers_token_replaced": "backup.py::test_somebody_elses_token_is_replaced_by_force_alone",
    "replies_removed_by_the_doctor": "repair.py::test_a_reply_that_nobody_remembers_stays",
    "files_in_use_removed_by_the_doctor": "repair.py::test_files_of_other_programs_and_fresh_ones_are_not_touched",
    "lost_state_begins_at_zero": "reconcile.py::test_the_generation_never_falls_when_the_state_is_lost",
}


def test_every_mutant_has_a_test_that_catches_it() -> None:
    assert set(CAUGHT_BY) == set(MUTANTS)


@pytest.mark.parametrize("name", sorted(CAUGHT_BY))
def test_a_broken_guarantee_is_noticed(name: str) -> None:
    file, _, test = CAUGHT_BY[name].partition("::")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "mutants", "-p", "no:cacheprovider", "--tb=line"]
    ours = file.removeprefix("faults/")
    command.append(f"{TESTS / f'test_keeper_{file}' if ours == file else FAULTS / f'test_{ours}'}::{test}")
    search = os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, env={**os.environ, "MUTANT": name, "PYTHONPATH": search}, capture_output=True, text=True,
        check=False, timeout=120, cwd=FAULTS.parents[1],
    )  # fmt: skip
    assert done.returncode == 1, f"{CAUGHT_BY[name]} does not notice it:\n{done.stdout}\n{done.stderr}"
    assert "1 failed" in done.stdout
