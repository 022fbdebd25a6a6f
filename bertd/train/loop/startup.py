"""Measures where the seconds of an attempt go until its first step is done: they are charged, and nothing is trained.

    launch, choose, build, rehearse, first validation and save, first step
            |choose_s|build_s         |                        |first_step_s    and compile_s, wherever it is compiled
    |total_s                                                                |

A step that compiles has compile_s within its time: it is taken off, so that first_step_s is the step alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch._dynamo.utils import calculate_time_spent


@dataclass(frozen=True)
class StartupTimes:
    """Seconds on this rank; each without the seconds of compile_s within it."""

    choose_s: float
    """Choosing what the recipe leaves open, with all its trials and their compiling."""
    build_s: float
    """Building the model, reading the checkpoint and passing a micro-batch of a measured size."""
    compile_s: float
    """Compiling the run's own graphs."""
    first_step_s: float
    total_s: float
    """From the launch of this rank's process to the end of the first step."""


class StartupTimer:
    """Runs from `began_s`, CLOCK_MONOTONIC, to `finish`."""

    def __init__(self, *, began_s: float | None = None) -> None:
        self._began_s = time.monotonic() if began_s is None else began_s
        self._seconds = {"choose": 0.0, "build": 0.0, "step": 0.0}
        self._compile_s = 0.0

    @contextmanager
    def choosing(self) -> Iterator[None]:
        """Count the body as choosing."""
        began_s = time.monotonic()
        yield
        self._seconds["choose"] += time.monotonic() - began_s

    @contextmanager
    def building(self) -> Iterator[None]:
        """Count the body as building, less what it compiles."""
        with self._counting("build"):
            yield

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Count what the body compiles, and nothing else of it."""
        with self._counting(None):
            yield

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Count the body as the first step, less what it compiles; it must wait for the device."""
        with self._counting("step"):
            yield

    def finish(self) -> StartupTimes:
        """The times, now that the first step is done."""
        return StartupTimes(
            choose_s=self._seconds["choose"],
            build_s=self._seconds["build"],
            compile_s=self._compile_s,
            first_step_s=self._seconds["step"],
            total_s=time.monotonic() - self._began_s,
        )

    @contextmanager
    def _counting(self, stage: str | None) -> Iterator[None]:
        began_s, compiled_before_s = time.monotonic(), _compiled_s()
        yield
        # torch._dynamo.reset sets the counter to 0.
        compiled_after_s = _compiled_s()
        compile_s = compiled_after_s - compiled_before_s if compiled_after_s >= compiled_before_s else compiled_after_s
        self._compile_s += compile_s
        if stage is not None:
            self._seconds[stage] += max(0.0, time.monotonic() - began_s - compile_s)


def _compiled_s() -> float:
    """Seconds that this process has spent in the compiler, forward and backward graphs."""
    return calculate_time_spent()["total_wall_time"]
