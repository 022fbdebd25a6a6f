"""Find what ended jobs have on the disk that nothing needs any more.

Journals, logs, exports, scores and kept models always stay. Of a pretraining stay its newest checkpoint, from which
one that failed is resumed, and that of a marker that has no export yet. Of a finetuning that is done or cancelled goes
the state after an epoch, from which it would have continued. Of a command goes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import RunFolderError
from bertd.jobs.store.lifecycle import ENDED, FINAL
from bertd.jobs.store.queue import Job
from bertd.records import JobKind, JobState
from bertd.run.checkpoint_index import read_checkpoint_index
from bertd.run.disk_quota import size_on_disk
from bertd.run.paths import TRASH_PREFIX, JobPaths, RunPaths, newest_first


@dataclass(frozen=True)
class Garbage:
    """One folder that can go."""

    job: Job
    folder: Path
    what: str
    size_bytes: int
    """On the disk."""


def find_garbage(job: Job, *, all_checkpoints: bool = False) -> list[Garbage]:
    """What can go of a job; nothing of one that has not ended.

    Args:
        all_checkpoints: of a run that is done and has an export, its newest checkpoint, too.
    """
    if job.state not in ENDED:
        return []
    if job.kind is JobKind.PRETRAIN:
        found = _of_run(job, RunPaths(Path(job.folder)), all_checkpoints=all_checkpoints)
    elif job.kind in (JobKind.FINETUNE, JobKind.GRID) and job.state in FINAL:
        found = _of_finetuning(JobPaths(Path(job.folder)))
    else:
        # A finetuning that failed continues from there if it is resumed. What a command has written into its folder is
        # not bertd's, whatever it is called.
        return []
    return [Garbage(job=job, folder=folder, what=what, size_bytes=size_on_disk(folder)) for folder, what in found]


def _of_run(job: Job, paths: RunPaths, *, all_checkpoints: bool) -> Iterator[tuple[Path, str]]:
    checkpoints = newest_first(paths.checkpoints)
    exports = {export.name for export in newest_first(paths.exports)}
    needed = {checkpoint.name for checkpoint in checkpoints[:1]}
    try:
        kept = read_checkpoint_index(paths).checkpoints
    except RunFolderError:
        # Without the index nobody knows which are of markers.
        kept, needed = [], {checkpoint.name for checkpoint in checkpoints}
    needed |= {checkpoint.name for checkpoint in kept if checkpoint.markers and checkpoint.name not in exports}
    if all_checkpoints and job.state is JobState.DONE and exports:
        needed = set()
    for checkpoint in checkpoints:
        if checkpoint.name not in needed:
            yield checkpoint, "checkpoint"
    yield from _trash_in(paths.checkpoints, what="checkpoint")


def _of_finetuning(paths: JobPaths) -> Iterator[tuple[Path, str]]:
    trials = sorted(paths.trials.iterdir()) if paths.trials.is_dir() else []
    for each in (paths, *map(JobPaths, trials)):
        if each.epoch_state.is_dir():
            yield each.epoch_state, "state after an epoch"
        yield from _trash_in(each.root, what="state after an epoch", name=each.epoch_state.name)


def _trash_in(folder: Path, *, what: str, name: str = "") -> Iterator[tuple[Path, str]]:
    """What a deletion that was cut off has left, of what had that name or one that begins with it."""
    if folder.is_dir():
        yield from ((entry, f"{what}, partly deleted") for entry in sorted(folder.glob(f"{TRASH_PREFIX}{name}*")))
