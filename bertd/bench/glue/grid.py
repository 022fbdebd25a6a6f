"""A grid of small finetunings under its real runner: how much of the wall time its workers spend in training steps."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertd.bench.glue.inputs import BATCH_SIZE, LEARNING_RATE
from bertd.errors import BertdError
from bertd.records import GridSpec, GridTrial, Preset
from bertd.run.journal import read_scores
from bertd.run.paths import JobPaths
from bertd.terminal_text import terminal_text

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
    paths = JobPaths(folder)
    paths.logs.mkdir(parents=True)
    paths.control.mkdir()
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
    paths.grid_spec.write_text(spec.model_dump_json())
    began_s = time.monotonic()
    with paths.log.open("ab") as log:
        command = [sys.executable, "-m", "bertd.jobs.runner", str(folder), "grid"]
        subprocess.run(command, stdout=log, stderr=log, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, check=False)
    wall_s = time.monotonic() - began_s
    scores = read_scores(paths.journal)
    if len(scores) < len(trials):
        print(terminal_text(paths.log.read_text(errors="replace")[-2000:]), file=sys.stderr)
        raise BertdError(f"{folder}: {len(scores)} of {len(trials)} trials have a score; the log's end is above")
    return GridFigures(
        num_trials=len(trials),
        num_workers=num_workers,
        wall_s=wall_s,
        training_s=sum(score.training_s or 0.0 for score in scores),
        trial_s=sum(score.seconds for score in scores),
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
