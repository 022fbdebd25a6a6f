"""Check that a run's disk has enough space, as bertd.run.machine.disk_space computes it, and free some for a save."""

from __future__ import annotations

import shutil
from pathlib import Path

from bertd.errors import NoRoomError
from bertd.run.disk_quota import read_disk_quota, size_on_disk
from bertd.run.machine.disk_space import (
    DiskSpace,
    classify_disk_space,
    describe_shortage,
    estimate_disk_need,
    require_disk_space,
)
from bertd.run.paths import RunPaths
from bertd.run.recipe.schema import CheckpointSection
from bertd.train.checkpoint.retention import Retention


def check_disk_space(paths: RunPaths, section: CheckpointSection, *, num_parameters: int, is_fresh: bool) -> str | None:
    """Check the space for all of a run; return the text of an alert if it is short, else None.

    Raises:
        StorageError: the disk is too small, and the run is fresh; one that has trained is not refused.
    """
    need = estimate_disk_need(section, num_parameters=num_parameters)
    free_bytes = shutil.disk_usage(paths.root).free
    used_bytes = _tree_bytes(paths.checkpoints) + _tree_bytes(paths.exports)
    if is_fresh:
        require_disk_space(need, free_bytes=free_bytes, used_bytes=used_bytes, folder=paths.root)
    return describe_shortage(need, free_bytes=free_bytes, used_bytes=used_bytes, folder=paths.root)


def free_disk_space(paths: RunPaths, retention: Retention, *, needed_bytes: int, step: int) -> None:
    """Make space for a checkpoint, if needed by deleting older ones that are neither a marker nor the best.

    So it is where the run would exceed its quota, too; where even that is not enough the save is done all the same.

    Raises:
        NoRoomError: even that would not be enough, so nothing was deleted.
        StorageError: the disk refused.
    """
    retention.sweep_temporaries()
    free_bytes = shutil.disk_usage(paths.root).free
    if classify_disk_space(needed_bytes=needed_bytes, free_bytes=free_bytes, prunable_bytes=0) is DiskSpace.ENOUGH:
        quota_bytes = read_disk_quota(paths)
        if quota_bytes is not None and size_on_disk(paths.root) + needed_bytes > quota_bytes:
            retention.free_disk_space()
        return
    prunable_bytes = retention.prunable_bytes()
    if (
        classify_disk_space(needed_bytes=needed_bytes, free_bytes=free_bytes, prunable_bytes=prunable_bytes)
        is DiskSpace.NONE
    ):
        raise NoRoomError(
            f"{paths.root}: {free_bytes / 1e9:.2f} GB free and {prunable_bytes / 1e9:.2f} GB in checkpoints that may "
            f"be deleted, {needed_bytes / 1e9:.2f} GB to save at step {step}; free space on that disk"
        )
    retention.free_disk_space()


def _tree_bytes(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()) if folder.is_dir() else 0
