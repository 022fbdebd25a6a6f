"""Successive halving over the seeds of a grid: which settings of a task get their next seed. Pure.

Every setting of a task is tried with the first seed; the better half, by the median of its scores so far, with the
second; the better half of those with the third, and so on. Source: Jamieson and Talwalkar 2016, with seeds in place of
training time, since a finetuning's learning rate is planned for its whole length.
"""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

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


def _merit(scores: Sequence[float | None]) -> tuple[float, int]:
    """The median, and of equal ones the number of scores: one that diverged is worse."""
    known = [score for score in scores if score is not None]
    return (statistics.median(known), len(known)) if known else (float("-inf"), 0)
