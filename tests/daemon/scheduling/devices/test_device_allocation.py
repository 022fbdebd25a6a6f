from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from bertd.daemon.scheduling.devices.device_allocation import CPU, Allocation, FarBehind, Inventory, Wait, allocate
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.queue import Job
from bertd.records import JobKind, JobState

GPUS = tuple(f"GPU-{index}" for index in range(8))
BOX = Inventory(cpu_slots=4, gpus=GPUS, no_gpu_reason="")


def job(id: int, num_devices: int, kind: str = "gpu", *, job_kind: JobKind = JobKind.PRETRAIN) -> Job:
    return Job(
        id=id,
        kind=job_kind,
        name="x",
        state=JobState.QUEUED,
        reason="",
        priority=0,
        run_id="",
        folder="",
        device_kind="gpu" if kind == "gpu" else "cpu",
        num_devices=num_devices,
        owner_uid=0,
        created_t=0,
    )


def leased(*gpus: str) -> Leases:
    """The devices that job 1 has."""
    return Leases(tuple(Lease(1, gpu, 1) for gpu in gpus))


def test_gpus_are_given_by_name_and_cores_by_number() -> None:
    allocations = allocate([job(1, 2), job(2, 3, "cpu")], Leases(), BOX)
    assert allocations == [Allocation(job(1, 2), {"GPU-0": 1, "GPU-1": 1}), Allocation(job(2, 3, "cpu"), {CPU: 3})]


def test_what_is_leased_is_not_given_again() -> None:
    (allocation,) = allocate([job(2, 2)], leased("GPU-0", "GPU-2"), BOX)
    assert allocation == Allocation(job(2, 2), {"GPU-1": 1, "GPU-3": 1})


def test_a_job_that_must_wait_says_who_has_what_it_needs() -> None:
    (wait,) = allocate([job(2, 8)], leased("GPU-0"), BOX)
    assert wait == Wait(job(2, 8), "waits for 8 GPUs, 7 free; job 1 has the rest: pause or stop it, or wait")


def test_a_small_job_does_not_overtake_a_large_one() -> None:
    decisions = allocate([job(2, 8), job(3, 1)], leased("GPU-0"), BOX)
    assert decisions[1] == Wait(job(3, 1), "waits for job 2, which is ahead of it in the queue")


def test_a_job_for_the_cpu_does_not_wait_behind_one_for_gpus() -> None:
    decisions = allocate([job(2, 8), job(3, 1, "cpu")], leased("GPU-0"), BOX)
    assert isinstance(decisions[1], Allocation)


def test_a_job_that_can_never_fit_says_so_and_holds_nobody_up() -> None:
    none = Inventory(cpu_slots=4, gpus=(), no_gpu_reason="NVML: Driver Not Loaded")
    decisions = allocate([job(1, 8), job(2, 1, "cpu")], Leases(), none)
    assert isinstance(decisions[0], Wait)
    assert decisions[0].reason.startswith("asks for 8 gpu, this machine has 0 (NVML: Driver Not Loaded)")
    assert isinstance(decisions[1], Allocation)


def test_a_run_that_can_never_fit_is_told_how_to_go_on_with_what_there_is() -> None:
    (wait,) = allocate([job(3, 9)], Leases(), BOX)
    remedy = "`bertd resume 3 --devices 8`, or bring them back and start the daemon again"
    assert wait == Wait(job(3, 9), f"asks for 9 gpu, this machine has 8; {remedy}")


