"""A start reads what it needs of a journal whatever the journal's length, and gets what the whole journal says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertd.jobs.runner.attempt_follower import AttemptFollower
from bertd.records import BudgetRecord, BudgetUnit, JournalRecord, RestartRecord, RollbackRecord
from bertd.run.journal import append_records, read_journal
from bertd.run.journal_digest import DigestAt, JournalDigest, read_digest, read_digest_at, store_digest
from bertd.run.paths import RunPaths, digest_of_journal
from tests.run.test_journal import step
from tests.run.test_progress import SAVED, moved, start

CHANGED = BudgetRecord(t=0, step=2, sequences=64, charged_s=2, unit=BudgetUnit.STEPS, before=20, after=30, spent=2)
ROLLED_BACK = RollbackRecord(
    t=0, step=1, sequences=96, charged_s=4, from_step=3, skipped_sequences=64, cause="spike", number=1
)
RESTARTED = RestartRecord(t=0, step=3, attempt=2, cause="killed", delay_s=1, from_step=1, charged_s=5)


def fold_all(records: list[JournalRecord]) -> JournalDigest:
    digest = JournalDigest()
    for record in records:
        digest = digest.with_record(record)
    return digest


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of some attempts."""
    path = tmp_path / "journal.jsonl"
    append_records(
        path, [STARTED, step(1), step(2), CHANGED, step(3), ROLLED_BACK, step(2), RESTARTED, SAVED, step(3), step(4)]
    )
    return path


def test_the_digest_says_what_the_whole_journal_says(journal: Path) -> None:
    digest = read_digest(journal)

    assert digest == fold_all(read_journal(journal))
    assert digest.budget_changes == (CHANGED,) and digest.rollbacks == (ROLLED_BACK,)
    assert (digest.first_step, digest.last_step, digest.attempt) == (step(1), step(4), 1)


STARTED, MOVED = start(world_size=1), moved(1, 2, charged_s=3.0)
A_STEP = "a step"
LINES = st.lists(
    st.sampled_from(
        [A_STEP, '{"kind":"step","torn', '{"kind":"unknown"}', ""]
        + [each.model_dump_json() for each in (CHANGED, ROLLED_BACK, RESTARTED, SAVED, STARTED, MOVED)]
    ),
    max_size=30,
)


@settings(max_examples=100)
@given(lines=LINES, stored_after=st.integers(0, 30))
def test_steps_that_are_left_out_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], stored_after: int
) -> None:
    path = tmp_path_factory.mktemp("digest") / "journal.jsonl"
    # Steps and charge rise, as in an attempt.
    ordered = [step(place).model_dump_json() if line == A_STEP else line for place, line in enumerate(lines, start=1)]
    path.write_text("".join(f"{line}\n" for line in ordered[:stored_after]))
    store_digest(path, read_digest_at(path))
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in ordered[stored_after:])

    assert read_digest(path) == fold_all(read_journal(path))


def test_what_a_stored_digest_has_is_not_read_again(journal: Path) -> None:
    at = read_digest_at(journal)
    known = JournalDigest(attempt=41)
    store_digest(journal, DigestAt(known, at.offset))
    append_records(journal, [step(5)])

    assert read_digest(journal) == known.with_record(step(5))


def replace_in(path: Path, old: bytes, new: bytes) -> None:
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))


def replace_by_link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "absent": lambda digest, journal: digest.unlink(),
    "a link to a device": lambda digest, journal: replace_by_link(digest, "/dev/zero"),
    "a FIFO": lambda digest, journal: replace_by_fifo(digest),
    "cut short": lambda digest, journal: os.truncate(digest, 20),
    "of another format": lambda digest, journal: replace_in(digest, b'{"format":2', b'{"format":1'),
    "of a longer journal": lambda digest, journal: os.truncate(journal, 2000),
    "of another journal": lambda digest, journal: replace_in(journal, b'"loss":5.0', b'"loss":6.0'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_digest_that_is_not_of_this_journal_is_ignored(journal: Path, damage: str) -> None:
    at = read_digest_at(journal)
    store_digest(journal, DigestAt(JournalDigest(attempt=41), at.offset))
    assert read_digest(journal).attempt == 41

    DAMAGES[damage](digest_of_journal(journal), journal)

    assert read_digest(journal) == fold_all(read_journal(journal))


def test_a_runner_stores_the_digest_before_each_attempt_and_the_next_continues_it(journal: Path) -> None:
    paths = RunPaths(journal.parent)
    follower = AttemptFollower(paths)
    assert follower.begin_attempt() == 2
    append_records(journal, [step(9)])
    follower.follow()

    assert digest_of_journal(journal).is_file()
    again = AttemptFollower(paths)
    assert again.progress == follower.progress == fold_all(read_journal(journal)).progress
    assert again.begin_attempt() == 2


def test_a_disk_that_refuses_the_digest_costs_only_time(journal: Path) -> None:
    digest_of_journal(journal).mkdir()

    assert AttemptFollower(RunPaths(journal.parent)).begin_attempt() == 2
    assert read_digest(journal) == fold_all(read_journal(journal))
