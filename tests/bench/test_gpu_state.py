"""What NVML says of a card, from a stand-in for NVML: no test has a card."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from bertd.bench import gpu_state
from bertd.bench.gpu_state import GpuState, GpuWatch, combine_samples, find_visible_gpu, sample_gpu
from bertd.run.machine.nvml import load_nvml


class FakeNvmlError(Exception):
    """As pynvml raises it."""


class FakeNvml:
    """A card that says its clocks and memory, and nothing of its power."""

    NVMLError = FakeNvmlError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    nvmlClocksThrottleReasonSwPowerCap = 4
    nvmlClocksThrottleReasonGpuIdle = 1
    nvmlClocksThrottleReasonAll = 0xFF

    def nvmlInit(self) -> None: ...  # noqa: N802  # as NVML spells it

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return f"index {index}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid != "GPU-1":
            raise FakeNvmlError("Not Found")
        return uuid

    def nvmlDeviceGetClockInfo(self, _: object, kind: int) -> int:  # noqa: N802
        return {1: 1700, 2: 3201}[kind]

    def nvmlDeviceGetPowerUsage(self, _: object) -> int:  # noqa: N802
        raise FakeNvmlError("Not Supported")

    def nvmlDeviceGetMemoryInfo(self, _: object) -> Any:  # noqa: N802
        return types.SimpleNamespace(used=123, total=456)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _: object) -> int:  # noqa: N802
        return 5


def test_what_a_card_does_not_say_is_left_out() -> None:
    state = sample_gpu(FakeNvml(), "a handle")
    assert state == GpuState(sm_mhz=1700, memory_mhz=3201, memory_used_bytes=123, slowed_by=("SwPowerCap",))
    assert state.describe() == "1700 MHz, memory 3201 MHz, slowed by SwPowerCap"


def test_looks_are_averaged_and_reasons_collected() -> None:
    assert combine_samples([]) is None
    state = combine_samples([GpuState(sm_mhz=1000, power_w=600), GpuState(sm_mhz=2000, slowed_by=("HwSlowdown",))])
    assert state is not None
    assert (state.sm_mhz, state.power_w, state.slowed_by) == (1500, 600, ("HwSlowdown",))


@pytest.mark.parametrize(
    ("visible", "handle"), [(None, "index 0"), ("2,3", "index 2"), ("GPU-1", "GPU-1"), ("GPU-2", None)]
)
def test_the_card_is_the_first_that_cuda_may_see(
    visible: str | None, handle: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_visible_gpu(FakeNvml()) == handle


def test_without_nvml_there_is_a_reason_and_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert load_nvml() == (None, "pynvml is not installed (pip install nvidia-ml-py)")
    with GpuWatch() as watch:
        pass
    assert watch.state is None


def test_a_watch_sees_what_was_there_while_it_was_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_state, "load_nvml", lambda: (FakeNvml(), ""))
    monkeypatch.setattr(gpu_state, "_PERIOD_S", 0.0)
    watch = GpuWatch()
    with watch:
        while not watch._samples:
            pass
    assert watch.state is not None and watch.state.sm_mhz == 1700
