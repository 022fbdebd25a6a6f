"""bertd.daemon.lending.lent_devices: nobody else gets what is lent."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bertd.daemon.lending.lent_devices import allocate_lent, can_start, leases_with_lends, with_allocations
from bertd.daemon.scheduling.devices.device_allocation import CPU, Allocation, Inventory, Wait, allocate
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.tables.lend_table import Lend, LendJob
from bertd.records import BorrowerState, JobKind, LendState
from tests.daemon.scheduling.devices.test_device_allocation import GPUS, job

BOX = Inventory(cpu_slots=4, gpus=GPUS[:4], no_gpu_reason="", finetunings_per_gpu=dict.fromkeys(GPUS[:4], 2))
RUN, FIRST, SECOND = 1, 10, 11


def lend(*devices: str, state: LendState = LendState.LENT, is_hot: bool = False, cpu: int = 0) -> Lend:
    return Lend(
        id=1,
        run_job_id=RUN,
        state=state,
        reason="",
        is_hot=is_hot,
        asked_by="",
        devices=dict.fromkeys(devices, 1) | ({CPU: cpu} if cpu else {}),
        created_t=0.0,
        jobs=tuple(LendJob(id, BorrowerState.BORROWING, None) for id in (FIRST, SECOND)),
    )


def test_a_job_of_the_lend_gets_the_lent_devices_and_no_other_job_does() -> None:
    lent = lend("GPU-0", "GPU-1")
    finetune = job(FIRST, 1, job_kind=JobKind.FINETUNE)
    (mine,) = allocate_lent([finetune], Leases(), [lent], BOX)
    assert mine == Allocation(finetune, {"GPU-0": 1}, 2)
    others = leases_with_lends(with_allocations(Leases(), [mine]), [lent])
    assert [list(each.devices) for each in allocate([job(2, 2)], others, BOX) if isinstance(each, Allocation)] == [
        ["GPU-2", "GPU-3"]
    ]


def test_cores_that_are_lent_are_divided_among_the_jobs_of_the_lend_alone() -> None:
    lent = lend(cpu=3)
    jobs = [job(FIRST, 2, "cpu"), job(SECOND, 2, "cpu")]
    first, second = allocate_lent(jobs, Leases(), [lent], BOX)
    assert isinstance(first, Allocation) and isinstance(second, Wait)
    others = leases_with_lends(with_allocations(Leases(), [first]), [lent])
    assert others.slots_of(CPU) == 3


def test_the_run_waits_while_it_lends_and_gets_its_own_devices_back() -> None:
    run = job(RUN, 2)
    (waits,) = allocate_lent([run], Leases(), [lend("GPU-2", "GPU-3")], BOX)
    assert isinstance(waits, Wait) and "waits until job 10, 11" in waits.reason
    (back,) = allocate_lent([run], Leases(), [lend("GPU-2", "GPU-3", state=LendState.RETURNING)], BOX)
    assert back == Allocation(run, {"GPU-2": 1, "GPU-3": 1})


def test_nothing_starts_before_the_run_is_paused() -> None:
    (waits,) = allocate_lent([job(FIRST, 1)], Leases(), [lend("GPU-0", state=LendState.PAUSING)], BOX)
    assert isinstance(waits, Wait) and "starts as soon as job 1" in waits.reason


def test_one_job_gets_a_part_of_a_gpu_whose_run_is_suspended() -> None:
    lent = lend("GPU-0", is_hot=True)
    rows = Leases((Lease(RUN, "GPU-0", 1),))
    jobs = [job(id, 1, job_kind=JobKind.FINETUNE) for id in (FIRST, SECOND)]
    first, second = allocate_lent(jobs, rows, [lent], BOX)
    assert first == Allocation(jobs[0], {"GPU-0": 1}, 2)
    assert isinstance(second, Wait)


def test_a_lost_or_drained_device_is_not_counted_on() -> None:
    assert can_start(job(FIRST, 2), lend("GPU-0", "GPU-1"), BOX, drained=())
    assert not can_start(job(FIRST, 2), lend("GPU-0", "GPU-1"), BOX, drained=("GPU-1",))
    assert not can_start(job(FIRST, 2), lend("GPU-0", "GPU-9"), BOX, drained=())


@given(
    st.lists(st.tuples(st.integers(20, 40), st.integers(1, 4)), max_size=5, unique_by=lambda pair: pair[0]),
    st.sets(st.sampled_from(BOX.gpus), min_size=1, max_size=4),
    st.sampled_from([LendState.PAUSING, LendState.LENT, LendState.RETURNING]),
    st.booleans(),
    st.booleans(),
)
def test_no_other_job_ever_gets_a_lent_device(
    others: list[tuple[int, int]], gpus: set[str], state: LendState, is_hot: bool, has_leases: bool
) -> None:
    lent = lend(*gpus, state=state, is_hot=is_hot)
    run_has_them = is_hot or state is LendState.PAUSING
    rows = Leases(tuple(Lease(RUN, gpu, 1) for gpu in sorted(gpus)) if run_has_them else ())
    jobs = [job(FIRST, 1, job_kind=JobKind.FINETUNE), replace(job(RUN, len(gpus)), reason="")]
    waiting = [job(id, count) for id, count in others]
    mine = allocate_lent(jobs[: 1 + (not run_has_them)], rows, [lent], BOX)
    seen = leases_with_lends(with_allocations(rows, mine if has_leases else []), [lent])
    given_to_others = {
        device
        for each in allocate(waiting, seen, BOX, may_overtake=lambda *_: True)
        if isinstance(each, Allocation)
        for device in each.devices
    }
    assert not given_to_others & gpus
    for each in mine:
        if isinstance(each, Allocation):
            assert set(each.devices) <= gpus
