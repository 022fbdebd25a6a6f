"""Keep to the quotas of the disk, in rounds: measure, warn, delete what `bertd gc` would, and refuse jobs while full.

Nothing is measured where the configuration has no quota. A run that trains has its quota in its folder, and deletes its
own older checkpoints as it saves; no run ever loses its newest checkpoint, those of markers or its exports to a quota.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

from bertd.api.models import DiskQuotaView
from bertd.daemon.disk_quotas.disk_use import DiskUse, DiskUseMeter
from bertd.daemon.disk_quotas.quota_decisions import (
    DiskLimits,
    QuotaLevel,
    choose_garbage,
    describe_use,
    is_all_to_thin,
    is_worse,
    level_of,
    runs_to_thin,
)
from bertd.daemon.garbage.collect import GarbageCollector, Taken, garbage_of, remove
from bertd.daemon.garbage.find_garbage import Garbage
from bertd.daemon.process.background_call import BackgroundCall
from bertd.daemon.telemetry.job_alerts import JobAlerts
from bertd.errors import QuotaError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Job, Queue
from bertd.records import JobKind
from bertd.run.disk_quota import write_disk_quota
from bertd.run.paths import RunPaths, StatePaths

logger = logging.getLogger(__name__)

MEASURE_EVERY_S = 30.0
SEARCH_AGAIN_S = 600.0
"""After a search that found nothing to delete."""
_ALL = ""
"""Stands for the quota of all among those of runs."""
_ASKED_BY = "the daemon, for a disk quota"
_REMEDY = "`bertd gc --delete` deletes what ended jobs do not need"


class DiskQuotas:
    """What runs take of the disk, and what follows from that."""

    def __init__(
        self,
        paths: StatePaths,
        *,
        database: Database,
        queue: Queue,
        events: EventLog,
        garbage: GarbageCollector,
        alerts: JobAlerts,
        limits: Callable[[], DiskLimits],
    ) -> None:
        """`limits`: the quotas of the configuration now."""
        self._paths = paths
        self._database = database
        self._queue = queue
        self._events = events
        self._garbage = garbage
        self._alerts = alerts
        self._limits = limits
        self._meter = DiskUseMeter(paths)
        self._work = BackgroundCall("disk quotas")
        self._use: DiskUse | None = None
        self._measured_t = -math.inf
        self._searched_t = -math.inf
        self._changed: set[Path] = set()
        """Folders that may have other sizes than were measured."""
        self._levels: dict[str, QuotaLevel] = {}
        self._written: dict[str, int | None] = {}
        """By run: the quota in its folder."""

    # ---- What is asked -----------------------------------------------------------------------------

    def require_room(self) -> None:
        """Refuse a new job while the quota of all is used up.

        Raises:
            QuotaError: it is.
        """
        limit, use = self._limits().in_all, self._use
        if limit is not None and use is not None and use.total_bytes >= limit:
            what = describe_use(use.total_bytes, limit, key="disk_in_all")
            raise QuotaError(f"the jobs' folders take {what}; {_REMEDY}, or raise the quota")

    def require_room_of_run(self, folder: Path) -> None:
        """Refuse a new job that would write into the folder of a run that has used up its quota.

        Args:
            folder: of the new job.

        Raises:
            QuotaError: it has.
        """
        limit, use = self._limits().per_run, self._use
        if limit is None or use is None or not folder.is_relative_to(self._paths.runs):
            return
        run_id = folder.relative_to(self._paths.runs).parts[0]
        if (used := use.by_run.get(run_id, 0)) >= limit:
            what = describe_use(used, limit, key="disk_per_run")
            raise QuotaError(f"run {run_id} takes {what}; delete what it needs no more, or raise the quota")

    def require_fitting(self, needed_bytes: int, *, name: str) -> None:
        """Refuse a new run that could never keep to its quota.

        Args:
            needed_bytes: that it keeps at the least.
            name: of its recipe.

        Raises:
            QuotaError: it needs more.
        """
        limit = self._limits().per_run
        if limit is not None and needed_bytes > limit:
            raise QuotaError(
                f"{name}: would keep {describe_use(needed_bytes, limit, key='disk_per_run')}, even with "
                "checkpoint.keep=1; give it fewer checkpoint.markers, or raise the quota"
            )

    def view(self) -> DiskQuotaView | None:
        """How much of the quota of all is used; None without one, and before the first measurement."""
        use, limit = self._use, self._limits().in_all
        if use is None or limit is None:
            return None
        return DiskQuotaView(t=use.t, used_bytes=use.total_bytes, quota_bytes=limit)

    def view_of_run(self, run_id: str) -> DiskQuotaView | None:
        """What a run's folder takes; None without any quota, and before the first measurement."""
        use, limits = self._use, self._limits()
        if use is None or not limits.is_set or run_id not in use.by_run:
            return None
        return DiskQuotaView(t=use.t, used_bytes=use.by_run[run_id], quota_bytes=limits.per_run)

    # ---- Each round --------------------------------------------------------------------------------

    def advance(self, *, now: float) -> None:
        """Take what a thread has done, or begin the next measurement.

        Raises:
            StorageError: the disk refused; a later call tries again.
        """
        if not self._work.finish() or self._work.is_running:
            return
        limits = self._limits()
        if not limits.is_set:
            self._use = None
            self._levels.clear()
        if limits.per_run is None and any(self._written.values()):
            self._write_quotas(self._queue.live(), None)
        if limits.is_set and not 0 <= now - self._measured_t < MEASURE_EVERY_S:
            self._measure(now=now)

    def _measure(self, *, now: float) -> None:
        self._measured_t = now
        live = {Path(job.folder) for job in self._queue.live()}
        # Those that ended since the last look have written, too.
        changed, self._changed = self._changed | live, live
        self._work.start(lambda: self._meter.measure(changed, now=now), then=lambda use: self._judge(use, now=now))

    def _judge(self, use: DiskUse, *, now: float) -> None:
        self._use = use
        limits, live = self._limits(), self._queue.live()
        self._write_quotas(live, limits.per_run)
        self._warn_of_all(use, limits, live, now=now)
        for job in live:
            if job.kind is JobKind.PRETRAIN:
                self._warn_of_run(job, use, limits, now=now)
        is_due = not 0 <= now - self._searched_t < SEARCH_AGAIN_S
        thin = runs_to_thin(use, limits)
        if is_due and (thin or is_all_to_thin(use, limits)):
            jobs = [job for job in self._queue.ended() if job.run_id in thin or is_all_to_thin(use, limits)]
            self._work.start(
                lambda: choose_garbage(garbage_of(jobs, all_checkpoints=False), use, limits),
                then=lambda chosen: self._thin(chosen, now=now),
            )

    def _thin(self, chosen: list[Garbage], *, now: float) -> None:
        if not chosen:
            self._searched_t = now
            return
        taken: list[Taken] = []
        try:
            with self._database.transaction():
                self._garbage.take_away(chosen, taken=taken, asked_by=_ASKED_BY, now=now)
        finally:
            self._changed |= {each.garbage.folder for each in taken}
            self._work.start(lambda: remove(taken), then=lambda _: self._measure_soon())

    def _measure_soon(self) -> None:
        self._measured_t = -math.inf

    def _write_quotas(self, live: list[Job], limit_bytes: int | None) -> None:
        for job in live:
            if job.kind is JobKind.PRETRAIN and self._written.get(job.run_id) != limit_bytes:
                write_disk_quota(RunPaths(Path(job.folder)), limit_bytes)
                self._written[job.run_id] = limit_bytes

    def _warn_of_all(self, use: DiskUse, limits: DiskLimits, live: list[Job], *, now: float) -> None:
        before = self._levels.get(_ALL, QuotaLevel.FREE)
        self._levels[_ALL] = level = level_of(use.total_bytes, limits.in_all, before=before)
        if limits.in_all is None or not is_worse(level, before):
            return
        what = f"the jobs' folders take {describe_use(use.total_bytes, limits.in_all, key='disk_in_all')}"
        then = "no new job is accepted" if level is QuotaLevel.FULL else "no new job is accepted when it is used up"
        text = f"{what}; {then}; {_REMEDY}"
        with self._database.transaction():
            self._events.append("quota", text, now=now, job_id=None, run_id=None, data={"level": level})
            for job in live:
                if job.kind is JobKind.PRETRAIN:
                    self._alerts.raise_for(job, code="disk_quota", message=text, is_error=False, now=now)

    def _warn_of_run(self, job: Job, use: DiskUse, limits: DiskLimits, *, now: float) -> None:
        used, before = use.by_run.get(job.run_id, 0), self._levels.get(job.run_id, QuotaLevel.FREE)
        self._levels[job.run_id] = level = level_of(used, limits.per_run, before=before)
        if limits.per_run is None or not is_worse(level, before):
            return
        text = (
            f"its folder takes {describe_use(used, limits.per_run, key='disk_per_run')}; it keeps its newest "
            "checkpoint, those of markers, the best and all exports, and deletes other checkpoints as it saves"
        )
        with self._database.transaction():
            self._alerts.raise_for(job, code="disk_quota", message=text, is_error=False, now=now)
