"""Queue the grids of finetunings that runs ask for in their recipes, once in each round of the scheduler.

A run has a row for each marker since its submission. The grid and the note that its marker has one are committed
together, so each is queued once, wherever a daemon dies.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from bertd.api.models import SubmitGrid
from bertd.daemon.admission.finetuning import free_devices
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.process.journal_log import log_fields
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.submissions import Submissions
from bertd.errors import BertdError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.marker_grid_table import MarkerGrid, MarkerGridTable
from bertd.records import JobState, Preset
from bertd.run.checkpoint_index import read_checkpoint_index
from bertd.run.paths import RunPaths, newest_first, step_of
from bertd.run.recipe.schema import FinetuneSection, Recipe

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 30.0
"""Time between two looks where nothing has happened, such as for data that was away."""
_OVER = frozenset({JobState.DONE, JobState.CANCELLED})
"""States of a run that does not train again."""


class MarkerGrids:
    """Queues the grids of all runs."""

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        events: EventLog,
        table: MarkerGridTable,
        submissions: Submissions,
        run_metrics: RunMetrics,
        inventory: Inventory,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._queue = queue
        self._events = events
        self._table = table
        self._submissions = submissions
        self._run_metrics = run_metrics
        self._inventory = inventory
        self._clock = clock
        self._last_event_id = -1
        self._look_again_t = 0.0

    def advance(self) -> None:
        """Queue what is due.

        Raises:
            StorageError: the queue cannot be written; the next round tries again.
        """
        now, last_id = self._clock(), self._events.last_id()
        if last_id == self._last_event_id and now < self._look_again_t:
            return
        self._last_event_id, self._look_again_t = last_id, now + LOOK_AGAIN_S
        for row in self._table.waiting():
            job = self._queue.get(row.run_job_id)
            try:
                self._advance(row, job, now=now)
            except BertdError as error:
                # Its disk or its data may be back later; the other runs go on.
                if row.reason != str(error):
                    logger.warning(
                        "%s: marker %g: the grid waits: %s",
                        job.run_id,
                        row.marker,
                        error,
                        extra=log_fields(job.id, job.run_id),
                    )
                self._table.set_reason(row, str(error))

    def _advance(self, row: MarkerGrid, job: Job, *, now: float) -> None:
        recipe = self._run_metrics.recipe(Path(job.folder))
        is_over = job.state in _OVER
        if not is_over and (recipe.finetune.where == "after" or row.marker == 1.0):
            return
        if job.state is JobState.CANCELLED:
            self._table.skip(row, "the run was cancelled", run_id=job.run_id, now=now)
            return
        export = _find_export(RunPaths(Path(job.folder)), row.marker)
        if export is None:
            if is_over:
                self._table.skip(row, "the run ended without an export of it", run_id=job.run_id, now=now)
            return
        others = [other for other in self._table.of_run(job.id) if other.export == export.name]
        if others:
            # A run that was stopped exports all its last markers at once.
            reason = f"its export is that of marker {others[0].marker:g}, which has grid {others[0].grid_job_id}"
            self._table.skip(row, reason, run_id=job.run_id, now=now)
            return
        self._queue_grid(row, job, recipe, export=export, now=now)

    def _queue_grid(self, row: MarkerGrid, job: Job, recipe: Recipe, *, export: Path, now: float) -> None:
        request = make_request(recipe.finetune, run=f"{job.id}@{step_of(export)}")
        request = request.model_copy(update={"priority": job.priority, "group": job.group_name or None})
        most = None if job.state in _OVER else free_devices(recipe, self._inventory)
        if most is not None and most < 1:
            # A person resumed it on more devices than it was submitted with.
            self._table.set_reason(row, "the run takes every device; waits for its end, or for a resume on fewer")
            return
        self._submissions.require_answer(request)
        with self._database.transaction():
            grid = self._submissions.submit_grid(request, uid=job.owner_uid, now=now, most_devices=most)
            self._table.set_queued(row, export=export.name, grid_job_id=grid.id, run_id=job.run_id, now=now)


def make_request(section: FinetuneSection, *, run: str) -> SubmitGrid:
    """The grid that a recipe asks for, of one export."""
    assert section.data is not None
    return SubmitGrid(
        run=run,
        tasks=section.task_names,
        preset=Preset(section.preset),
        num_seeds=section.seeds,
        via=section.via,
        data_dir=section.data,
    )


def _find_export(paths: RunPaths, marker: float) -> Path | None:
    """The export of a marker, or the last one for 1.0; None if there is none (yet)."""
    if marker == 1.0:
        found = newest_first(paths.exports)
        return found[0] if found else None
    for checkpoint in read_checkpoint_index(paths).checkpoints:
        export = paths.exports / checkpoint.name
        if marker in checkpoint.markers and export.is_dir():
            return export
    return None
