"""How right expected starts are, on simulated days of a shared machine of eight GPUs.

The decisions are the daemon's own: `allocate` with `Backfill` gives devices, `forecast_with_overtaking` makes the
expectations, in the same order as the scheduler's round and from the same knowledge. Only the jobs are made up: when
they come, how long the daemon believes that they take, and how long they take.

    pretraining   a budget of 2 to 24 hours; ends on it, but for one in ten, which a person stops early
    grid          an estimate that is wrong by a factor of about 1.15
    finetuning    minutes; the daemon does not know how long
    command       a time limit, of which it uses a part

People submit in the day, eight times as often as in the night. The first expectation that a job had is compared with
its start, as in `StartAccuracy`.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, field

from bertd.daemon.scheduling.devices.device_allocation import Allocation, Inventory, allocate
from bertd.daemon.scheduling.expectations.backfill import Backfill, find_device_outlook
from bertd.daemon.scheduling.expectations.forecast import WaitingJob, is_wrong
from bertd.daemon.scheduling.expectations.overtaking import forecast_with_overtaking
from bertd.daemon_bench.figures import Figure, percentile
from bertd.daemon_bench.sizes import Sizes
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.queue import Job
from bertd.records import JobKind, JobState

HOUR_S, DAY_S = 3600.0, 86_400.0
_BETWEEN_JOBS_S = 0.8 * HOUR_S
"""In the day: the GPUs are then leased for about 70 % of the time."""
MACHINE = Inventory(
    cpu_slots=64,
    gpus=tuple(f"GPU-{number}" for number in range(8)),
    no_gpu_reason="",
    finetunings_per_gpu={f"GPU-{number}": 4 for number in range(8)},
)


@dataclass(frozen=True)
class MadeUpJob:
    """A job, what the daemon believes of it, and the truth."""

    job: Job
    submitted_t: float
    believed_s: float | None
    actual_s: float


@dataclass(frozen=True)
class CheckedStart:
    """The first expectation of a job, and its start."""

    made_t: float
    expected_t: float
    actual_t: float

    @property
    def error_s(self) -> float:
        """Positive if it started later than expected."""
        return self.actual_t - self.expected_t

    @property
    def is_wrong(self) -> bool:
        """As the daemon counts it."""
        return is_wrong(made_t=self.made_t, expected_t=self.expected_t, actual_t=self.actual_t)


@dataclass
class StartsOfDays:
    """What became of the jobs of one simulation."""

    checked: list[CheckedStart] = field(default_factory=list)
    """Jobs that had to wait and had an expected start."""
    num_at_once: int = 0
    num_without: int = 0
    """Jobs that waited and had no expected start before the moment at which they started."""


def make_jobs(seed: int, *, days: float) -> list[MadeUpJob]:
    """Jobs in the order in which they come."""
    draw = random.Random(seed)  # noqa: S311 - for a simulation
    jobs: list[MadeUpJob] = []
    t = 0.0
    while True:
        # The rate is that of the day; in the night seven of eight are left out.
        t += draw.expovariate(1 / _BETWEEN_JOBS_S)
        if t >= days * DAY_S:
            return jobs
        is_day = 9 <= t % DAY_S / HOUR_S < 19
        if is_day or draw.random() < 1 / 8:
            jobs.append(_make_job(draw, len(jobs) + 1, t))


def _make_job(draw: random.Random, id: int, t: float) -> MadeUpJob:
    kind = draw.choices([JobKind.PRETRAIN, JobKind.GRID, JobKind.FINETUNE, JobKind.COMMAND], [25, 20, 35, 20])[0]
    believed_s: float | None
    if kind is JobKind.PRETRAIN:
        num_devices, believed_s = draw.choice([1, 1, 2, 4, 8]), draw.choice([2, 4, 8, 12, 24]) * HOUR_S
        actual_s = believed_s * (draw.uniform(0.1, 0.9) if draw.random() < 0.1 else 1.0) + draw.uniform(20, 90)
    elif kind is JobKind.GRID:
        num_devices, believed_s = draw.choice([1, 2, 4]), draw.uniform(0.5, 4) * HOUR_S
        actual_s = believed_s * math.exp(draw.gauss(0, math.log(1.15)))
    elif kind is JobKind.FINETUNE:
        num_devices, believed_s, actual_s = 1, None, 60 * math.exp(draw.gauss(math.log(12), 0.7))
    else:
        num_devices, believed_s = draw.choice([1, 1, 2]), draw.choice([0.5, 1, 2, 6]) * HOUR_S
        actual_s = believed_s * draw.uniform(0.2, 1.0)
    job = Job(
        id=id,
        kind=kind,
        name=str(kind),
        state=JobState.QUEUED,
        reason="",
        priority=draw.choices([0, 10], [9, 1])[0],
        run_id="",
        folder="",
        device_kind="gpu",
        num_devices=num_devices,
        owner_uid=0,
        created_t=t,
    )
    return MadeUpJob(job, t, believed_s, actual_s)


class SimulatedDays:
    """One queue with its devices, from the first job to the last start."""

    def __init__(self, jobs: list[MadeUpJob]) -> None:
        self._jobs = {each.job.id: each for each in jobs}
        self._waiting: list[Job] = []
        self._rows: list[Lease] = []
        self._started_t: dict[int, float] = {}
        self._first: dict[int, tuple[float, float]] = {}
        self.result = StartsOfDays()

    def run(self) -> StartsOfDays:
        """Go from event to event: a job comes, or one ends."""
        coming = [(each.submitted_t, each.job.id) for each in self._jobs.values()]
        ends: list[tuple[float, int]] = []
        heapq.heapify(coming)
        while coming or ends:
            now, id = heapq.heappop(ends if ends and (not coming or ends[0] <= coming[0]) else coming)
            if id in self._started_t:
                self._rows = [lease for lease in self._rows if lease.job_id != id]
                del self._started_t[id]
            else:
                self._waiting.append(self._jobs[id].job)
                self._waiting.sort(key=lambda job: (-job.priority, job.id))
            for started in self._round(now):
                heapq.heappush(ends, (now + self._jobs[started].actual_s, started))
        return self.result

    def _round(self, now: float) -> list[int]:
        """One round of the scheduler: expectations first, then devices; the jobs that start."""
        ends = {id: self._believed_end_t(id, now) for id in self._started_t}
        self._expect(ends, now)
        backfill = Backfill(
            now=now,
            ends=ends,
            waiting={job.id: self._waiting_job(job, now) for job in self._waiting},
            inventory=MACHINE,
            drained=(),
        )
        decisions = allocate(self._waiting, Leases(tuple(self._rows)), MACHINE, may_overtake=backfill.may_overtake)
        started = [each for each in decisions if isinstance(each, Allocation)]
        for each in started:
            self._rows += [Lease(each.job.id, device, slots, each.parts) for device, slots in each.devices.items()]
            self._note_start(each.job, now)
        ids = [each.job.id for each in started]
        self._waiting = [job for job in self._waiting if job.id not in ids]
        return ids

    def _expect(self, ends: dict[int, float | None], now: float) -> None:
        devices = find_device_outlook("gpu", Leases(tuple(self._rows)), inventory=MACHINE, drained=(), ends=ends)
        waiting = [self._waiting_job(job, now) for job in self._waiting]
        for id, times in forecast_with_overtaking(waiting, {"gpu": devices}, now=now, ends=ends).items():
            if times.start_t is not None:
                self._first.setdefault(id, (now, times.start_t))

    def _note_start(self, job: Job, now: float) -> None:
        self._started_t[job.id] = now
        first = self._first.get(job.id)
        if now == self._jobs[job.id].submitted_t:
            self.result.num_at_once += 1
        elif first is not None and first[0] < now:
            self.result.checked.append(CheckedStart(*first, actual_t=now))
        else:
            self.result.num_without += 1

    def _believed_end_t(self, id: int, now: float) -> float | None:
        """As the daemon knows it: none once it is past."""
        believed_s = self._jobs[id].believed_s
        end_t = None if believed_s is None else self._started_t[id] + believed_s
        return None if end_t is None or end_t <= now else end_t

    def _waiting_job(self, job: Job, now: float) -> WaitingJob:
        return WaitingJob(job.id, job.num_devices, self._jobs[job.id].believed_s, not_before_t=now, device_kind="gpu")


def measure_expected_starts(sizes: Sizes) -> list[Figure]:
    """The distribution of the error over all seeds."""
    results = [SimulatedDays(make_jobs(seed, days=sizes.simulated_days)).run() for seed in range(1, sizes.seeds + 1)]
    checked = [each for result in results for each in result.checked]
    num_waited = len(checked) + sum(result.num_without for result in results)
    name = f"expected starts, {sizes.seeds} x {sizes.simulated_days:g} simulated days"
    wrong = 100 * sum(each.is_wrong for each in checked) / max(1, len(checked))
    errors = [each.error_s / 60 for each in checked]
    return [
        Figure(f"{name}: jobs that waited", num_waited, "", None, "besides those that started at once"),
        Figure(f"{name}: had an expected start", 100 * len(checked) / max(1, num_waited), "%", None, "of these"),
        Figure(f"{name}: wrong by more than a quarter", wrong, "%", None, "of the wait, and a minute"),
        *(
            Figure(f"{name}: error, {share:.0%} are below", percentile(errors, share), "min", None, "late is positive")
            for share in (0.05, 0.25, 0.5, 0.75, 0.95)
        ),
    ]
