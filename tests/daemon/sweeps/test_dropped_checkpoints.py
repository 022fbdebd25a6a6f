"""The checkpoints of a dropped setting are deleted; what is read, and everything else of its run, stays."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from bertd.daemon.sweeps.dropped_checkpoints import delete_checkpoints
from bertd.records import KeptCheckpoint, KeptCheckpoints
from bertd.run.checkpoint_index import read_checkpoint_index, write_checkpoint_index
from bertd.run.paths import RunPaths, step_folder_name


def test_all_are_deleted_but_one_that_is_read(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    names = [step_folder_name(step) for step in (1, 2)]
    for name in names:
        for folder in (paths.checkpoints, paths.exports):
            (folder / name).mkdir(parents=True)
            (folder / name / "weights").write_text("x")
    paths.journal.write_text("")
    kept = [
        KeptCheckpoint(name=name, step=1, progress=0.1, size_bytes=1, validation_loss=None, markers=[], reasons=["x"])
        for name in names
    ]
    write_checkpoint_index(paths, KeptCheckpoints(checkpoints=kept))

    reader = os.open(paths.checkpoints / names[1], os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(reader, fcntl.LOCK_SH)
    delete_checkpoints(paths)
    os.close(reader)
    assert sorted(entry.name for entry in paths.checkpoints.iterdir()) == ["kept.json", names[1]]
    assert [each.name for each in read_checkpoint_index(paths).checkpoints] == [names[1]]

    for _ in range(2):
        delete_checkpoints(paths)
        assert [entry.name for entry in paths.checkpoints.iterdir()] == ["kept.json"]
    assert paths.journal.exists()
    assert sorted(entry.name for entry in paths.exports.iterdir()) == names


def test_a_run_without_a_checkpoint_is_left_as_it_is(tmp_path: Path) -> None:
    delete_checkpoints(RunPaths(tmp_path))
    assert list(tmp_path.iterdir()) == []
