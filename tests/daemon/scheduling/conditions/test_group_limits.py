"""bertd.daemon.scheduling.conditions.group_limits, in the allocation and in the forecast."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bertd.daemon.scheduling.conditions.group_limits import (
    GroupLimits,
    GroupLines,
    GroupUsage,
    Limits,
    member_of,
    reason_never,
)
from bertd.daemon.scheduling.devices.device_allocation import Allocation, Inventory, Wait, allocate
from bertd.daemon.scheduling.expectations.forecast import (
    DeviceOutlook,
    GroupOutlook,
    Release,
    WaitingJob,
    forecast,
    may_overtake,
)
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.queue import Job
from tests.daemon.scheduling.devices.test_device_allocation import job

NOW = 1000.0
BOX = Inventory(cpu_slots=4, gpus=tuple(f"GPU-{index}" for index in range(4)), no_gpu_reason="")
GROUPS = {"a": GroupLimits(Limits(num_jobs=2, num_gpus=3), Limits(num_jobs=1)), "b": GroupLimits(Limits(num_cores=3))}


def of_group(id: int, num_devices: int, group: str, *, kind: str = "gpu", uid: int = 0) -> Job:
    return replace(job(id, num_devices, kind), group_name=group, owner_uid=uid)


def decide(waiting: list[Job], *, running: list[Job]) -> list[str]:
    usage = GroupUsage(GROUPS)
    rows = list[Lease]()
    for each in running:
        usage.add(member_of(each))
        rows += [Lease(each.id, gpu, 1) for gpu in BOX.gpus[len(rows) :][: each.num_devices]]
    decisions = allocate(waiting, Leases(tuple(rows)), BOX, group_lines=GroupLines(usage))
    return [each.reason if isinstance(each, Wait) else "starts" for each in decisions]


def test_a_job_that_waits_for_its_group_says_so_and_holds_up_only_its_group() -> None:
    waiting = [of_group(2, 2, "a", uid=2), of_group(3, 1, "a", uid=3), of_group(4, 1, "", uid=4)]
    assert decide(waiting, running=[of_group(1, 2, "a", uid=1)]) == [
        "waits for its group a: 2 of 3 GPUs in use",
        "waits for job 2, which is ahead of it in its group a",
        "starts",
    ]


def test_a_limit_per_user_holds_up_that_user_alone() -> None:
    waiting = [of_group(2, 1, "a", uid=1), of_group(3, 1, "a", uid=1), of_group(4, 1, "a", uid=2)]
    assert decide(waiting, running=[of_group(1, 1, "a", uid=1)]) == [
        "waits for its group a: 1 of 1 job of uid 1 in use",
        "waits for job 2, which is ahead of it in its group a",
        "starts",
    ]


def test_what_can_never_start_in_its_group_says_so_and_holds_nobody_up() -> None:
    waiting = [of_group(1, 4, "a"), of_group(2, 1, "gone"), of_group(3, 1, "a")]
    reasons = decide(waiting, running=[])
    assert reasons[0] == "can never start in its group a: needs 4 GPUs, and the group allows 3"
    assert "no such group" in reasons[1]
    assert reasons[2] == "starts"
    assert reason_never(of_group(1, 4, "b", kind="cpu"), GROUPS) == "needs 4 cores, and the group allows 3"


def test_a_small_job_does_not_take_its_groups_room_from_a_large_one_ahead() -> None:
    groups = GroupOutlook({"a": GroupLimits(Limits(num_jobs=1))})
    large = WaitingJob(1, 4, 10.0, device_kind="gpu", group="a")
    small, other = (WaitingJob(2, 1, 90.0, device_kind="gpu", group=group) for group in ("a", ""))
    devices = {"gpu": DeviceOutlook(4 - 2, (Release(NOW + 60, 1), Release(NOW + 50, 1)))}
    assert not may_overtake(small, [large], devices, now=NOW, groups=groups)
    assert not may_overtake(small._replace(duration_s=61.0), [large], devices, now=NOW, groups=groups)
    assert may_overtake(small._replace(duration_s=60.0), [large], devices, now=NOW, groups=groups)
    assert may_overtake(other._replace(duration_s=60.0), [large], devices, now=NOW, groups=groups)


JOBS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 30).map(float),
        st.sampled_from(["", "a", "b"]),
        st.integers(0, 1),
        st.sampled_from(["cpu", "gpu"]),
    ),
    max_size=9,
)
LIMIT = st.none() | st.integers(1, 4)
LIMITS = st.builds(GroupLimits, st.builds(Limits, LIMIT, LIMIT, LIMIT), st.builds(Limits, LIMIT, LIMIT, LIMIT))


@given(JOBS, LIMITS, LIMITS)
def test_no_limit_is_exceeded_in_the_forecast_and_what_fits_alone_starts(
    drawn: list[tuple[int, float, str, int, str]], limits_a: GroupLimits, limits_b: GroupLimits
) -> None:
    limits = {"a": limits_a, "b": limits_b}
    jobs = [of_group(id, num, group, kind=kind, uid=uid) for id, (num, _, group, uid, kind) in enumerate(drawn, 1)]
    seconds = {id: each[1] for id, each in enumerate(drawn, 1)}
    waiting = [
        WaitingJob(j.id, j.num_devices, seconds[j.id], 0.0, (), j.device_kind, j.group_name, j.owner_uid)
        for j in jobs
        if not j.group_name or not reason_never(j, limits)
    ]
    devices = {"cpu": DeviceOutlook(3), "gpu": DeviceOutlook(3)}
    expected = forecast(waiting, devices, now=NOW, groups=GroupOutlook(limits))
    assert all(times.start_t is not None for times in expected.values())
    for moment in {times.start_t for times in expected.values()}:
        assert moment is not None
        usage = GroupUsage(limits)
        taken = {"cpu": 0, "gpu": 0}
        for each in waiting:
            start_t, end_t = expected[each.id]
            assert start_t is not None and end_t is not None
            if start_t <= moment < end_t:
                assert not each.group or usage.find_full(each.member) is None
                usage.add(each.member)
                taken[each.device_kind] += each.num_devices
        assert max(taken.values()) <= 3


@given(JOBS, LIMITS, LIMITS)
def test_the_forecast_for_one_kind_of_device_is_what_the_allocation_then_does(
    drawn: list[tuple[int, float, str, int, str]], limits_a: GroupLimits, limits_b: GroupLimits
) -> None:
    limits, box = {"a": limits_a, "b": limits_b}, Inventory(cpu_slots=3, gpus=(), no_gpu_reason="")
    jobs = [of_group(id, num, group, kind="cpu", uid=uid) for id, (num, _, group, uid, _) in enumerate(drawn, 1)]
    jobs = [j for j in jobs if not j.group_name or not reason_never(j, limits)]
    seconds = {id: each[1] for id, each in enumerate(drawn, 1)}
    waiting = [WaitingJob(j.id, j.num_devices, seconds[j.id], 0.0, (), "cpu", j.group_name, j.owner_uid) for j in jobs]
    expected = forecast(waiting, {"cpu": DeviceOutlook(3)}, now=NOW, groups=GroupOutlook(limits))
    t, running, left, started = NOW, dict[int, float](), jobs, dict[int, float]()
    while left:
        running = {id: end_t for id, end_t in running.items() if end_t > t}
        usage = GroupUsage(limits)
        have = [each for each in jobs if each.id in running]
        for each in have:
            usage.add(member_of(each))
        leases = Leases(tuple(Lease(each.id, "cpu", each.num_devices) for each in have))
        for decision in allocate(left, leases, box, group_lines=GroupLines(usage)):
            if isinstance(decision, Allocation):
                started[decision.job.id] = t
                running[decision.job.id] = t + seconds[decision.job.id]
        left = [each for each in left if each.id not in started]
        t = min(running.values())
    assert {id: times.start_t for id, times in expected.items()} == started
