"""Move the jobs of a lost GPU to the others: their runners end, and they go back into the queue by themselves.

A pretraining continues from its newest checkpoint, on fewer GPUs where too few are left and its batch divides among
them. Finetunings and grids continue as after a pause. A command is left alone: what it has done is not known here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path

from bertd.daemon.process.journal_log import log_fields
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.scheduling.runners import Runners
from bertd.errors import BertdError
from bertd.jobs.store.lifecycle import Actor, change_by_lost_device
from bertd.jobs.store.queue import Job, Queue
from bertd.records import PROGRAM_KINDS, JobKind
from bertd.run.amounts.quantities import format_count
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe

logger = logging.getLogger(__name__)


class Failover:
    """Ends the runners of jobs that have a lost GPU."""

    def __init__(
        self, queue: Queue, *, runners: Runners, inventory: Inventory, out_of_service: Callable[[], Collection[str]]
    ) -> None:
        """`out_of_service`: GPUs that start no job now."""
        self._queue = queue
        self._runners = runners
        self._inventory = inventory
        self._out_of_service = out_of_service

    def leave(self, uuid: str, now: float) -> None:
        """Have each job that can continue elsewhere leave a GPU; within the caller's transaction."""
        for job_id in self._queue.leases().holders_of(uuid):
            job = self._queue.get(job_id)
            if job.kind in PROGRAM_KINDS:
                continue
            num_left = len(set(self._inventory.gpus) - set(self._out_of_service()) - {uuid})
            num_devices = self._choose_count(job, num_left=num_left)
            where = f"on {format_count(num_devices, 'GPU')}" if num_devices <= num_left else "when GPUs are back"
            change = change_by_lost_device(job.status, f"{uuid} is lost; continues by itself {where}")
            if change is None:
                continue
            self._queue.apply(job.id, change, actor=Actor.SCHEDULER, now=now)
            if num_devices != job.num_devices:
                self._queue.update(job.id, num_devices=num_devices)
            if job.id in self._runners.attached:
                self._runners.terminate(job.id)

    def _choose_count(self, job: Job, *, num_left: int) -> int:
        """The job's number of GPUs, or the largest that is left and that its batch allows."""
        if job.num_devices <= num_left or job.kind is not JobKind.PRETRAIN:
            return job.num_devices
        try:
            batch = read_recipe(RunPaths(Path(job.folder)).recipe).batch
        except BertdError as error:
            logger.warning("job %d keeps its number of GPUs: %s", job.id, error, extra=log_fields(job.id, job.run_id))
            return job.num_devices
        return next((count for count in range(num_left, 0, -1) if batch.divides_among(count)), job.num_devices)
