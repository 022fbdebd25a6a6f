"""Start the processes that feed a run's trackers, apart from the runner, so that neither can stop the other.

Each is started by a shell that ends at once: the kernel gives the process to init, and the runner, which kills what its
ranks leave behind, never has it among its children. Nothing is waited for but that shell, and no failure is raised.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from bertd.errors import BertdError
from bertd.run.log import log_line
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe

TrackerCommand = Callable[[RunPaths, str], list[str]]
"""Builds the command that feeds one tracker."""
_SHELL_LIMIT_S = 10.0
_IN_BACKGROUND = '"$@" & exit'


def feed_tracker(paths: RunPaths, name: str) -> list[str]:
    """The command that feeds a tracker."""
    return [sys.executable, "-m", "bertd.trackers", str(paths.root), name]


def start_trackers(paths: RunPaths, *, command: TrackerCommand) -> None:
    """Start the trackers of the recipe; what fails is only logged.

    Before this process takes over orphans, since these are meant to be orphans of nobody.
    """
    try:
        names = read_recipe(paths.recipe).trackers.to
        for name in names:
            _start(paths, name, command=command(paths, name))
    except (BertdError, OSError, subprocess.SubprocessError) as error:
        log_line(f"runner: the trackers are not fed: {error}; the run goes on without them")


def _start(paths: RunPaths, name: str, *, command: list[str]) -> None:
    paths.trackers.mkdir(exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    log = os.open(paths.tracker_log(name), flags, 0o640)
    try:
        subprocess.run(
            ["/bin/sh", "-c", _IN_BACKGROUND, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            timeout=_SHELL_LIMIT_S,
            check=True,
        )
    finally:
        os.close(log)
