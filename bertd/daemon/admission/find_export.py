"""The export that a finetuning names, and what to do where there is none yet."""

from __future__ import annotations

import re
from pathlib import Path

from bertd.daemon.admission.finetuning import require_export
from bertd.errors import CheckpointError, UnknownJobError
from bertd.jobs.store.job_names import find_run
from bertd.jobs.store.queue import Job, Queue
from bertd.records import JobKind, JobState
from bertd.run.checkpoint_index import find_checkpoint_at_marker
from bertd.run.paths import RunPaths, newest_first, step_folder_name, step_of

RUN_REFERENCE = re.compile(r"^(@|[^@/]+?)(?:@(\d{1,18}|0?\.\d{1,18}))?$")
"""A run, optionally followed by a step or by a marker, which is written as a share of the budget."""
_MAX_ID_DIGITS = 18
"""Most digits of a job number, so that SQLite can hold it."""


def find_export(queue: Queue, text: str) -> tuple[Path, str, str | None]:
    """Folder, displayed name and run id; no run id for an export given by its path.

    Raises:
        UnknownJobError: it names no run.
        CheckpointError: there is no such export.
    """
    if text.startswith("/"):
        return require_export(Path(text)), text, None
    match = RUN_REFERENCE.match(text)
    if match is None:
        raise UnknownJobError(f"{text!r}: not a run, RUN@STEP, RUN@0.5 (a marker) or the path of an export")
    job = find_run_job(queue, match[1])
    paths = RunPaths(Path(job.folder))
    exports = paths.exports
    if match[2] is not None and "." in match[2]:
        export = exports / find_checkpoint_at_marker(paths, float(match[2]), name=job.run_id).name
    elif match[2] is not None:
        export = exports / step_folder_name(int(match[2]))
    else:
        found = newest_first(exports)
        if not found:
            raise CheckpointError(_no_export_message(job, paths))
        export = found[0]
    if not export.exists() and (paths.checkpoints / export.name).is_dir():
        raise CheckpointError(
            f"{job.run_id}: has a checkpoint of step {step_of(export)} and no export of it; `bertd export "
            f"{job.run_id}@{step_of(export)}` makes one, while the run trains"
        )
    return require_export(export), f"{job.run_id}/{export.name}", job.run_id


def find_run_job(queue: Queue, name: str) -> Job:
    """The pretraining that a person names, whose export or checkpoint is meant.

    Raises:
        CheckpointError: it is the number of another job.
        UnknownJobError: there is no such run.
    """
    if not name.isdecimal() or len(name) > _MAX_ID_DIGITS:
        return find_run(queue, name)
    job = queue.get(int(name))
    if job.kind is not JobKind.PRETRAIN:
        raise CheckpointError(f"job {job.id}: is a {job.kind} and has no export; name the run {job.run_id}")
    return job


def _no_export_message(job: Job, paths: RunPaths) -> str:
    saved = newest_first(paths.checkpoints)
    if saved:
        return (
            f"{job.run_id}: has no export yet; `bertd export {job.run_id}` makes one of its newest checkpoint, that of "
            f"step {step_of(saved[0])}, while the run trains; then finetune"
        )
    if job.state is JobState.RUNNING:
        return (
            f"{job.run_id}: has neither an export nor a checkpoint yet; `bertd checkpoint {job.id}` saves one, and "
            f"`bertd export {job.run_id}` makes an export of it, while the run trains; then finetune"
        )
    return f"{job.run_id}: has no export yet, since it has not trained: it is {job.state}; finetune it after its end"
