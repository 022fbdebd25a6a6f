"""A stand-in for NVML with two cards, each of whose answers a test can change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class FakeNvmlError(Exception):
    """As pynvml raises it."""


class FakeNvml:
    """Two healthy cards; `answers` of a card replace what NVML says of it, an exception is raised."""

    NVMLError = FakeNvmlError
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
    NVML_VOLATILE_ECC = 0
    NVML_COMPUTEMODE_PROHIBITED = 2
    NVML_COMPUTEMODE_EXCLUSIVE_PROCESS = 3
    NVML_P2P_CAPS_INDEX_READ = 0
    NVML_P2P_STATUS_OK = 0
    nvmlClocksThrottleReasonGpuIdle = 1
    nvmlClocksThrottleReasonSwPowerCap = 4
    nvmlClocksThrottleReasonHwThermalSlowdown = 64

    def __init__(self, **answers_of_card_1: Any) -> None:
        healthy = {
            "Name": "NVIDIA H200",
            "TotalEccErrors": 0,
            "RemappedRows": (0, 0, 0, 0),
            "CurrentClocksThrottleReasons": 1,
            "EnforcedPowerLimit": 700_000,
            "PowerManagementDefaultLimit": 700_000,
            "CurrPcieLinkWidth": 16,
            "MaxPcieLinkWidth": 16,
            "PersistenceMode": 1,
            "ComputeMode": 0,
            "ComputeRunningProcesses": [],
            "MemoryInfo": SimpleNamespace(used=0),
            "P2PStatus": 0,
        }
        self._cards = [healthy, healthy | answers_of_card_1]

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self._cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if isinstance(lost := self._cards[index].get("Handle"), Exception):
            raise lost
        return index

    def __getattr__(self, name: str) -> Any:
        key = name.removeprefix("nvmlDeviceGet")
        if key == name:
            raise AttributeError(name)

        def answer(handle: int, *_: object) -> Any:
            value = self._cards[handle][key]
            # A pair is asked of its first card, which is healthy.
            value = self._cards[1][key] if key == "P2PStatus" else value
            if isinstance(value, Exception):
                raise value
            return value

        return answer
