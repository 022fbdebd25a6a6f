"""Train a recipe for a minute in a scratch folder, to measure what its whole run needs.

The run's own code starts, chooses kernels and batch, compiles, trains, validates and saves, so that the figures are
those of the run, and what it chooses and compiles is cached for it. It is killed once enough is measured.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import psutil

from bertd.errors import DeviceError, StorageError
from bertd.records import JournalRecord, StartRecord, StartupRecord, StepRecord
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_count
from bertd.run.atomic_files import atomic_write
from bertd.run.journal import JournalReader
from bertd.run.ledger import TICK_S, Ledger
from bertd.run.machine.child_processes import start_child
from bertd.run.paths import RunPaths
from bertd.run.plan.measurements import Measurements, read_measurements
from bertd.run.ranks.rank_failures import FAILURES_VARIABLE, FailureBoard
from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.schema import Recipe
from bertd.terminal_text import terminal_text

_MAX_S = 110.0
"""Of one rehearsal, once it has measured a few steps."""
_CPU_FIRST_STEP_LIMIT_S = 60.0
"""On CPU: longer steps are measured with a smaller batch."""
_SAVE_EVERY_S = 10.0
"""Two saves between steps are then measured."""
_MIN_STEP_RECORDS = 2
_SHORT_BATCH_PASSES = 2
"""Micro-batches of each rank in a step that is made smaller."""
_AUTO_MICRO = 32
"""Stands for a micro-batch that is chosen later."""
_LOG_BYTES = 2000
_LOAD_S = 1.0


class _TooSlowError(Exception):
    """No update was done in time."""


@dataclass(frozen=True)
class Rehearsal:
    """How a recipe is measured on this machine."""

    scratch: Path
    """A folder on the disk that the run would be on; what is written there is deleted."""
    visible_gpus: list[str] | None = None
    """UUIDs of the GPUs to use; None for those that this process sees."""
    measure_s: float = 30.0
    """Of training after the first update."""
    first_step_limit_s: float | None = None
    """Longer steps are measured with a smaller batch; None for what keeps a plan below two minutes."""
    on_progress: Callable[[str], None] = lambda text: None
    """Called with a line for a person, when there is something new."""

    def measure(self, recipe: Recipe) -> Measurements:
        """Train it for a while; takes up to two minutes.

        Raises:
            DeviceError: the ranks failed, or not even a small step was done in time; the message says why.
            StorageError: the scratch folder cannot be written.
        """
        try:
            return self._measure(_shorten(recipe))
        except _TooSlowError as slow:
            smaller = _with_small_steps(recipe)
            if smaller is None:
                raise DeviceError(f"{recipe.run.name}: {slow}; take a smaller model or batch.sequences") from None
            self.on_progress(f"{slow}: measuring smaller ones")
        try:
            return self._measure(_shorten(smaller))
        except _TooSlowError as slow:
            raise DeviceError(f"{recipe.run.name}: {slow}; take a smaller model") from None

    def _measure(self, recipe: Recipe) -> Measurements:
        other_load = _busy_cores() if recipe.devices.kind == "cpu" else None
        try:
            folder = Path(tempfile.mkdtemp(prefix="bertd-plan-", dir=self.scratch))
        except OSError as error:
            raise StorageError(
                f"{self.scratch}: cannot write there: {error.strerror}; give another --scratch"
            ) from error
        try:
            records = self._train_and_kill(recipe, RunPaths(folder / "run"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        measured = read_measurements(records, source="a rehearsal on this machine")
        return measured.model_copy(update={"other_load": other_load})

    def _train_and_kill(self, recipe: Recipe, paths: RunPaths) -> list[JournalRecord]:
        paths.logs.mkdir(parents=True)
        paths.control.mkdir()
        atomic_write(paths.recipe, format_recipe(recipe))
        ledger = Ledger(paths.ledger)
        command = [sys.executable, "-m", "bertd.train.distributed.launch", str(paths.root)]
        environment = dict(os.environ)
        if self.visible_gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.visible_gpus)
        with paths.log.open("wb") as log, closing(FailureBoard()) as failures:
            environment[FAILURES_VARIABLE] = failures.path
            ledger.begin()
            ranks = start_child(command, stdout=log, stderr=log, env=environment, start_new_session=True)
            try:
                return self._follow(ranks, paths, ledger, failures, recipe=recipe)
            finally:
                _kill(ranks)

    def _follow(
        self, ranks: Popen[bytes], paths: RunPaths, ledger: Ledger, failures: FailureBoard, *, recipe: Recipe
    ) -> list[JournalRecord]:
        """The records, once enough is measured or the time is over.

        Raises:
            DeviceError: the ranks failed.
            _TooSlowError: no update was done in time.
        """
        journal = JournalReader(paths.journal)
        records: list[JournalRecord] = []
        began_s, stepping_since_s = time.monotonic(), None
        is_cpu = recipe.devices.kind == "cpu"
        first_step_limit_s = self.first_step_limit_s or (_CPU_FIRST_STEP_LIMIT_S if is_cpu else _MAX_S)
        while True:
            has_ended = ranks.poll() is not None
            new = list(journal) if paths.journal.exists() else []
            records += new
            now_s = time.monotonic()
            if any(isinstance(record, StartupRecord) for record in new):
                stepping_since_s = now_s
            self._tell(new)
            if has_ended:
                if any(isinstance(record, StepRecord) for record in records):
                    return records
                first = failures.first(exit_code=ranks.returncode)
                words = first.message if first is not None else _last_words(paths.log)
                raise DeviceError(f"the rehearsal's ranks ended with status {ranks.returncode}: {words}")
            num_steps = sum(isinstance(record, StepRecord) for record in records)
            is_measured = num_steps >= _MIN_STEP_RECORDS and stepping_since_s is not None
            if is_measured and now_s - (stepping_since_s or now_s) > self.measure_s:
                return records
            limit_s = first_step_limit_s if stepping_since_s is None else max(_MAX_S, first_step_limit_s)
            if now_s - began_s > limit_s:
                if is_measured:
                    return records
                sequences = format_count(recipe.batch.sequences_at(0.0), "sequence")
                raise _TooSlowError(f"steps of {sequences} were not done within {format_duration(limit_s)}")
            time.sleep(TICK_S / 4)
            ledger.tick()

    def _tell(self, records: list[JournalRecord]) -> None:
        for record in records:
            match record:
                case StartRecord():
                    self.on_progress(f"{record.device_name}, {record.precision}, {record.kernels}: the first step")
                case StartupRecord():
                    self.on_progress(f"the first step was done after {format_duration(record.charged_s)}: measuring")


def _busy_cores() -> float:
    """Cores that are in use on this machine, over a second."""
    return psutil.cpu_percent(interval=_LOAD_S) / 100 * (psutil.cpu_count() or 1)


def _shorten(recipe: Recipe) -> Recipe:
    """The same training, with saves that come soon, and without what follows a run."""
    checkpoint = recipe.checkpoint.model_copy(update={"every": f"{_SAVE_EVERY_S:g}s", "keep": 1, "markers": []})
    run = recipe.run.model_copy(update={"name": "rehearsal"})
    finetune = type(recipe.finetune)()
    # Of this machine alone.
    devices = recipe.devices.model_copy(update={"nodes": 1, "min_nodes": None, "hosts": []})
    return recipe.model_copy(update={"checkpoint": checkpoint, "run": run, "finetune": finetune, "devices": devices})


def _with_small_steps(recipe: Recipe) -> Recipe | None:
    """The recipe with a few micro-batches a step; None if it has no more already."""
    batch = recipe.batch
    micro = _AUTO_MICRO if batch.micro == "auto" else batch.micro
    sequences = micro * recipe.devices.count * _SHORT_BATCH_PASSES
    if sequences >= batch.sequences_at(0.0):
        return None
    return recipe.model_copy(update={"batch": batch.model_copy(update={"sequences": sequences, "ramp": []})})


def _last_words(log: Path) -> str:
    """What bertd itself said last in the log, or else the log's end."""
    text = terminal_text(log.read_text(errors="replace"))
    own = [line.removeprefix("bertd: ") for line in text.splitlines() if line.startswith("bertd: ")]
    return own[-1] if own else text[-_LOG_BYTES:].strip()


def _kill(ranks: Popen[bytes]) -> None:
    """End the launcher and its ranks, which are in its session."""
    try:
        os.killpg(ranks.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    ranks.wait()
