"""Check what must hold after every fault: `assert_sound`.

It is called on a state folder at rest, after the fault and the start that followed it: the daemon and every runner have
exited.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil

from bertd.jobs.store.lifecycle import ENDED, LIVE, TRANSITIONS
from bertd.records import CheckpointRecord, CommandRecord, EndRecord, JobState, StartRecord, StepRecord
from bertd.run.journal import JournalReader
from bertd.run.ledger import TICK_S, read_ledger
from bertd.run.paths import TEMPORARY_PREFIX, RunPaths, newest_first

CLOCK_GRAIN_S = 0.05
"""Allowed difference between two processes that read the same clock one after the other."""


@dataclass
class Witness:
    """What was seen of one folder before, to check that nothing goes backwards."""

    born_s: float = field(default_factory=time.monotonic)
    charged_s: dict[Path, float] = field(default_factory=dict)
    said: dict[Path, bytes] = field(default_factory=dict)
    """Journals up to the last record that `append` had flushed to the disk."""


def assert_sound(root: Path, witness: Witness, *, has_real_checkpoints: bool = True) -> None:
    """Check all invariants of everything below `root`.

    Args:
        root: a state folder, or one run's.
        witness: of the same folder; updated for the next call.
        has_real_checkpoints: False if fake ranks made them, without content.
    """
    _assert_nobody_left(root)
    runs = [RunPaths(path.parent) for path in root.rglob("recipe.toml")]
    for paths in runs:
        _assert_ledger(paths, witness)
        _assert_journal(paths, witness)
        _assert_checkpoints(paths, are_real=has_real_checkpoints)
        left = [path for path in paths.root.rglob(f"{TEMPORARY_PREFIX}*") if not _is_swept_at_the_next_start(path)]
        assert left == [], f"half written and left: {left}"
    queue = root / "queue.db"
    if queue.exists():
        _assert_queue(queue)


def _assert_nobody_left(root: Path) -> None:
    left = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(root) in word for word in process.info["cmdline"] or [])
    ]
    assert left == [], f"processes {left} of {root} still live"


def _assert_ledger(paths: RunPaths, witness: Witness) -> None:
    if not paths.ledger.exists():
        return
    state = read_ledger(paths.ledger)
    before_s = witness.charged_s.get(paths.root, 0.0)
    elapsed_s = time.monotonic() - witness.born_s
    assert state.ticked_s >= before_s, f"{paths.ledger}: fell from {before_s} to {state.ticked_s}"
    assert state.closed_s <= state.ticked_s
    assert state.ticked_s <= elapsed_s + CLOCK_GRAIN_S, f"{paths.ledger}: {state.ticked_s} s charged in {elapsed_s} s"
    witness.charged_s[paths.root] = state.ticked_s


def _assert_journal(paths: RunPaths, witness: Witness) -> None:
    reader = JournalReader(paths.journal)
    records = reader.read()
    assert reader.num_damaged_lines == 0, f"{paths.journal}: {reader.num_damaged_lines} damaged lines"
    content = paths.journal.read_bytes() if paths.journal.exists() else b""
    said = witness.said.get(paths.root, b"")
    assert content.startswith(said), f"{paths.journal}: records that were on the disk are gone"
    lines = content.splitlines(keepends=True)
    durable = max((index for index, record in enumerate(records) if not isinstance(record, StepRecord)), default=-1)
    witness.said[paths.root] = b"".join(lines[: durable + 1])

    starts = [record for record in records if isinstance(record, StartRecord)]
    assert all(later.attempt > earlier.attempt for earlier, later in pairwise(starts)), "an attempt has two starts"
    step, best, charged_s = 0, 0, 0.0
    for record in records:
        if isinstance(record, StartRecord):
            assert record.step <= best, f"attempt {record.attempt} began at step {record.step}, {best} were done"
            step = record.step
        elif isinstance(record, StepRecord):
            assert record.step > step, f"step {record.step} stands behind step {step}"
            step = record.step
            best = max(best, step)
        if isinstance(record, CheckpointRecord | EndRecord):
            best = max(best, record.step)
        if isinstance(record, StartRecord | StepRecord | CheckpointRecord | EndRecord):
            # A save is reported when it is complete, with the charge of its start; a killed runner loses a tick.
            forgets_s = 1.5 * TICK_S if isinstance(record, StartRecord) else CLOCK_GRAIN_S
            assert record.charged_s >= charged_s - forgets_s or record.kind == "checkpoint", "the charge fell"
            charged_s = record.charged_s if isinstance(record, StartRecord) else max(charged_s, record.charged_s)
    numbers = [record.number for record in records if isinstance(record, CommandRecord)]
    assert numbers == list(range(1, len(numbers) + 1)), f"orders {numbers} were answered"
    assert sum(isinstance(record, EndRecord) and record.reason != "failed" for record in records) <= 1


def _assert_checkpoints(paths: RunPaths, *, are_real: bool) -> None:
    records = JournalReader(paths.journal).read()
    names = [record.name for record in records if isinstance(record, CheckpointRecord)]
    if not names:
        return
    found = newest_first(paths.checkpoints)
    assert found, f"{paths.checkpoints}: {names[-1]} was reported and there is none"
    if are_real:
        assert any(is_valid_checkpoint(folder) for folder in found), f"{paths.checkpoints}: none of {found} is whole"


def is_valid_checkpoint(folder: Path) -> bool:
    """Whether every file of a checkpoint matches its manifest; independent of the code under test."""
    try:
        files = json.loads((folder / "manifest.json").read_bytes())["files"]
        return bool(files) and all(
            (folder / name).stat().st_size == expected["size"]
            and hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected["sha256"]
            for name, expected in files.items()
        )
    except (OSError, ValueError, KeyError):
        return False


def _is_swept_at_the_next_start(path: Path) -> bool:
    """An incomplete checkpoint that a kill left is deleted by the next save of that run."""
    return path.parent.name == "checkpoints"


def _assert_queue(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        states = {job: JobState(state) for job, state in connection.execute("SELECT id, state FROM jobs")}
        leased = {job for (job,) in connection.execute("SELECT job_id FROM leases")}
        assert leased <= {job for job, state in states.items() if state in LIVE}, "a job without a runner has devices"
        ids = [number for (number,) in connection.execute("SELECT id FROM events ORDER BY id")]
        assert ids == list(range(1, len(ids) + 1)), "the event log has a gap"
        told: dict[int, JobState] = {}
        events = connection.execute("SELECT job_id, data FROM events WHERE type = 'job' ORDER BY id")
        for job, data in events:
            state = JobState(json.loads(data)["state"])
            if job in told:
                assert state in TRANSITIONS[told[job]], f"job {job} went from {told[job]} to {state}"
            told[job] = state
        assert told == states, "the stream and the table differ"
        ended = {job for (job,) in connection.execute("SELECT id FROM jobs WHERE ended_t IS NOT NULL")}
        assert ended == {job for job, state in states.items() if state in ENDED}
    finally:
        connection.close()
