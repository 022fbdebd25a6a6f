"""bertd.run.ledger_repair: a damaged or missing ledger continues from the journal's charge, with an alert."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bertd.errors import RunFolderError
from bertd.jobs.runner.child_process import StopSignal
from bertd.jobs.runner.pretrain_runner import PretrainRunner
from bertd.jobs.runner.restart_policy import RestartPolicy
from bertd.jobs.runner.watchdog import HangTimeouts
from bertd.records import AlertRecord, CheckpointRecord, JobState, JournalRecord, RestartRecord, StateRecord
from bertd.run.journal import append_records, read_journal
from bertd.run.ledger import Ledger, LedgerState, read_ledger, write_ledger
from bertd.run.ledger_repair import repair_ledger
from bertd.run.paths import RunPaths

SAVED = CheckpointRecord(
    t=0, step=40, charged_s=130.0, name="step-000000040", size_bytes=1, seconds=2.0, stall_s=0.1, why="pause"
)
DEAF = StopSignal.__new__(StopSignal)
"""Without __init__, which would install signal handlers in the test process."""
PAUSED = StateRecord(t=0, step=40, charged_s=131.5, state=JobState.PAUSED, reason="requested by a person")


def told(paths: RunPaths, *records: JournalRecord) -> None:
    append_records(paths.journal, records)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    """A run that was paused after 131.75 charged seconds, with 131.5 in the journal."""
    paths = RunPaths(tmp_path)
    write_ledger(paths.ledger, LedgerState(closed_s=131.75, ticked_s=131.75))
    told(paths, PAUSED, SAVED)
    return paths


def alerts(paths: RunPaths) -> list[str]:
    return [record.message for record in read_journal(paths.journal) if isinstance(record, AlertRecord)]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "another number": lambda path: path.write_text(path.read_text().replace("131.75", "31.75")),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:20]),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(256))),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_or_gone_goes_on_from_the_journal_and_says_so(paths: RunPaths, damage: str) -> None:
    DAMAGES[damage](paths.ledger)
    left = paths.ledger.read_bytes() if paths.ledger.exists() else None

    for _ in range(2):
        # As at the start of a runner; the second call finds nothing to repair.
        PretrainRunner(
            paths,
            launch=lambda *_: [],
            export=lambda _: [],
            stop_signal=DEAF,
            policy=RestartPolicy(),
            timeouts=HangTimeouts(),
        )._board.close()

    assert read_ledger(paths.ledger) == LedgerState(closed_s=131.5, ticked_s=131.5)
    what = "is gone" if left is None else "is damaged"
    assert alerts(paths) == [f"ledger.json {what}; the charge continues from 131.5 s, the highest in the journal"]
    aside = paths.root / "damaged-ledger.json"
    assert (aside.read_bytes() if aside.exists() else None) == left


def test_the_highest_charge_counts_whatever_tells_it(paths: RunPaths) -> None:
    # After half an hour in which a rank hung: only the restart record has the charge.
    hung = RestartRecord(t=0, step=40, charged_s=1931.5, attempt=2, cause="hung", delay_s=1.0, from_step=40)
    told(paths, hung, SAVED)
    paths.ledger.unlink()

    repair_ledger(paths)

    assert read_ledger(paths.ledger).ticked_s == 1931.5


def test_a_sound_ledger_is_believed_whatever_the_journal_tells(paths: RunPaths) -> None:
    told(paths, PAUSED.model_copy(update={"charged_s": 900.0}))
    repair_ledger(paths)
    assert read_ledger(paths.ledger).ticked_s == 131.75
    assert alerts(paths) == []


def test_a_run_that_has_not_begun_needs_no_ledger(tmp_path: Path) -> None:
    repair_ledger(RunPaths(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert Ledger(tmp_path / "ledger.json").state == LedgerState()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_budget_is_not_granted_twice_where_the_journal_is_gone_too(paths: RunPaths, damage: str) -> None:
    paths.journal.unlink()
    (paths.checkpoints / "step-000000040").mkdir(parents=True)
    DAMAGES[damage](paths.ledger)
    with pytest.raises(RunFolderError, match=r"journal\.jsonl does not say what was charged; restore one of the two"):
        repair_ledger(paths)


def test_a_later_format_is_not_taken_for_damage(paths: RunPaths) -> None:
    paths.ledger.write_text(paths.ledger.read_text().replace('"format":1', '"format":2'))
    content = paths.ledger.read_bytes()
    with pytest.raises(RunFolderError, match="upgrade it"):
        repair_ledger(paths)
    assert paths.ledger.read_bytes() == content
