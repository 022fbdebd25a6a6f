"""How long the trials of a grid take on its workers, from measured trials of the same tasks. Pure.

A trial is taken to need its task's seconds per epoch, whatever its batch size, times its epochs. Where no trial of a
task was measured, nothing is guessed.
"""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bertd.records import GridTrial, ScoreRecord


def measure_speeds(scores: Iterable[ScoreRecord]) -> dict[str, float]:
    """Seconds per epoch by task: the median over its trials, loading and evaluation included."""
    by_task: dict[str, list[float]] = {}
    for score in scores:
        by_task.setdefault(score.task, []).append(score.seconds / score.epochs)
    return {task: statistics.median(seconds) for task, seconds in by_task.items()}


@dataclass(frozen=True)
class RunningTrial:
    """A trial that a worker has begun."""

    trial: GridTrial
    elapsed_s: float


@dataclass(frozen=True)
class TimeLeft:
    """What is left of a grid."""

    seconds: float
    """Until the last of those trials ends whose tasks were measured."""
    unmeasured: tuple[str, ...]
    """Tasks with trials left of which none was measured, in the order in which they begin."""


def find_time_left(
    pending: Sequence[GridTrial],
    *,
    speeds: Mapping[str, float],
    num_workers: int,
    running: Sequence[RunningTrial] = (),
) -> TimeLeft:
    """The time until all trials are over, if each worker that becomes free takes the next one.

    Args:
        pending: those that no worker has begun, in the order in which they begin.
        speeds: seconds per epoch by task.
        num_workers: all, busy or not.
        running: those that workers have begun.
    """
    tasks = dict.fromkeys([each.trial.task for each in running] + [trial.task for trial in pending])
    left_s = [max(0.0, _duration_s(each.trial, speeds) - each.elapsed_s) for each in running]
    ends_s = {each.trial.name: left for each, left in zip(running, left_s, strict=True)}
    free_at_s = left_s + [0.0] * max(0, num_workers - len(left_s))
    heapq.heapify(free_at_s)
    bases = [trial for trial in [*(each.trial for each in running), *pending] if trial.via is None]
    # Those from another task's model begin when all of that task are over.
    for trial in sorted(pending, key=lambda trial: trial.via is not None):
        begin_s = free_at_s[0]
        if trial.via is not None:
            begin_s = max([begin_s, *(ends_s[base.name] for base in bases if base.task == trial.via)])
        ends_s[trial.name] = begin_s + _duration_s(trial, speeds)
        heapq.heapreplace(free_at_s, ends_s[trial.name])
    return TimeLeft(max(free_at_s), tuple(task for task in tasks if task not in speeds))


def _duration_s(trial: GridTrial, speeds: Mapping[str, float]) -> float:
    return speeds.get(trial.task, 0.0) * trial.epochs