@given(
    st.lists(st.tuples(st.integers(1, 10), st.sampled_from(["gpu", "cpu"])), max_size=12),
    st.integers(0, 4),
    st.integers(0, 8),
)
def test_never_more_is_given_than_there_is(asked: list[tuple[int, str]], used_slots: int, used_gpus: int) -> None:
    leases = Leases((Lease(100, CPU, used_slots), *(Lease(100, gpu, 1) for gpu in GPUS[:used_gpus])))
    waiting = [job(id, number, kind) for id, (number, kind) in enumerate(asked)]
    decisions = allocate(waiting, leases, BOX)
    assert [decision.job for decision in decisions if not isinstance(decision, FarBehind)] == waiting
    allocations = [decision.devices for decision in decisions if isinstance(decision, Allocation)]
    assert sum(devices.get(CPU, 0) for devices in allocations) + used_slots <= BOX.cpu_slots
    gpus = [device for devices in allocations for device in devices if device != CPU]
    assert len(gpus) == len(set(gpus))
    assert not set(gpus) & set(GPUS[:used_gpus])


def test_gpus_that_others_use_are_allocated_last() -> None:
    (allocation,) = allocate([job(1, 2)], Leases(), BOX, occupied={"GPU-0"})
    assert isinstance(allocation, Allocation) and list(allocation.devices) == ["GPU-1", "GPU-2"]
    (everything,) = allocate([job(1, len(GPUS))], Leases(), BOX, occupied={"GPU-0"})
    assert isinstance(everything, Allocation) and list(everything.devices)[-1] == "GPU-0"


# ---- Finetunings that share a GPU ------------------------------------------------------------------

TWO_GPUS = Inventory(cpu_slots=4, gpus=GPUS[:2], no_gpu_reason="", finetunings_per_gpu=dict.fromkeys(GPUS[:2], 3))


def finetuning(id: int) -> Job:
    return job(id, 1, job_kind=JobKind.FINETUNE)


def test_finetunings_spread_over_the_gpus_and_then_share_them() -> None:
    *given_to, wait = allocate([finetuning(id) for id in range(1, 8)], Leases(), TWO_GPUS)
    allocations = [each for each in given_to if isinstance(each, Allocation)]
    assert [list(each.devices) for each in allocations] == [["GPU-0"], ["GPU-1"]] * 3
    assert {each.parts for each in allocations} == {3}
    assert isinstance(wait, Wait)


def test_finetunings_leave_a_gpu_whole_for_a_run_that_waits() -> None:
    shared = Leases((Lease(1, "GPU-1", 1, 3),))
    first, run, last = allocate([finetuning(2), job(3, 1), finetuning(4)], shared, TWO_GPUS)
    assert first == Allocation(finetuning(2), {"GPU-1": 1}, 3)
    assert run == Allocation(job(3, 1), {"GPU-0": 1})
    assert last == Allocation(finetuning(4), {"GPU-1": 1}, 3)


def test_a_run_never_gets_a_gpu_that_a_finetuning_has_and_the_other_way_round() -> None:
    (wait,) = allocate([job(2, 2)], Leases((Lease(1, "GPU-1", 1, 3),)), TWO_GPUS)
    assert wait == Wait(job(2, 2), "waits for 2 GPUs, 1 free; job 1 has the rest: pause or stop it, or wait")
    (wait,) = allocate([finetuning(2)], Leases((Lease(1, "GPU-0", 1), Lease(1, "GPU-1", 1))), TWO_GPUS)
    assert wait == Wait(finetuning(2), "waits for 1 GPU, 0 free; job 1 has the rest: pause or stop it, or wait")


def test_where_nothing_is_said_a_finetuning_has_its_gpu_to_itself() -> None:
    allocations = allocate([finetuning(1), finetuning(2)], Leases(), replace(TWO_GPUS, finetunings_per_gpu={}))
    assert allocations == [Allocation(finetuning(1), {"GPU-0": 1}), Allocation(finetuning(2), {"GPU-1": 1})]


