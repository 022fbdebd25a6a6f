"""The daemon leases only what its own CUDA_VISIBLE_DEVICES allows, and says what that leaves out."""

from __future__ import annotations

import pytest

from bertd.daemon.scheduling.devices.visible_gpus import GpuIdentity, select_visible_gpus

EQUAL = [GpuIdentity(f"GPU-{letter}000-1", "NVIDIA A100") for letter in "abcd"]
MIXED = [GpuIdentity("GPU-a000", "NVIDIA T400"), GpuIdentity("GPU-b000", "NVIDIA H200")]
SLICED = [GpuIdentity("MIG-a1", "H200 MIG 1g"), GpuIdentity("MIG-a2", "H200 MIG 1g")]


def visible(value: str, gpus: list[GpuIdentity] = EQUAL, **more: str) -> list[str]:
    return list(select_visible_gpus(gpus, {"CUDA_VISIBLE_DEVICES": value, **more}).uuids)


def reason(value: str, gpus: list[GpuIdentity] = EQUAL, **more: str) -> str:
    return select_visible_gpus(gpus, {"CUDA_VISIBLE_DEVICES": value, **more}).left_out_reason


def test_without_the_variable_every_gpu_is_there() -> None:
    everything = select_visible_gpus(EQUAL, {})
    assert everything.uuids == tuple(gpu.uuid for gpu in EQUAL) and not everything.left_out_reason


@pytest.mark.parametrize(
    ("value", "letters"),
    [
        ("2,3", "cd"),
        ("3, 0", "da"),
        ("GPU-b000-1,GPU-c", "bc"),
        ("1,1", "b"),
        ("0,9,1", "a"),
        ("0,-1,1", "a"),
        ("", ""),
        ("-1", ""),
        ("NoDevFiles", ""),
        ("GPU-", ""),
        ("nonsense,0", ""),
    ],
)
def test_entries_are_read_as_cuda_reads_them(value: str, letters: str) -> None:
    assert visible(value) == [f"GPU-{letter}000-1" for letter in letters]


def test_what_is_left_out_is_counted_and_an_unknown_entry_named() -> None:
    assert reason("2,3") == "CUDA_VISIBLE_DEVICES=2,3 leaves out 2 of 4 GPUs"
    assert reason("0,9") == "CUDA_VISIBLE_DEVICES=0,9 leaves out 3 of 4 GPUs, whose entry '9' names no GPU here"
    assert reason("") == "CUDA_VISIBLE_DEVICES= leaves out 4 of 4 GPUs"
    assert not reason("0,1,2,3")


def test_an_index_on_gpus_of_several_kinds_is_refused_where_cuda_counts_the_fastest_first() -> None:
    assert visible("0", MIXED) == [] and "set CUDA_DEVICE_ORDER=PCI_BUS_ID" in reason("0", MIXED)
    assert visible("0", MIXED, CUDA_DEVICE_ORDER="PCI_BUS_ID") == ["GPU-a000"]
    assert visible("GPU-b", MIXED) == ["GPU-b000"]


def test_mig_instances_are_chosen_by_their_uuids() -> None:
    assert visible("MIG-a2", SLICED) == ["MIG-a2"]
