"""Summarize the journals as they grow: the newest record of each kind, the speed, the curves. Memory is bounded.

A journal is followed while its job has a runner. When the runner exits, the summary is stored in the database, so that
a list of a hundred old runs reads no journal, and the curves next to the journal. Only a journal that was written
without this daemon is read on request, in pieces between which other requests are served.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from pathlib import Path

from pydantic import ValidationError

from bertd.daemon.metrics.metrics_follower import MetricsFollower
from bertd.daemon.metrics.series import Series, SeriesRequest, read_series
from bertd.errors import RunFolderError, StillReadingError
from bertd.jobs.store.database import Database
from bertd.jobs.store.queue import Job
from bertd.metrics.curves import RunCurves
from bertd.metrics.journal_summary import JournalSummary
from bertd.records import JobKind
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe
from bertd.run.recipe.schema import Recipe

logger = logging.getLogger(__name__)

_MAX_CURVES = 8
"""Runs without a runner whose curves are kept in memory; each takes a few megabytes."""
MAX_READING = 4
"""Journals that are read for their curves at the same time: each takes as much memory, and time."""
_MAX_SUMMARIES = 2_000
_MAX_RECIPES = 64
_CURVES_TIMEOUT_S = 5.0
"""How long a request for curves waits for a long journal; its reading continues afterwards."""


def _parse_summary(text: str) -> JournalSummary:
    """A stored summary; an empty one where the database's row is damaged, so that the other jobs are still listed."""
    try:
        return JournalSummary.model_validate_json(text)
    except ValidationError:
        logger.warning("queue.db: a job's summary is damaged; it is shown without its numbers")
        return JournalSummary()


def _share_read(follower: MetricsFollower) -> str:
    try:
        return format(follower.offset / max(1, follower.journal.stat().st_size), ".0%")
    except OSError:
        # It was removed meanwhile.
        return f"{follower.offset:,} bytes"


class RunMetrics:
    """The followers of all jobs that have a runner, and of a few others."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._live: dict[int, MetricsFollower] = {}
        self._recently_closed: OrderedDict[int, MetricsFollower] = OrderedDict()
        self._reading: dict[int, tuple[MetricsFollower, asyncio.Task[MetricsFollower]]] = {}
        """By job: journals that are being read for their curves."""
        self._section_lock = asyncio.Lock()
        self._summaries: OrderedDict[int, JournalSummary] = OrderedDict()
        self._recipes: OrderedDict[str, Recipe] = OrderedDict()

    def recipe(self, run_folder: Path) -> Recipe:
        """The recipe of a run.

        Raises:
            RecipeError: it is missing or was changed by hand.
        """
        key = str(run_folder)
        if key not in self._recipes:
            self._recipes[key] = read_recipe(RunPaths(run_folder).recipe)
            while len(self._recipes) > _MAX_RECIPES:
                self._recipes.popitem(last=False)
        return self._recipes[key]

    def forget_recipe(self, run_folder: Path) -> None:
        """Read it again at the next request, because the daemon changed it."""
        self._recipes.pop(str(run_folder), None)

    def open_follower(self, job: Job) -> MetricsFollower:
        """Follow a job that has a runner."""
        if job.id not in self._live:
            self._live[job.id] = (
                self._recently_closed.pop(job.id) if job.id in self._recently_closed else self._make_follower(job)
            )
        return self._live[job.id]

    def close_follower(self, job: Job) -> None:
        """Store the summary of a job whose runner has exited."""
        follower = self._live.pop(job.id, None)
        if follower is not None:
            self._store_closed(job, follower)

    def summary(self, job: Job) -> JournalSummary:
        """The summary of a job, without reading its journal."""
        follower = self._live.get(job.id) or self._recently_closed.get(job.id)
        if follower is not None:
            return follower.summary
        if job.id not in self._summaries:
            row = self._database.execute("SELECT summary FROM summaries WHERE job_id = ?", (job.id,)).fetchone()
            self._cache_summary(job, JournalSummary() if row is None else _parse_summary(row["summary"]))
        return self._summaries[job.id]

    def store_if_due(self, job: Job) -> None:
        """Store what was read of a job's journal, if that is much; all its events must be in the queue."""
        follower = self._live.get(job.id)
        if follower is not None:
            follower.store()

    async def curves(self, job: Job) -> RunCurves:
        """The whole curves of a run; raises what `series` does."""
        return (await self._curves(job))[1]

    async def series(self, job: Job, request: SeriesRequest) -> Series:
        """The curves of a run as they are asked for.

        Other requests are served while a long journal is read, once for all who ask for it.

        Raises:
            StillReadingError: the journal is so long that it is still being read.
            RecipeError: the run's recipe is missing or was changed by hand.
            RunFolderError: the journal cannot be read.
        """
        follower, curves = await self._curves(job)
        return await read_series(follower, curves, request, section_lock=self._section_lock)

    async def _curves(self, job: Job) -> tuple[MetricsFollower, RunCurves]:
        follower = self._live.get(job.id) or self._recently_closed.get(job.id)
        if follower is None:
            follower = await self._read_journal(job)
        if follower.curves is None:
            raise RunFolderError(f"{job.folder}: a {job.kind} has no curves; name a run")
        return follower, follower.curves

    async def _read_journal(self, job: Job) -> MetricsFollower:
        if job.id not in self._reading and len(self._reading) >= MAX_READING:
            tasks = [task for _, task in self._reading.values()]
            await asyncio.wait(tasks, timeout=_CURVES_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if job.id not in self._reading:
            # Others may have waited, too, and begun first.
            if len(self._reading) >= MAX_READING:
                raise StillReadingError(
                    f"{job.run_id}: the journals of {len(self._reading)} other runs are being read for their curves; "
                    "try again in a moment"
                )
            follower = self._make_follower(job)
            task = asyncio.ensure_future(self._read_to_the_end(job, follower))
            self._reading[job.id] = follower, task
            task.add_done_callback(lambda _: self._reading.pop(job.id))
        follower, task = self._reading[job.id]
        await asyncio.wait([task], timeout=_CURVES_TIMEOUT_S)
        if not task.done():
            raise StillReadingError(
                f"{job.run_id}: its journal is being read for the curves, {_share_read(follower)} so far; "
                "try again in a moment"
            )
        return task.result()

    async def _read_to_the_end(self, job: Job, follower: MetricsFollower) -> MetricsFollower:
        while follower.follow():
            follower.store()
            await asyncio.sleep(0)
        if job.id not in self._live:
            self._store_closed(job, follower)
        return follower

    def _make_follower(self, job: Job) -> MetricsFollower:
        folder = Path(job.folder)
        recipe = self.recipe(folder) if job.kind is JobKind.PRETRAIN else None
        return MetricsFollower(folder, recipe=recipe, journal_seen=job.journal_seen)

    def _cache_summary(self, job: Job, summary: JournalSummary) -> None:
        self._summaries[job.id] = summary
        while len(self._summaries) > _MAX_SUMMARIES:
            self._summaries.popitem(last=False)

    def _store_closed(self, job: Job, follower: MetricsFollower) -> None:
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO summaries (job_id, summary) VALUES (?, ?)"
                " ON CONFLICT (job_id) DO UPDATE SET summary = excluded.summary",
                (job.id, follower.summary.model_dump_json()),
            )
        follower.store(is_over=True)
        self._cache_summary(job, follower.summary)
        self._recently_closed[job.id] = follower
        while len(self._recently_closed) > _MAX_CURVES:
            self._recently_closed.popitem(last=False)
