"""How full a quota is, and what may be deleted before it is used up. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bertd.daemon.disk_quotas.disk_use import DiskUse
from bertd.daemon.garbage.find_garbage import Garbage
from bertd.run.amounts.quantities import format_bytes

WARN_SHARE = 0.90
"""Of a quota, from which on it is warned of."""
THIN_SHARE = 0.95
"""From which on older checkpoints of ended jobs are deleted, until less than WARN_SHARE is used."""
_CALM_SHARE = 0.85
"""Below which a warning is forgotten, so that a folder that grows and shrinks is not warned of again and again."""


class QuotaLevel(StrEnum):
    """How full a quota is."""

    FREE = "free"
    NEAR = "near"
    FULL = "full"


@dataclass(frozen=True)
class DiskLimits:
    """The quotas of the configuration, in bytes; None for none."""

    per_run: int | None = None
    in_all: int | None = None

    @property
    def is_set(self) -> bool:
        return self.per_run is not None or self.in_all is not None


def level_of(used_bytes: int, limit_bytes: int | None, *, before: QuotaLevel) -> QuotaLevel:
    """How full it is; `before` is what the last call said."""
    if limit_bytes is None:
        return QuotaLevel.FREE
    if used_bytes >= limit_bytes:
        return QuotaLevel.FULL
    if used_bytes >= WARN_SHARE * limit_bytes or (
        before is not QuotaLevel.FREE and used_bytes >= _CALM_SHARE * limit_bytes
    ):
        return QuotaLevel.NEAR
    return QuotaLevel.FREE


def is_worse(level: QuotaLevel, before: QuotaLevel) -> bool:
    """Whether it is fuller than before."""
    levels = list(QuotaLevel)
    return levels.index(level) > levels.index(before)


def runs_to_thin(use: DiskUse, limits: DiskLimits) -> set[str]:
    """The runs that have nearly used their quota."""
    if limits.per_run is None:
        return set()
    return {run for run, size in use.by_run.items() if size >= THIN_SHARE * limits.per_run}


def is_all_to_thin(use: DiskUse, limits: DiskLimits) -> bool:
    """Whether the quota of all is nearly used."""
    return limits.in_all is not None and use.total_bytes >= THIN_SHARE * limits.in_all


def choose_garbage(found: Iterable[Garbage], use: DiskUse, limits: DiskLimits) -> list[Garbage]:
    """What of ended jobs to delete: of those that ended first, and no more than is needed."""
    thins_all, thin = is_all_to_thin(use, limits), runs_to_thin(use, limits)
    chosen = []
    for garbage in sorted(found, key=lambda each: (each.job.ended_t or 0.0, each.folder)):
        run = garbage.job.run_id
        needs_all = thins_all and limits.in_all is not None and use.total_bytes >= WARN_SHARE * limits.in_all
        needs_run = run in thin and limits.per_run is not None and use.by_run[run] >= WARN_SHARE * limits.per_run
        if needs_all or needs_run:
            chosen.append(garbage)
            use = use.without({run: garbage.size_bytes})
    return chosen


def describe_use(used_bytes: int, limit_bytes: int, *, key: str) -> str:
    """`take 91.0 GiB of the 100.0 GiB (91%) that quotas.disk_in_all allows`."""
    share = used_bytes / limit_bytes
    return f"{format_bytes(used_bytes)} of the {format_bytes(limit_bytes)} that quotas.{key} allows ({share:.0%})"
