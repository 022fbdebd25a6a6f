"""Successive halving over the seeds of a grid: which settings of a task get their next seed. Pure.

Every setting of a task is tried with the first seed; the better half, by the median of its scores so far, with the
second; the better half of those with the third, and so on. Source: Jamieson and Talwalkar 2016, with seeds in place of
training time, since a finetuning's learning rate is planned for its whole length.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

from bertd.records import GridSpec, GridTrial

_S = TypeVar("_S", bound=Hashable)


def num_survivors(num_settings: int, *, rung: int) -> int:
    """Settings that get seed number `rung`, from 0: a half of those before, rounded up."""
    for _ in range(rung):
        num_settings = -(-num_settings // 2)
    return num_settings


def surviving_settings(scores: Mapping[_S, Sequence[float | None]], *, rung: int) -> list[_S]:
    """The settings that get seed number `rung`, from 0, the best first.

    Args:
        scores: by setting, in the order that decides between equals: those of its seeds in their order; None for a
            trial without a score. Of those that had each earlier seed, all scores before `rung` are there.
        rung: number of the seed.
    """
    left = list(scores)
    for number in range(1, rung + 1):
        merits = {setting: _merit(scores[setting][:number]) for setting in left}
        left = sorted(left, key=lambda setting: merits[setting], reverse=True)[
            : num_survivors(len(scores), rung=number)
        ]
    return left


def seeds_before_drop(trials: Sequence[GridTrial], dropped: Collection[str]) -> dict[str, int]:
    """By name of a trial whose setting was dropped: with how many seeds that setting was tried before.

    Args:
        trials: of the grid.
        dropped: names of those that were not run.
    """
    by_setting: dict[tuple[str, str | None, float, int, int], list[GridTrial]] = {}
    for trial in trials:
        setting = trial.task, trial.via, trial.lr, trial.batch_size, trial.epochs
        by_setting.setdefault(setting, []).append(trial)
    numbers: dict[str, int] = {}
    for of_setting in by_setting.values():
        num_dropped = sum(trial.name in dropped for trial in of_setting)
        if num_dropped:
            numbers |= {trial.name: len(of_setting) - num_dropped for trial in of_setting}
    return numbers


def most_trials(spec: GridSpec, pending: Sequence[GridTrial] | None = None) -> list[GridTrial]:
    """The trials that may be run at most: of each seed as many as settings survive, the longest of them.

    Args:
        spec: a grid.
        pending: those of its trials that are not begun; None for all.
    """
    pending = spec.trials if pending is None else pending
    if not spec.is_halving:
        return list(pending)
    seeds: dict[tuple[str, str | None], dict[int, int]] = {}
    for trial in spec.trials:
        by_seed = seeds.setdefault((trial.task, trial.via), {})
        by_seed[trial.seed] = by_seed.get(trial.seed, 0) + 1
    room = {
        (start, seed): num_survivors(number, rung=rung)
        for start, by_seed in seeds.items()
        for rung, (seed, number) in enumerate(sorted(by_seed.items()))
    }
    chosen = set()
    for trial in sorted(pending, key=lambda trial: -trial.epochs):
        place = (trial.task, trial.via), trial.seed
        room[place] -= 1
        if room[place] >= 0:
            chosen.add(trial.name)
    return [trial for trial in pending if trial.name in chosen]


def _merit(scores: Sequence[float | None]) -> tuple[float, int]:
    """The median, and of equal ones the number of scores: one that diverged is worse."""
    known = [score for score in scores if score is not None]
    return (statistics.median(known), len(known)) if known else (float("-inf"), 0)
