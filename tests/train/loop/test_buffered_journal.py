from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertd.errors import StorageError
from bertd.records import AlertRecord, CheckpointRecord, JobState, JournalRecord, StateRecord, StepRecord
from bertd.run.journal import JournalWriter, read_journal
from bertd.train.loop import buffered_journal
from bertd.train.loop.buffered_journal import BufferedJournalWriter

PAUSED = StateRecord(t=0, step=5, charged_s=1, state=JobState.PAUSED, reason="requested by a person")


def step(number: int) -> StepRecord:
    return StepRecord(
        t=0,
        step=number,
        sequences=number,
        charged_s=number,
        progress=0.1,
        loss=1,
        lr=1,
        grad_norm=1,
        sequences_per_s=1,
        tokens_per_s=1,
    )


def checkpoint(number: int) -> CheckpointRecord:
    return CheckpointRecord(
        t=0, step=number, charged_s=1, name=f"step-{number:09d}", size_bytes=1, seconds=1, stall_s=1, why="interval"
    )


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The last element says whether the disk is full; tests append to change it."""
    states = [False]
    write = os.write

    def limited(fd: int, data: bytes) -> int:
        return write(fd, data[: len(data) // 2]) if states[-1] else write(fd, data)

    monkeypatch.setattr(os, "write", limited)
    return states


def kinds(records: list[JournalRecord]) -> list[str]:
    return [record.kind for record in records]


def test_a_full_disk_costs_steps_and_keeps_the_rest_for_later(tmp_path: Path, full: list[bool]) -> None:
    path = tmp_path / "journal.jsonl"
    journal = BufferedJournalWriter(JournalWriter(path))
    journal.append(step(1))
    full.append(True)
    for number in (2, 3):
        journal.append(step(number))
    journal.append(checkpoint(3))
    assert kinds(read_journal(path)) == ["step"]
    full.append(False)
    journal.append(step(4))
    records = read_journal(path)
    assert kinds(records) == ["step", "checkpoint", "alert", "step"]
    alert = records[2]
    assert isinstance(alert, AlertRecord)
    assert (alert.code, alert.message.split(" records")[0]) == ("journal_gap", "2")
    journal.append(step(5))
    assert kinds(read_journal(path)[4:]) == ["step"]


def test_a_pause_that_cannot_be_written_is_an_error(tmp_path: Path, full: list[bool]) -> None:
    journal = BufferedJournalWriter(JournalWriter(tmp_path / "journal.jsonl"))
    full.append(True)
    with pytest.raises(StorageError, match="the disk is full"):
        journal.append(PAUSED)


def test_the_number_of_buffered_records_is_bounded(
    tmp_path: Path, full: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffered_journal, "MAX_BUFFERED", 2)
    path = tmp_path / "journal.jsonl"
    journal = BufferedJournalWriter(JournalWriter(path))
    full.append(True)
    for number in range(4):
        journal.append(checkpoint(number))
    full.append(False)
    journal.close()
    assert kinds(read_journal(path)) == ["checkpoint", "checkpoint", "alert"]
