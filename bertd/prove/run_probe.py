"""A run folder as a proof makes one, its runner as a process, and what its journal says.

Nothing here imports torch or makes a CUDA context, so that the memory of the card is the run's alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from bertd.errors import BertdError
from bertd.records import CommandKind, FinetuneSpec, JobKind, JournalRecord, Outcome, Record
from bertd.run.atomic_files import atomic_write
from bertd.run.journal import read_journal
from bertd.run.machine.child_processes import start_child
from bertd.run.mailbox import post
from bertd.run.paths import JobPaths, RunPaths
from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.schema import Recipe

_POLL_S = 0.03
_WORKER = "bertd.train.distributed.worker"

R = TypeVar("R", bound=Record)


def runner_command(paths: JobPaths, kind: JobKind) -> list[str]:
    """What the daemon would start."""
    return [sys.executable, "-m", "bertd.jobs.runner", str(paths.root), kind]


class ProbeFailedError(BertdError):
    """A run of the proof did not do what it was to do."""


class JobProbe:
    """One job, started as the daemon starts it, without a daemon."""

    def __init__(self, paths: JobPaths, kind: JobKind) -> None:
        self.paths = paths
        self._kind = kind
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> float:
        """Start the runner over what the folder holds; the wall-clock time at which it was started."""
        self.paths.outcome.unlink(missing_ok=True)
        self.paths.logs.mkdir(parents=True, exist_ok=True)
        began = time.time()
        with self.paths.log.open("ab") as log:
            # A runner outlives a daemon by design, and is not to outlive a proof that was killed.
            self._process = start_child(
                runner_command(self.paths, self._kind), stdout=log, stderr=log, env={**os.environ, **variables}
            )
        return began

    def post(self, verb: CommandKind) -> None:
        """Put a command into the mailbox."""
        post(self.paths.control, verb=verb, asked_by="bertd prove", now=time.time())

    def wait_for(self, condition: Callable[[], bool], *, what: str, until_s: float) -> None:
        """Look until it holds.

        Args:
            until_s: of the monotonic clock.

        Raises:
            ProbeFailedError: the runner ended before, or it took too long.
        """
        while not condition():
            assert self._process is not None
            if self._process.poll() is not None and not condition():
                raise ProbeFailedError(f"the run ended before {what}: {self.describe_end()}")
            if time.monotonic() > until_s:
                raise ProbeFailedError(f"no {what} in time; the log ends: {self.log_tail()}")
            time.sleep(_POLL_S)

    def wait(self, *, until_s: float) -> Outcome:
        """Wait for the end and its outcome.

        Raises:
            ProbeFailedError: it took too long, or there is no outcome.
        """
        assert self._process is not None
        try:
            self._process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise ProbeFailedError(f"no end in time; the log ends: {self.log_tail()}") from error
        if not self.paths.outcome.is_file():
            raise ProbeFailedError(f"the runner left no outcome; the log ends: {self.log_tail()}")
        return Outcome.model_validate_json(self.paths.outcome.read_bytes())

    def describe_end(self) -> str:
        """The outcome's reason, or the end of the log."""
        if self.paths.outcome.is_file():
            return Outcome.model_validate_json(self.paths.outcome.read_bytes()).reason
        return f"the log ends: {self.log_tail()}"

    def log_tail(self) -> str:
        """The last lines that were printed."""
        try:
            return " / ".join(self.paths.log.read_text(errors="replace").splitlines()[-3:])
        except OSError:
            return "(no log)"

    @property
    def journal(self) -> list[JournalRecord]:
        return read_journal(self.paths.journal)

    def records(self, kind: type[R]) -> list[R]:
        """Those of one kind."""
        return [record for record in self.journal if isinstance(record, kind)]

    def ranks(self) -> list[psutil.Process]:
        """The processes that train."""
        assert self._process is not None
        try:
            below = psutil.Process(self._process.pid).children(recursive=True)
            return [process for process in below if _WORKER in process.cmdline()]
        except psutil.Error:
            return []

    def kill(self) -> None:
        """End the runner where it still runs; its ranks end with it."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def make_run(folder: Path, recipe: Recipe) -> JobProbe:
    """A run folder with its recipe."""
    paths = RunPaths(folder)
    paths.logs.mkdir(parents=True)
    paths.control.mkdir()
    atomic_write(paths.recipe, format_recipe(recipe))
    return JobProbe(paths, JobKind.PRETRAIN)


def make_finetuning(folder: Path, spec: FinetuneSpec) -> JobProbe:
    """A job folder with its specification."""
    paths = JobPaths(folder)
    paths.logs.mkdir(parents=True)
    paths.control.mkdir()
    atomic_write(paths.finetune_spec, spec.model_dump_json(indent=1))
    return JobProbe(paths, JobKind.FINETUNE)
