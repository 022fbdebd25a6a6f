"""`python -m bertd.jobs.runner JOB_FOLDER KIND`: runs one job in its own session and outlives the daemon.

It locks the job's log, so that a folder has one runner; writes runner.json before it starts anything, so that the
next daemon can adopt it; and writes outcome.json as its last act. What it prints goes to logs/job.log.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bertd.errors import RecipeError
from bertd.jobs.runner.run_job import RunnerConfig, run_job
from bertd.program import run_main
from bertd.records import JobKind


def main(argv: list[str], *, config: RunnerConfig) -> int:
    """The command line.

    Raises:
        RecipeError: not a folder and a kind.
    """
    if len(argv) != 2 or argv[1] not in (JobKind.PRETRAIN, JobKind.FINETUNE):
        raise RecipeError("usage: python -m bertd.jobs.runner JOB_FOLDER pretrain|finetune")
    return run_job(Path(argv[0]).absolute(), JobKind(argv[1]), config=config)


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(sys.argv[1:], config=RunnerConfig())))