@given(
    st.lists(st.tuples(st.sampled_from([JobKind.PRETRAIN, JobKind.FINETUNE]), st.integers(1, 2)), max_size=12),
    st.lists(st.tuples(st.sampled_from(GPUS[:2]), st.integers(1, 4)), max_size=4),
    st.lists(st.integers(1, 4), min_size=2, max_size=2),
)
def test_no_gpu_is_given_more_than_once(
    wanted: list[tuple[JobKind, int]], before: list[tuple[str, int]], shares: list[int]
) -> None:
    leases = Leases()
    for id, (gpu, parts) in enumerate(before):
        if leases.free_share(gpu) >= Fraction(1, parts):
            leases = Leases((*leases.rows, Lease(id, gpu, 1, parts)))
    waiting = [
        job(100 + id, num_devices if kind is JobKind.PRETRAIN else 1, job_kind=kind)
        for id, (kind, num_devices) in enumerate(wanted)
    ]
    inventory = replace(TWO_GPUS, finetunings_per_gpu=dict(zip(GPUS, shares, strict=False)))
    rows = list(leases.rows)
    for decision in allocate(waiting, leases, inventory):
        if isinstance(decision, Allocation):
            assert decision.job.kind is JobKind.FINETUNE or decision.parts == 1
            rows += [Lease(decision.job.id, gpu, 1, decision.parts) for gpu in decision.devices]
    assert all(Leases(tuple(rows)).free_share(gpu) >= 0 for gpu in GPUS)


def test_a_drained_gpu_starts_no_job_and_a_job_that_needs_it_says_how_it_comes_back() -> None:
    drained = ("GPU-0", "GPU-3")
    waiting = [job(2, 1), job(3, 6), job(4, 1, job_kind=JobKind.FINETUNE)]
    first, second, third = allocate(waiting, Leases(), BOX, drained=drained)
    assert isinstance(first, Allocation) and first.devices == {"GPU-1": 1}
    expected = "waits for 6 GPUs, 5 free; 2 drained: `bertd undrain GPU-0 GPU-3`; job 2 has the rest"
    assert isinstance(second, Wait) and second.reason.startswith(expected)
    assert third == Wait(waiting[2], "waits for job 3, which is ahead of it in the queue")


def test_a_drained_cpu_starts_no_job() -> None:
    (wait,) = allocate([job(2, 1, "cpu")], Leases(), BOX, drained=(CPU,))
    assert wait == Wait(job(2, 1, "cpu"), "waits for 1 core, 4 free; the CPU is drained: `bertd undrain cpu`")


def test_what_is_leased_of_a_drained_gpu_is_not_counted_as_free() -> None:
    (wait,) = allocate([job(2, 8)], leased("GPU-0"), BOX, drained=("GPU-0", "GPU-1"))
    assert isinstance(wait, Wait) and "6 free; 2 drained" in wait.reason


def test_a_run_has_one_instance_of_a_card_in_mig_mode_or_several_whole_cards() -> None:
    mixed = Inventory(cpu_slots=4, gpus=("MIG-a", "MIG-b", "GPU-0", "MIG-c", "GPU-1"), no_gpu_reason="")
    (pair,) = allocate([job(1, 2)], Leases(), mixed)
    assert pair == Allocation(job(1, 2), {"GPU-0": 1, "GPU-1": 1})
    (waits,) = allocate([job(2, 2)], leased("GPU-0"), mixed)
    assert isinstance(waits, Wait) and waits.reason.startswith("waits for 2 GPUs, 1 free")
    never, single = allocate([job(1, 3), job(2, 1)], Leases(), mixed)
    assert isinstance(never, Wait) and "this machine has 2" in never.reason
    assert single == Allocation(job(2, 1), {"MIG-a": 1})
    # A grid has a process for each of its GPUs.
    (grid,) = allocate([job(1, 5, job_kind=JobKind.GRID)], Leases(), mixed)
    assert isinstance(grid, Allocation) and len(grid.devices) == 5
    assert [mixed.count_for_run("gpu"), BOX.count_for_run("gpu"), mixed.count_for_run("cpu")] == [2, 8, 4]
    assert Inventory(1, ("MIG-a", "MIG-b"), "").count_for_run("gpu") == 1
