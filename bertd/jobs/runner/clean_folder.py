"""Clean a job's folder before its runner starts."""

from __future__ import annotations

from pathlib import Path

from bertd.errors import StorageError
from bertd.jobs.runner.run_job import job_lock
from bertd.jobs.runner.stale_commands import answer_stale_commands
from bertd.records import CommandKind
from bertd.run.atomic_files import sweep_temporaries
from bertd.run.ledger_repair import repair_ledger
from bertd.run.paths import TEMPORARY_PREFIX, RunPaths


def clean_job_folder(folder: Path, *, keep_stop: bool, now: float) -> None:
    """Remove what the job's earlier runner left: its outcome, unfinished files, and commands that are void.

    Args:
        folder: the job's.
        keep_stop: a stop was requested for the runner that starts next, so it is not void.
        now: seconds since the epoch.

    Raises:
        DaemonBusyError: a runner has the job.
        RunFolderError: the charged time cannot be determined.
        StorageError: the disk refused.
    """
    paths = RunPaths(folder)
    with job_lock(paths):
        try:
            paths.outcome.unlink(missing_ok=True)
            for place in (folder, paths.control, paths.checkpoints, paths.exports):
                sweep_temporaries(place, prefixes=(TEMPORARY_PREFIX,))
        except OSError as error:
            raise StorageError(f"{error.filename}: cannot clean up: {error.strerror}; check the disk") from error
        if paths.recipe.exists():
            repair_ledger(paths)
        kept = frozenset({CommandKind.STOP}) if keep_stop else frozenset[CommandKind]()
        answer_stale_commands(
            paths, still_valid=kept, detail="void: the job was started again before any rank read it", now=now
        )
