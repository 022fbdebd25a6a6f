"""Train a run without a daemon, in a folder that the same command continues: for Slurm, containers, or by hand.

The runner, and so ledger, watchdog, restarts and checkpoints, is the one that a daemon starts. A pause ends the process
with the run saved; calling it again continues with the next sequence and the time charged so far.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bertd.errors import RecipeError, RunFolderError, StorageError
from bertd.jobs.runner.child_process import StopSignal
from bertd.jobs.runner.clean_folder import clean_job_folder
from bertd.jobs.runner.run_job import read_outcome
from bertd.records import JobKind, JobState, JournalRecord, Outcome
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import open_regular
from bertd.run.journal import JournalReader
from bertd.run.machine.child_processes import start_child
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import format_recipe, read_recipe
from bertd.run.recipe.schema import Recipe

_LOOK_S = 1.0
"""Time between two reads of the journal."""


def open_run_folder(folder: Path, recipe: Recipe | None) -> RunPaths:
    """Make the folder of a run, or check that it is one of this recipe.

    Args:
        folder: where the run is kept.
        recipe: resolved; None to continue what is there.

    Raises:
        RecipeError: the folder has another recipe, or none and none is given.
        RunFolderError: the folder has other files, and no recipe.
        StorageError: it cannot be made.
    """
    paths = RunPaths(folder)
    if paths.recipe.exists():
        if recipe is not None:
            _require_same_recipe(read_recipe(paths.recipe), recipe, folder=folder)
        return paths
    if recipe is None:
        raise RecipeError(f"{folder}: no run is there yet; name the recipe that it is to train")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # What Slurm and containers put beside it, such as the script's output, is no run's.
        if paths.journal.exists() or paths.ledger.exists():
            raise RunFolderError(
                f"{folder}: has a journal but no {paths.recipe.name}; restore it, or take a new folder"
            )
        paths.logs.mkdir(exist_ok=True)
        paths.control.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot make the run's folder: {error.strerror}; check the path") from error
    atomic_write(paths.recipe, format_recipe(recipe))
    return paths


def train_run(paths: RunPaths, *, on_record: Callable[[JournalRecord], None]) -> Outcome | None:
    """Run its runner until the run ends, pauses or fails; SIGTERM and SIGINT pause it.

    Args:
        paths: of the run.
        on_record: called with each record of the journal, soon after it was written.

    Returns:
        The outcome; that of an earlier call if the run was over already; None if the runner was killed.

    Raises:
        DaemonBusyError: another runner has the run.
        RunFolderError: the folder is unusable.
        StorageError: the disk refused.
    """
    earlier = read_outcome(paths)
    if earlier is not None and earlier.state in (JobState.DONE, JobState.CANCELLED):
        return earlier
    stop_signal = StopSignal()
    clean_job_folder(paths.root, keep_stop=False, now=time.time())
    journal = JournalReader(paths.journal, offset=paths.journal.stat().st_size if paths.journal.exists() else 0)
    runner = _start_runner(paths)
    pidfd = os.pidfd_open(runner.pid)
    is_forwarded = False
    try:
        while runner.poll() is None:
            if stop_signal.is_set and not is_forwarded:
                is_forwarded = True
                runner.terminate()
            stop_signal.wait(_LOOK_S, wake_fd=pidfd)
            _pass_on(journal, paths, on_record)
    finally:
        os.close(pidfd)
        if runner.poll() is None:
            runner.terminate()
            runner.wait()
    _pass_on(journal, paths, on_record)
    return read_outcome(paths)


def _pass_on(journal: JournalReader, paths: RunPaths, on_record: Callable[[JournalRecord], None]) -> None:
    if paths.journal.exists():
        for record in journal:
            on_record(record)


def _start_runner(paths: RunPaths) -> subprocess.Popen[bytes]:
    # -P, so that no file in the folder, which is the current one, hides a module.
    command = [sys.executable, "-P", "-m", "bertd.jobs.runner", str(paths.root), JobKind.PRETRAIN]
    try:
        with os.fdopen(open_regular(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as log:
            # In its own session, so that Ctrl-C reaches this process alone. If this one is killed, it saves.
            return start_child(
                command,
                death_signal=signal.SIGTERM,
                stdout=log,
                stderr=log,
                cwd=str(paths.root),
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
    except OSError as error:
        raise StorageError(
            f"{paths.root}: cannot start its runner: {error}; free memory, processes or files"
        ) from error


def _require_same_recipe(present: Recipe, asked: Recipe, *, folder: Path) -> None:
    """Refuse to continue a run by another recipe than it began with.

    Raises:
        RecipeError: a key differs, which is named.
    """
    theirs, ours = present.model_dump(), asked.model_dump()
    for section, keys in theirs.items():
        for key, value in keys.items():
            if value != ours[section][key]:
                raise RecipeError(
                    f"{folder}: its run has [{section}] {key} = {value!r}, not {ours[section][key]!r}; a run keeps "
                    "its recipe: leave RECIPE out to continue it, or take another folder"
                )
