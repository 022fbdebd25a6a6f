"""`python -m bertd.jobs.runner JOB_FOLDER KIND`: runs one job in its own session and outlives the daemon.

It locks the job's log, so that a folder has one runner; writes runner.json before it starts anything, so that the
next daemon can adopt it; and writes outcome.json as its last act. What it prints goes to logs/job.log.
"""

from __future__ import annotations

import fcntl
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import BertdError, DaemonBusyError, RecipeError, StorageError
from bertd.jobs.compute import EndSignal
from bertd.jobs.finetuning import Finetune, Finetuning
from bertd.jobs.pretraining import Launch, Pretraining
from bertd.jobs.processes import own_identity
from bertd.jobs.restart_policy import RestartPolicy
from bertd.jobs.watchdog import Patience
from bertd.records import JobKind, JobState, Outcome
from bertd.run.durable import write_whole
from bertd.run.job_log import say
from bertd.run.paths import JobPaths, RunPaths


def launch_ranks(paths: RunPaths, attempt: int) -> list[str]:
    """The command that pretrains."""
    return [sys.executable, "-m", "bertd.train.launch", str(paths.root), "--attempt", str(attempt)]


def launch_finetuner(paths: JobPaths) -> list[str]:
    """The command that finetunes."""
    return [sys.executable, "-m", "bertd.glue.finetuner", str(paths.root)]


@dataclass(frozen=True)
class Programs:
    """What the runner starts, and how patient it is; tests pass their own."""

    launch: Launch = launch_ranks
    finetune: Finetune = launch_finetuner
    policy: RestartPolicy = RestartPolicy()
    patience: Patience = Patience()


@contextmanager
def sole_runner(paths: JobPaths) -> Iterator[None]:
    """Hold the job's folder: no second runner, and no daemon that tidies it, while this one does.

    Raises:
        DaemonBusyError: another process holds it.
        StorageError: the log cannot be opened.
    """
    try:
        paths.logs.mkdir(parents=True, exist_ok=True)
        fd = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StorageError(f"{paths.log}: cannot open the log: {error.strerror}; mend the disk") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DaemonBusyError(f"{paths.root}: another runner has this job; wait for it, or end it") from error
        yield
    finally:
        os.close(fd)


def run_job(folder: Path, kind: JobKind, *, programs: Programs) -> int:
    """Run a job to its outcome; the exit code is 0 where that is on the disk."""
    paths = JobPaths(folder)
    try:
        with sole_runner(paths):
            end = EndSignal()
            write_whole(paths.runner, own_identity().model_dump_json())
            outcome = _guarded(lambda: _run(folder, kind, programs=programs, end=end))
            say(f"runner: {outcome.state}: {outcome.reason}")
            write_whole(paths.outcome, outcome.model_dump_json())
    except BertdError as error:
        say(f"runner: {error}")
        return error.exit_code
    return 0


def _run(folder: Path, kind: JobKind, *, programs: Programs, end: EndSignal) -> Outcome:
    if kind is JobKind.PRETRAIN:
        return Pretraining(
            RunPaths(folder), launch=programs.launch, end=end, policy=programs.policy, patience=programs.patience
        ).run()
    return Finetuning(JobPaths(folder), finetune=programs.finetune, end=end).run()


def _guarded(run: Callable[[], Outcome]) -> Outcome:
    """The edge of the runner: every error becomes an outcome."""
    try:
        return run()
    except BertdError as error:
        return Outcome(state=JobState.FAILED, reason=str(error), exit_code=error.exit_code)
    except Exception as error:
        say(traceback.format_exc())
        reason = f"the runner failed: {type(error).__name__}: {error}; logs/job.log has the traceback; please report it"
        return Outcome(state=JobState.FAILED, reason=reason, exit_code=1)


def main(arguments: list[str], *, programs: Programs) -> int:
    """The command line.

    Raises:
        RecipeError: not a folder and a kind.
    """
    if len(arguments) != 2 or arguments[1] not in (JobKind.PRETRAIN, JobKind.FINETUNE):
        raise RecipeError("usage: python -m bertd.jobs.runner JOB_FOLDER pretrain|finetune")
    return run_job(Path(arguments[0]).absolute(), JobKind(arguments[1]), programs=programs)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], programs=Programs()))
    except BertdError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
