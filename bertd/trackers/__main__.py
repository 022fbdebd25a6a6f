"""`python -m bertd.trackers RUN_FOLDER NAME`: feed one tracker of a run until the run is over or paused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bertd.errors import RecipeError
from bertd.program import run_main
from bertd.run.paths import RunPaths
from bertd.trackers.follow import TrackerFollower, lock_tracker
from bertd.trackers.sinks.open_sink import MetricsFormat

LOWEST_PRIORITY = 19


def main(argv: list[str]) -> int:
    """Parse the command line and follow the journal.

    Raises:
        RecipeError: the arguments are not a folder and a tracker.
    """
    if len(argv) != 2 or argv[1] not in set(MetricsFormat) or MetricsFormat(argv[1]).is_table:
        raise RecipeError("usage: python -m bertd.trackers RUN_FOLDER tensorboard|wandb|mlflow")
    paths, format = RunPaths(Path(argv[0]).absolute()), MetricsFormat(argv[1])
    os.nice(LOWEST_PRIORITY)
    lock = lock_tracker(paths, format)
    if lock is not None:
        TrackerFollower(paths, format).follow_to_the_end()
    return 0


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(sys.argv[1:]), is_logged=True))
