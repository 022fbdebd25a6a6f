from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bertd.daemon.scheduling.device_allocation import CPU, Allocation, Inventory, Wait, allocate
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.queue import Job
from bertd.records import JobKind, JobState

GPUS = tuple(f"GPU-{index}" for index in range(8))
BOX = Inventory(cpu_slots=4, gpus=GPUS, no_gpu_reason="")


def job(id: int, num_devices: int, kind: str = "gpu") -> Job:
    return Job(
        id=id,
        kind=JobKind.PRETRAIN,
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
    assert [decision.job for decision in decisions] == waiting
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
