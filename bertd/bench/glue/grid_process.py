"""A grid of finetunings under its real runner, without a daemon."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import BertdError
from bertd.records import GridSpec, ScoreRecord
from bertd.run.journal import read_scores
from bertd.run.paths import JobPaths
from bertd.terminal_text import terminal_text


@dataclass(frozen=True)
class GridResult:
    """A grid that is over."""

    scores: dict[str, ScoreRecord]
    """By the names of the trials."""
    wall_s: float
    """From the start of the runner to its end."""


def run_grid(spec: GridSpec, folder: Path) -> GridResult:
    """Run a grid on the CPU; in the folder of one that was interrupted, what is left of it.

    Raises:
        BertdError: a trial has no score; the end of the log says why.
    """
    paths = JobPaths(folder)
    paths.logs.mkdir(parents=True, exist_ok=True)
    paths.control.mkdir(exist_ok=True)
    paths.grid_spec.write_text(spec.model_dump_json())
    began_s = time.monotonic()
    with paths.log.open("ab") as log:
        command = [sys.executable, "-m", "bertd.jobs.runner", str(folder), "grid"]
        subprocess.run(command, stdout=log, stderr=log, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, check=False)
    wall_s = time.monotonic() - began_s
    scores = {score.trial: score for score in read_scores(paths.journal) if score.trial is not None}
    if len(scores) < len(spec.trials):
        print(terminal_text(paths.log.read_text(errors="replace")[-2000:]), file=sys.stderr)
        raise BertdError(f"{folder}: {len(scores)} of {len(spec.trials)} trials have a score; the log's end is above")
    return GridResult(scores=scores, wall_s=wall_s)
