"""Read one GPU through NVML: all that it says, each in the unit of a GpuReading; and what its errors mean.

Counters of links change rarely, and asking for them takes longest, so they are read once in ten looks.
"""

from __future__ import annotations

from typing import Any

from bertd.records.gpu_reading import GpuReading
from bertd.run.machine.nvml import Nvml, name_slowdowns

SLOW_EVERY = 10
"""Looks from one reading of the links' counters to the next."""

LOST_ERRORS = frozenset({15, 16, 28})
"""NVML_ERROR_GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND: the card does no work until somebody acts. Source: nvml.h."""
DRIVER_ERRORS = frozenset({1, 9, 18, 999})
"""NVML_ERROR_UNINITIALIZED, DRIVER_NOT_LOADED, LIB_RM_VERSION_MISMATCH, UNKNOWN. Source: nvml.h."""

_NVLINK_COUNTERS = ("CRC_FLIT", "CRC_DATA", "REPLAY", "RECOVERY")
_SUCCESS = 0


def error_value(error: Exception) -> int | None:
    """NVML's number of an error."""
    value = getattr(error, "value", None)
    return value if isinstance(value, int) else None


class GpuReader:
    """Reads one device, a GPU or an instance of one, again and again."""

    def __init__(self, nvml: Nvml, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self._num_looks = 0
        self._links: dict[str, int | None] = {}

    def probe(self) -> None:
        """Ask for what every GPU says.

        Raises:
            NVMLError: it does not say it; see LOST_ERRORS and DRIVER_ERRORS.
        """
        self._nvml.nvmlDeviceGetMemoryInfo(self._handle)

    def read(self) -> GpuReading:
        """One look."""
        nvml = self._nvml
        if self._num_looks % SLOW_EVERY == 0:
            self._links = self._read_links()
        self._num_looks += 1
        rates, memory = self.query("nvmlDeviceGetUtilizationRates"), self.query("nvmlDeviceGetMemoryInfo")
        return GpuReading(
            utilization=None if rates is None else rates.gpu / 100,
            memory_utilization=None if rates is None else getattr(rates, "memory", 0) / 100,
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            power_w=_thousandth(self.query("nvmlDeviceGetPowerUsage")),
            power_limit_w=_thousandth(self.query("nvmlDeviceGetEnforcedPowerLimit")),
            temperature_c=self._query_with("nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU"),
            sm_mhz=self._query_with("nvmlDeviceGetClockInfo", "NVML_CLOCK_SM"),
            sm_max_mhz=self._query_with("nvmlDeviceGetMaxClockInfo", "NVML_CLOCK_SM"),
            memory_mhz=self._query_with("nvmlDeviceGetClockInfo", "NVML_CLOCK_MEM"),
            slowed_by=name_slowdowns(nvml, self.query("nvmlDeviceGetCurrentClocksThrottleReasons")),
            ecc_corrected=self._ecc_errors("NVML_MEMORY_ERROR_TYPE_CORRECTED"),
            ecc_uncorrected=self._ecc_errors("NVML_MEMORY_ERROR_TYPE_UNCORRECTED"),
            energy_j=_thousandth(self.query("nvmlDeviceGetTotalEnergyConsumption")),
            **self._links,
        )

    def query(self, name: str, *arguments: Any) -> Any:
        """NVML's answer; None where this GPU, its driver or this pynvml has none."""
        try:
            return getattr(self._nvml, name)(self._handle, *arguments)
        except (self._nvml.NVMLError, AttributeError):
            return None

    def _query_with(self, name: str, constant: str) -> Any:
        value = getattr(self._nvml, constant, None)
        return None if value is None else self.query(name, value)

    def _ecc_errors(self, kind: str) -> Any:
        constants = [getattr(self._nvml, name, None) for name in (kind, "NVML_VOLATILE_ECC")]
        return None if None in constants else self.query("nvmlDeviceGetTotalEccErrors", *constants)

    def _read_links(self) -> dict[str, int | None]:
        return {
            "pcie_generation": self.query("nvmlDeviceGetCurrPcieLinkGeneration"),
            "pcie_width": self.query("nvmlDeviceGetCurrPcieLinkWidth"),
            "pcie_max_width": self.query("nvmlDeviceGetMaxPcieLinkWidth"),
            "pcie_replays": self.query("nvmlDeviceGetPcieReplayCounter"),
            "nvlink_errors": self._nvlink_errors(),
        }

    def _nvlink_errors(self) -> int | None:
        names = (f"NVML_FI_DEV_NVLINK_{counter}_ERROR_COUNT_TOTAL" for counter in _NVLINK_COUNTERS)
        fields = [number for name in names if (number := getattr(self._nvml, name, None)) is not None]
        values = self.query("nvmlDeviceGetFieldValues", fields) if fields else None
        counts = [int(value.value.ullVal) for value in values or () if value.nvmlReturn == _SUCCESS]
        return sum(counts) if counts else None


def _thousandth(value: Any) -> float | None:
    return None if value is None else value / 1000
