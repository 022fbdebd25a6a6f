"""How long the trials of a grid take on its workers, from measured trials of the same tasks. Pure.

A trial is taken to need the seconds per epoch of its task with its batch size, times its epochs. Where no trial with
that batch size was measured, an epoch is taken to need as long as with the nearest one that was; `assumed_batch_sizes`
names these. Where no trial of a task was measured, nothing is guessed.
"""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bertd.records import EpochSeconds, GridTrial, ScoreRecord


def measure_speeds(scores: Iterable[ScoreRecord]) -> EpochSeconds:
    """The medians over the trials of each task and batch size, loading and evaluation included."""
    measured: dict[str, dict[int, list[float]]] = {}
    for score in scores:
        by_batch_size = measured.setdefault(score.task, {})
        by_batch_size.setdefault(score.batch_size, []).append(score.seconds / score.epochs)
    return {
        task: {batch_size: statistics.median(seconds) for batch_size, seconds in by_batch_size.items()}
        for task, by_batch_size in measured.items()
    }


def merge_speeds(known: EpochSeconds, newer: EpochSeconds) -> EpochSeconds:
    """Both; of a task and a batch size that both have, the newer."""
    return {task: known.get(task, {}) | newer.get(task, {}) for task in known | newer}


def assumed_batch_sizes(trials: Iterable[GridTrial], speeds: EpochSeconds) -> dict[str, list[int]]:
    """By task with some speed: the batch sizes of its trials that were not measured."""
    missing = {
        (trial.task, trial.batch_size)
        for trial in trials
        if trial.task in speeds and trial.batch_size not in speeds[trial.task]
    }
    assumed: dict[str, list[int]] = {}
    for task, batch_size in sorted(missing):
        assumed.setdefault(task, []).append(batch_size)
    return assumed


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
    speeds: EpochSeconds,
    num_workers: int,
    running: Sequence[RunningTrial] = (),
) -> TimeLeft:
    """The time until all trials are over, if each worker that becomes free takes the next one.

    Args:
        pending: those that no worker has begun, in the order in which they begin.
        speeds: of the tasks that were measured.
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


def _duration_s(trial: GridTrial, speeds: EpochSeconds) -> float:
    """0 for a task that was not measured."""
    by_batch_size = speeds.get(trial.task, {})
    nearest = min(by_batch_size, key=lambda size: (abs(math.log(size / trial.batch_size)), size), default=0)
    return by_batch_size.get(nearest, 0.0) * trial.epochs
