"""A grid of small finetunings under its real runner: how much of the wall time its workers spend in training steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertd.bench.glue.grid_process import run_grid
from bertd.bench.glue.inputs import BATCH_SIZE, LEARNING_RATE
from bertd.records import GridSpec, GridTrial, Preset

_NUM_TRIALS = 20


@dataclass(frozen=True)
class GridFigures:
    """What was measured."""

    num_trials: int
    num_workers: int
    wall_s: float
    training_s: float
    """Sum over the trials."""
    trial_s: float
    """The same with reading, tokenizing and evaluating."""

    @property
    def training_share(self) -> float:
        """Of the workers' wall time, from the runner's start to its end."""
        return self.training_s / (self.wall_s * self.num_workers)


def measure_grid(
    folder: Path, *, encoder: Path, data: Path, tasks: Sequence[str], num_workers: int, epochs: int
) -> GridFigures:
    """Run 20 trials, as many of each task.

    Raises:
        BertdError: a trial has no score; the end of the log says why.
    """
    trials = [
        GridTrial(
            name=f"{task}-seed{seed}",
            task=task,
            seed=seed,
            lr=LEARNING_RATE,
            batch_size=BATCH_SIZE,
            epochs=epochs,
            weight_decay=0.1,
            warmup=0.06,
        )
        for task in tasks
        for seed in range(_NUM_TRIALS // len(tasks))
    ]
    spec = GridSpec(
        preset=Preset.QUICK,
        source=str(encoder),
        source_name="random",
        data_dir=str(data),
        num_cpu_workers=num_workers,
        trials=trials,
    )
    result = run_grid(spec, folder)
    return GridFigures(
        num_trials=len(trials),
        num_workers=num_workers,
        wall_s=result.wall_s,
        training_s=sum(score.training_s or 0.0 for score in result.scores.values()),
        trial_s=sum(score.seconds for score in result.scores.values()),
    )


def format_grid(figures: GridFigures) -> str:
    """The figures in a line each."""
    workers_s = figures.wall_s * figures.num_workers
    return "\n".join(
        [
            f"{figures.num_trials} trials, {figures.num_workers} workers, {figures.wall_s:.0f} s; share of their time",
            f"  in training steps                        {figures.training_share:6.1%}",
            f"  reading, tokenizing, loading, evaluating {(figures.trial_s - figures.training_s) / workers_s:6.1%}",
            f"  starting workers, waiting for the last   {1 - figures.trial_s / workers_s:6.1%}",
        ]
    )
