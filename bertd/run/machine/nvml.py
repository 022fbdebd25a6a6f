"""The NVIDIA driver's library for those who look at a GPU without using it: loaded where it is there.

Nothing here makes a CUDA context, so a process that must not hold a GPU's memory can look too.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

_BENIGN_REASONS = ("GpuIdle", "None", "All", "ApplicationsClocksSetting")
"""Of NVML's reasons for its clocks: these slow nothing that runs."""

Nvml = Any
"""The module pynvml, or what stands for it in a test."""


def load_nvml() -> tuple[Nvml | None, str]:
    """The module, initialised; or None and why not."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None, "pynvml is not installed (pip install nvidia-ml-py)"
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return None, f"NVML: {error}"
    return nvml, ""


def name_slowdowns(nvml: Nvml, bits: int | None) -> tuple[str, ...]:
    """NVML's names for what holds the clocks down, from its bits; None where the GPU does not say."""
    prefix = "nvmlClocksThrottleReason"
    names = {name.removeprefix(prefix): getattr(nvml, name) for name in dir(nvml) if name.startswith(prefix)}
    reasons = {name: bit for name, bit in names.items() if isinstance(bit, int) and name not in _BENIGN_REASONS}
    return tuple(sorted(name for name, bit in reasons.items() if bits and bits & bit))


def harmful_slowdowns(slowed_by: Iterable[str]) -> tuple[str, ...]:
    """Without the power limit: at it, a GPU that is busy does what it was built for."""
    return tuple(each for each in slowed_by if each != "SwPowerCap")
