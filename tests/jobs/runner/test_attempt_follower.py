from __future__ import annotations

from pathlib import Path

from bertd.jobs.runner.attempt_follower import AttemptFollower
from bertd.records import CheckpointRecord
from bertd.run.journal import append_records
from bertd.run.paths import RunPaths


def test_a_saved_step_was_done_though_no_step_record_told_of_it(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    saved = CheckpointRecord(
        t=1.0,
        step=580,
        sequences=9280,
        charged_s=9.5,
        name="step-000000580",
        size_bytes=1,
        seconds=0.1,
        stall_s=0.0,
        why="interval",
    )
    append_records(paths.journal, [saved])
    progress = AttemptFollower(paths).progress
    assert (progress.best_step, progress.step, progress.sequences) == (580, 580, 9280)
