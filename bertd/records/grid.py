"""A grid of finetunings that runs as one job: `grid.json` in its folder, and what its workers answer."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

from bertd.records.finetune import MAX_LENGTH, FinetuneSpec, Keep, OwnTask, Via
from bertd.records.record import Record


class Preset(StrEnum):
    """Which settings a grid tries on each task; bertd.run.grid.finetune_grid has them."""

    QUICK = "quick"
    FAIR = "fair"
    PAPER = "paper"
    MODERN = "modern"
    SEARCH = "search"


class MarkerGridState(StrEnum):
    """Of a grid that a recipe asks for at a marker."""

    WAITING = "waiting"
    QUEUED = "queued"
    """Its job exists."""
    SKIPPED = "skipped"
    """There will be none."""


EpochSeconds = dict[str, dict[int, float]]
"""Seconds of an epoch by task and batch size."""


class GridTrial(Record):
    """One finetuning of a grid: task, settings, seed."""

    name: str
    """Names its folder: cola-lr5e-05-batch32-epochs3-seed42."""
    task: str
    seed: int
    lr: float
    batch_size: int
    epochs: int
    weight_decay: float
    warmup: float
    via: Via | None = None
    """Start from the model of that task which the same grid has finetuned, instead of from the export."""


class GridSpec(Record):
    """Content of `grid.json`."""

    preset: Preset
    source: str
    """Absolute path of the export folder to start from."""
    source_name: str
    """The export as shown to the user: run/step."""
    data_dir: str
    """Absolute path of a folder in GLUE's TSV layout, or of a copy of nyu-mll/glue; the folder of the table, for a task
    of one's own."""
    own: OwnTask | None = None
    """The task of every trial, if it is not one of GLUE's."""
    keep: Keep = Keep.NOTHING
    """best: the model of each task's best trial, and of its best one from MNLI."""
    is_halving: bool = False
    """Drop the worse half of a task's settings after each seed."""
    num_cpu_workers: int
    """Workers on a machine without GPUs: the leased cores."""
    workers_per_gpu: int = 1
    """Each is held to an equal part of the GPU's memory."""
    epoch_seconds: EpochSeconds = {}
    """What earlier trials on this machine took, with a model of this size; tasks without one are left out."""
    trials: list[GridTrial]
    """In the order in which they begin: longest first, so that the last ones to end are short."""

    def keep_of(self, trial: GridTrial) -> Keep:
        """What a trial keeps until it is beaten: one of MNLI its model, if others start from one."""
        is_needed = trial.task == "mnli" and any(other.via is not None for other in self.trials)
        return Keep.BEST if is_needed else self.keep

    def finetune_spec(self, trial: GridTrial, *, source: Path | None = None) -> FinetuneSpec:
        """The spec of one trial.

        Args:
            trial: one of `trials`.
            source: the model to start from; None for the export.
        """
        return FinetuneSpec(
            task=trial.task,
            data_dir=self.data_dir,
            own=self.own,
            keep=self.keep_of(trial),
            source=self.source if source is None else str(source),
            via=trial.via,
            source_name=self.source_name,
            seed=trial.seed,
            lr=trial.lr,
            batch_size=trial.batch_size,
            epochs=trial.epochs,
            weight_decay=trial.weight_decay,
            warmup=trial.warmup,
            max_length=MAX_LENGTH if self.own is None else self.own.max_length,
        )


class TrialOrder(Record):
    """A line on a worker's standard input."""

    folder: str
    """The trial's, with its finetune.json."""


class WorkerReply(Record):
    """A line on a worker's standard output."""

    event: Literal["ready", "done"]
    """ready: its libraries are loaded; done: the trial is over."""
    exit_code: int = 0
    """Of the trial: 0, or that of its BertdError. A worker exits after a trial that failed."""
