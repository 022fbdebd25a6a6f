from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bertd.daemon.scheduling.devices.device_allocation import (
    CPU,
    MAX_OVERTAKEN,
    Allocation,
    Decision,
    FarBehind,
    Wait,
    allocate,
)
from bertd.daemon.scheduling.expectations.backfill import Backfill, find_device_outlook
from bertd.daemon.scheduling.expectations.forecast import DeviceOutlook, Release, WaitingJob, forecast
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.queue import Job
from bertd.records import JobKind
from tests.daemon.scheduling.devices.test_device_allocation import BOX, GPUS, job

NOW = 1000.0


def backfill(jobs: dict[Job, float | None], ends: dict[int, float | None]) -> Backfill:
    waiting = {
        each.id: WaitingJob(each.id, each.num_devices, seconds, NOW, (), each.device_kind)
        for each, seconds in jobs.items()
    }
    return Backfill(now=NOW, ends=ends, waiting=waiting, inventory=BOX, drained=())


def decide(jobs: dict[Job, float | None], leases: Leases, ends: dict[int, float | None]) -> list[Decision]:
    return allocate(list(jobs), leases, BOX, may_overtake=backfill(jobs, ends).may_overtake)


def taken(num: int, *, job_id: int = 100) -> Leases:
    return Leases(tuple(Lease(job_id, gpu, 1) for gpu in GPUS[:num]))


def test_a_short_job_takes_the_gpus_that_a_large_one_cannot_use_yet() -> None:
    jobs = {job(1, 8): 500.0, job(2, 1): 60.0, job(3, 1): 61.0, job(4, 2): 60.0, job(5, 1): None}
    decisions = decide(jobs, taken(5), {100: NOW + 60})
    assert [isinstance(each, Allocation) for each in decisions] == [False, True, False, True, False]
    assert decisions[2] == Wait(job(3, 1), "waits for job 1, which is ahead of it in the queue")


def test_nothing_overtakes_where_an_end_is_not_known() -> None:
    jobs: dict[Job, float | None] = {job(1, 8): 500.0, job(2, 1): 60.0}
    assert isinstance(decide(jobs, taken(5), {100: None})[1], Wait)
    assert isinstance(decide(jobs, taken(5), {})[1], Wait)
    # It is known when job 1 starts, but not when job 2 does.
    jobs = {job(1, 6): None, job(2, 8): 1.0, job(3, 1): 1.0}
    assert isinstance(decide(jobs, taken(5), {100: NOW + 60})[2], Wait)


def test_more_jobs_than_one_looks_at_are_not_overtaken() -> None:
    large: dict[Job, float | None] = {job(id, 8): 1.0 for id in range(1, MAX_OVERTAKEN + 1)}
    assert isinstance(decide(large | {job(90, 1): 1.0}, taken(5), {100: NOW + 60})[-1], Allocation)
    more = large | {job(80, 8): 1.0}
    (last,) = decide(more | {job(90, 1): 1.0}, taken(5), {100: NOW + 60})[-1:]
    assert isinstance(last, FarBehind) and last.jobs == [job(90, 1)]


def test_a_gpu_that_several_share_is_free_when_the_last_of_them_ends() -> None:
    leases = Leases((Lease(1, GPUS[0], 1, parts=4), Lease(2, GPUS[0], 1, parts=4), Lease(3, CPU, 2)))
    ends = {1: NOW + 5, 2: NOW + 9, 3: None}
    gpus = find_device_outlook("gpu", leases, inventory=BOX, drained=GPUS[4:], ends=ends)
    assert gpus == DeviceOutlook(3, (Release(NOW + 9, 1),))
    assert find_device_outlook("cpu", leases, inventory=BOX, drained=(), ends=ends) == DeviceOutlook(
        2, (Release(None, 2),)
    )
    assert find_device_outlook("cpu", leases, inventory=BOX, drained=(CPU,), ends=ends).num_free == 0


JOBS = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.none() | st.integers(1, 50).map(float),
        st.sampled_from([JobKind.PRETRAIN, JobKind.COMMAND, JobKind.FINETUNE]),
    ),
    max_size=8,
)


@given(JOBS, st.integers(0, 8), st.none() | st.integers(1, 50).map(float))
def test_no_gpu_is_given_twice_and_the_first_that_waits_starts_as_early_as_without_the_others(
    drawn: list[tuple[int, float | None, JobKind]], num_taken: int, left_s: float | None
) -> None:
    jobs = {job(id, num, job_kind=kind): seconds for id, (num, seconds, kind) in enumerate(drawn, start=1)}
    leases, ends = taken(num_taken), {100: None if left_s is None else NOW + left_s}
    decisions = decide(jobs, leases, ends)
    used = Counter([lease.device for lease in leases.rows])
    used.update(gpu for each in decisions if isinstance(each, Allocation) for gpu in each.devices)
    assert all(number == 1 for number in used.values())
    first = next((place for place, each in enumerate(decisions) if isinstance(each, Wait)), None)
    if first is None:
        return

    def start_of_first(allocated: list[Decision]) -> float | None:
        given = [each for each in allocated if isinstance(each, Allocation)]
        rows = (*leases.rows, *(Lease(each.job.id, gpu, 1) for each in given for gpu in each.devices))
        known = {each.job.id: None if jobs[each.job] is None else NOW + jobs[each.job] for each in given}  # type: ignore[operator]  # None is the other case
        devices = find_device_outlook("gpu", Leases(rows), inventory=BOX, drained=(), ends=ends | known)
        (waiting,) = (each.job for each in decisions[first : first + 1] if isinstance(each, Wait))
        alone = [WaitingJob(waiting.id, waiting.num_devices, 1.0, device_kind="gpu")]
        return forecast(alone, {"gpu": devices}, now=NOW)[waiting.id].start_t

    before, after = start_of_first(decisions[:first]), start_of_first(decisions)
    overtaken = any(isinstance(each, Allocation) for each in decisions[first:])
    assert not overtaken or before is not None
    assert before is None or (after is not None and after <= before)
