"""Which of the jobs that may start get devices; and which would, if a job gave its own back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from bertd.api.models import DeviceProcess
from bertd.daemon.lending.lends import Lends
from bertd.daemon.lending.lent_devices import allocate_lent, find_lend, leases_with_lends, with_allocations
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.scheduling.conditions.group_limits import GroupLimits, GroupLines, GroupUsage, member_of
from bertd.daemon.scheduling.devices.device_allocation import Allocation, Decision, Inventory, allocate
from bertd.daemon.scheduling.expectations.outlook import Outlook
from bertd.jobs.store.leases import Leases
from bertd.jobs.store.lifecycle import ENDED
from bertd.jobs.store.queue import Job, Queue
from bertd.records import JobKind


class StartDecisions:
    """Allocates devices; starts nothing."""

    def __init__(
        self,
        queue: Queue,
        *,
        run_metrics: RunMetrics,
        inventory: Inventory,
        lends: Lends,
        outlook: Outlook,
        drained: Callable[[], Collection[str]],
        groups: Callable[[], Mapping[str, GroupLimits]],
    ) -> None:
        """`drained` has all devices that start no job."""
        self._queue = queue
        self._run_metrics = run_metrics
        self._inventory = inventory
        self._lends = lends
        self._outlook = outlook
        self._drained = drained
        self._groups = groups
        self._may_start: frozenset[int] = frozenset()
        """The jobs that waited for nothing but devices at the newest decision."""

    def decide(self, may_start: list[Job], occupied: dict[str, list[DeviceProcess]], *, now: float) -> list[Decision]:
        """What each of these jobs gets, or why it waits.

        Args:
            may_start: those that wait for nothing but devices, in the order they are served.
            occupied: GPUs that processes use which are not of this daemon.
        """
        self._may_start = frozenset(job.id for job in may_start)
        return self._allocate(may_start, self._queue.leases(), occupied, without=None, now=now) if may_start else []

    def would_start(self, job_id: int, occupied: dict[str, list[DeviceProcess]], *, now: float) -> list[Job]:
        """The jobs that would get devices at once if this job had none, and did not wait for any."""
        may_start = [job for job in self._queue.waiting() if job.id in self._may_start and job.id != job_id]
        left = Leases(tuple(lease for lease in self._queue.leases().rows if lease.job_id != job_id))
        decisions = self._allocate(may_start, left, occupied, without=job_id, now=now)
        return [each.job for each in decisions if isinstance(each, Allocation)]

    def _allocate(
        self,
        may_start: list[Job],
        leases: Leases,
        occupied: dict[str, list[DeviceProcess]],
        *,
        without: int | None,
        now: float,
    ) -> list[Decision]:
        """`without`: a job that is taken to have no devices, and no place in its group."""
        lends, drained = self._lends.open, self._drained()
        decisions: list[Decision] = []
        decisions += allocate_lent(
            may_start if lends else [], leases, lends, self._inventory, occupied=occupied, drained=drained
        )
        waiting = [job for job in may_start if find_lend(job.id, lends) is None] if lends else may_start
        decisions += allocate(
            waiting,
            leases_with_lends(with_allocations(leases, decisions), lends),
            self._inventory,
            occupied=occupied,
            drained=drained,
            may_overtake=self._outlook.backfill(waiting, drained=drained, now=now).may_overtake,
            group_lines=GroupLines(self._group_usage(without)),
            measured_bytes=self._measured_bytes,
        )
        return decisions

    def _group_usage(self, without: int | None) -> GroupUsage:
        usage = GroupUsage(self._groups())
        for job in self._queue.live():
            if job.group_name and job.id != without:
                usage.add(member_of(job))
        for lend in self._lends.open:
            run = self._queue.get(lend.run_job_id)
            if run.group_name and not run.has_runner and run.state not in ENDED:
                # It has its place still.
                usage.add(member_of(run))
        return usage

    def _measured_bytes(self, job: Job) -> int | None:
        """The memory of a GPU that a run was seen to use; None where it has not trained on one."""
        if job.kind is not JobKind.PRETRAIN or job.device_kind == "cpu" or job.started_t is None:
            return None
        step = self._run_metrics.summary(job).step
        return None if step is None else step.memory_bytes
