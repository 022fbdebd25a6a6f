"""`python -m bertd.jobs.runner JOB_FOLDER KIND`: run one job, in its own session, and outlive the daemon.

bertd.jobs.runner.run_job describes the lock and the files that it writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bertd.errors import RecipeError
from bertd.jobs.runner.run_job import RunnerConfig, run_job
from bertd.program import run_main
from bertd.records import JobKind


def main(argv: list[str], *, config: RunnerConfig) -> int:
    """Parse the command line and run the job.

    Raises:
        RecipeError: the arguments are not a folder and a kind.
    """
    if len(argv) != 2 or argv[1] not in set(JobKind):
        raise RecipeError("usage: python -m bertd.jobs.runner JOB_FOLDER " + "|".join(JobKind))
    return run_job(Path(argv[0]).absolute(), JobKind(argv[1]), config=config)


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(sys.argv[1:], config=RunnerConfig()), is_logged=True))
