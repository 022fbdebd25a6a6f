"""Run one job from its folder to its outcome, under a lock that keeps out a second runner.

The lock is on the job's log. runner.json is written before anything is started, so that the next daemon can adopt the
runner; outcome.json is written last. Standard output is logs/job.log.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import BertdError, DaemonBusyError, RunFolderError, StorageError
from bertd.jobs.runner.budget_end import ExportCommand, export_newest
from bertd.jobs.runner.child_process import StopSignal
from bertd.jobs.runner.command_job_runner import STOP_GRACE_S, CommandJobRunner
from bertd.jobs.runner.finetune_runner import FinetuneCommand, FinetuneRunner
from bertd.jobs.runner.grid.grid_runner import GridRunner
from bertd.jobs.runner.grid.grid_workers import WorkerCommand
from bertd.jobs.runner.pretrain_runner import LaunchCommand, PretrainRunner
from bertd.jobs.runner.restart_policy import RestartPolicy
from bertd.jobs.runner.tracker_processes import TrackerCommand, feed_tracker, start_trackers
from bertd.jobs.runner.watchdog import HangTimeouts
from bertd.records import PROGRAM_KINDS, JobKind, JobState, Outcome
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import open_regular, read_bounded
from bertd.run.log import log_line
from bertd.run.log_times import noting_log_times
from bertd.run.machine.processes import own_identity
from bertd.run.paths import JobPaths, RunPaths

logger = logging.getLogger(__name__)


def launch_ranks(paths: RunPaths, attempt: int) -> list[str]:
    """The command that pretrains."""
    return [sys.executable, "-m", "bertd.train.distributed.launch", str(paths.root), "--attempt", str(attempt)]


def launch_finetuner(paths: JobPaths) -> list[str]:
    """The command that finetunes."""
    return [sys.executable, "-m", "bertd.glue", str(paths.root)]


def launch_worker() -> list[str]:
    """The command that runs the trials of a grid."""
    return [sys.executable, "-m", "bertd.glue.worker"]


@dataclass(frozen=True)
class RunnerConfig:
    """The commands, restart policy and timeouts of a runner; tests pass their own."""

    launch: LaunchCommand = launch_ranks
    finetune: FinetuneCommand = launch_finetuner
    worker: WorkerCommand = launch_worker
    export: ExportCommand = export_newest
    tracker: TrackerCommand = feed_tracker
    policy: RestartPolicy = RestartPolicy()
    timeouts: HangTimeouts = HangTimeouts()
    command_grace_s: float = STOP_GRACE_S
    """From SIGTERM to SIGKILL, for a job that runs one program."""


@contextmanager
def job_lock(paths: JobPaths) -> Iterator[None]:
    """Lock the job's folder against a second runner, and against a daemon that cleans it up.

    Raises:
        DaemonBusyError: another process holds it.
        StorageError: the log cannot be opened.
    """
    try:
        paths.logs.mkdir(parents=True, exist_ok=True)
        fd = open_regular(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise StorageError(f"{paths.log}: cannot open the log: {error.strerror}; check the disk") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DaemonBusyError(f"{paths.root}: another runner has this job; wait for it, or kill it") from error
        yield
    finally:
        os.close(fd)


def read_outcome(paths: JobPaths) -> Outcome | None:
    """The outcome; None if the runner was killed before it wrote one, or it is damaged, which is logged.

    Raises:
        RunFolderError: it cannot be read.
    """
    try:
        return Outcome.model_validate_json(read_bounded(paths.outcome))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunFolderError(f"{paths.outcome}: cannot read the outcome: {error.strerror}; check the disk") from error
    except ValidationError as error:
        logger.error("%s: not an outcome: %s; the job is handled as if there were none", paths.outcome, error)
        return None


def run_job(folder: Path, kind: JobKind, *, config: RunnerConfig) -> int:
    """Run a job to its outcome; the exit code is 0 if the outcome is on the disk."""
    paths = JobPaths(folder)
    try:
        with job_lock(paths), noting_log_times(paths.log_times, log=paths.log):
            stop_signal = StopSignal()
            atomic_write(paths.runner, own_identity().model_dump_json())
            outcome = _run_catching_errors(lambda: _run(folder, kind, config=config, stop_signal=stop_signal))
            log_line(f"runner: {outcome.state}: {outcome.reason}")
            atomic_write(paths.outcome, outcome.model_dump_json())
    except BertdError as error:
        log_line(f"runner: {error}")
        return error.exit_code
    return 0


def _run(folder: Path, kind: JobKind, *, config: RunnerConfig, stop_signal: StopSignal) -> Outcome:
    if kind is JobKind.PRETRAIN:
        start_trackers(RunPaths(folder), command=config.tracker)
        return PretrainRunner(
            RunPaths(folder),
            launch=config.launch,
            export=config.export,
            stop_signal=stop_signal,
            policy=config.policy,
            timeouts=config.timeouts,
        ).run()
    if kind is JobKind.GRID:
        return GridRunner(JobPaths(folder), worker=config.worker, stop_signal=stop_signal).run()
    if kind in PROGRAM_KINDS:
        return CommandJobRunner(JobPaths(folder), stop_signal=stop_signal, grace_s=config.command_grace_s).run()
    return FinetuneRunner(JobPaths(folder), finetune=config.finetune, stop_signal=stop_signal).run()


def _run_catching_errors(run: Callable[[], Outcome]) -> Outcome:
    """Turn every error into an outcome."""
    try:
        return run()
    except BertdError as error:
        return Outcome(state=JobState.FAILED, reason=str(error), exit_code=error.exit_code)
    except Exception as error:
        log_line(traceback.format_exc())
        reason = f"the runner failed: {type(error).__name__}: {error}; logs/job.log has the traceback; please report it"
        return Outcome(state=JobState.FAILED, reason=reason, exit_code=1)
