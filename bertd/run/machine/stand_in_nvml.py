"""A stand-in for NVML: eight cards, one of which falls off the bus, one that throttles, one with memory errors.

It drives tests and `bert-tui --demo`. What it says depends on its clock and on the faults that were set, and on nothing
else. The daemon has no option for it: only tests, and the demo, which has no daemon, make one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

GIB = 1 << 30
LOST_CARD, THROTTLING_CARD, ECC_CARD = 3, 5, 6
LOST, TIMEOUT, NOT_SUPPORTED, NOT_FOUND = 15, 10, 3, 6
MAX_INSTANCES = 7
XID_FALLEN_OFF_THE_BUS, XID_CONTAINED_ECC = 79, 94


class StandInError(Exception):
    """As pynvml raises it."""

    def __init__(self, value: int, text: str) -> None:
        super().__init__(text)
        self.value = value


@dataclass
class Card:
    """One card; a test changes what it does."""

    index: int
    name: str = "NVIDIA TITAN V"
    total_bytes: int = 12 * GIB
    is_busy: bool = True
    lost_at_s: float = math.inf
    """On the stand-in's clock: from then on it is lost."""
    throttles_from_s: float = math.inf
    ecc_from_s: float = math.inf
    """From then on one more uncorrected error each minute."""
    pids: list[int] = field(default_factory=list)
    error: tuple[int, str] | None = None
    """NVML's error at each query."""
    hang: threading.Event | None = None
    """Each query waits for it."""
    is_mig: bool = False
    """In MIG mode: it is used by its instances alone."""
    instances: list[Card] = field(default_factory=list)
    slice: int | None = None
    """Of an instance: its number on its card."""

    @property
    def uuid(self) -> str:
        if self.slice is not None:
            return f"MIG-{self.index:08x}-{self.slice:04x}-4000-8000-000000000000"
        return f"GPU-{self.index:08x}-0000-4000-8000-000000000000"


class StandInNvml:
    """Answers as the module pynvml does."""

    NVMLError = StandInError
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
    NVML_MEMORY_ERROR_TYPE_CORRECTED, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 0, 1, 0
    NVML_COMPUTEMODE_PROHIBITED, NVML_COMPUTEMODE_EXCLUSIVE_PROCESS = 2, 3
    NVML_P2P_CAPS_INDEX_READ = NVML_P2P_STATUS_OK = 0
    NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL = 38
    NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL = 52
    nvmlEventTypeXidCriticalError = 8
    nvmlClocksThrottleReasonGpuIdle, nvmlClocksThrottleReasonHwThermalSlowdown = 1, 64

    def __init__(self, clock: Callable[[], float], cards: Sequence[Card] = ()) -> None:
        """`clock`: seconds since the stand-in's begin; with no cards, eight healthy ones."""
        self._clock = clock
        self.cards = list(cards) or [Card(index) for index in range(8)]
        self._reported: set[tuple[int, int]] = set()

    # ---- Names as in pynvml ------------------------------------------------------------------------

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:  # noqa: N802
        return self._answering(self.cards[index])

    def nvmlDeviceGetUUID(self, card: Card) -> str:  # noqa: N802
        return self._answering(card).uuid

    def nvmlDeviceGetName(self, card: Card) -> str:  # noqa: N802
        return self._answering(card).name

    def nvmlDeviceGetUtilizationRates(self, card: Card) -> Any:  # noqa: N802
        busy = round(96 + 3 * self._wave(card)) if self._whole(card).is_busy else 0
        return SimpleNamespace(gpu=busy, memory=busy // 2)

    def nvmlDeviceGetMemoryInfo(self, card: Card) -> Any:  # noqa: N802
        used = 0.88 + 0.01 * math.sin(card.index) if self._answering(card).is_busy else 0.03
        return SimpleNamespace(used=int(used * card.total_bytes), total=card.total_bytes)

    def nvmlDeviceGetTemperature(self, card: Card, sensor: int) -> int:  # noqa: N802
        warm = 20 if self._is_slowed(self._whole(card)) else 0
        return round(72 + 4 * math.sin(card.index) + self._wave(card)) + warm if card.is_busy else 41

    def nvmlDeviceGetPowerUsage(self, card: Card) -> int:  # noqa: N802
        return round(self._power_w(self._whole(card)) * 1000)

    def nvmlDeviceGetEnforcedPowerLimit(self, card: Card) -> int:  # noqa: N802
        return 250_000 if self._whole(card) else 0

    nvmlDeviceGetPowerManagementDefaultLimit = nvmlDeviceGetEnforcedPowerLimit  # noqa: N815

    def nvmlDeviceGetTotalEnergyConsumption(self, card: Card) -> int:  # noqa: N802
        """Millijoules; at the mean power, since a wave adds nothing over its length."""
        return round(self._mean_power_w(self._whole(card)) * 1000 * (1000 + self._clock()))

    def nvmlDeviceGetClockInfo(self, card: Card, kind: int) -> int:  # noqa: N802
        if kind == self.NVML_CLOCK_MEM:
            return 850 if self._whole(card) else 0
        return 900 if self._is_slowed(self._whole(card)) else 1455 if card.is_busy else 135

    def nvmlDeviceGetMaxClockInfo(self, card: Card, kind: int) -> int:  # noqa: N802
        return 1912 if self._whole(card) and kind == self.NVML_CLOCK_SM else 850

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, card: Card) -> int:  # noqa: N802
        return 64 if self._is_slowed(self._whole(card)) else 0 if card.is_busy else 1

    def nvmlDeviceGetTotalEccErrors(self, card: Card, kind: int, counter: int) -> int:  # noqa: N802
        since_s = self._clock() - self._whole(card).ecc_from_s
        errors = 0 if since_s < 0 else 1 + int(since_s // 60)
        return errors if kind == self.NVML_MEMORY_ERROR_TYPE_UNCORRECTED else 4 * errors

    def nvmlDeviceGetRemappedRows(self, card: Card) -> tuple[int, int, int, int]:  # noqa: N802
        return (0, 0, int(self._clock() >= self._whole(card).ecc_from_s), 0)

    def nvmlDeviceGetCurrPcieLinkGeneration(self, card: Card) -> int:  # noqa: N802
        return 3 if self._whole(card).is_busy else 1

    def nvmlDeviceGetCurrPcieLinkWidth(self, card: Card) -> int:  # noqa: N802
        return 16 if self._whole(card) else 0

    nvmlDeviceGetMaxPcieLinkWidth = nvmlDeviceGetCurrPcieLinkWidth  # noqa: N815

    def nvmlDeviceGetPcieReplayCounter(self, card: Card) -> int:  # noqa: N802
        return self._whole(card).index % 3

    def nvmlDeviceGetFieldValues(self, card: Card, fields: list[int]) -> list[Any]:  # noqa: N802
        number = self._whole(card).index // 7
        return [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(ullVal=number)) for _ in fields]

    def nvmlDeviceGetComputeRunningProcesses(self, card: Card) -> list[Any]:  # noqa: N802
        pids = self._answering(card).pids
        return [SimpleNamespace(pid=pid, usedGpuMemory=card.total_bytes // 2) for pid in pids]

    def nvmlDeviceGetPersistenceMode(self, card: Card) -> int:  # noqa: N802
        return int(self._answering(card) is card)

    def nvmlDeviceGetComputeMode(self, card: Card) -> int:  # noqa: N802
        return int(self._answering(card) is not card)

    def nvmlDeviceGetP2PStatus(self, card: Card, other: Card, index: int) -> int:  # noqa: N802
        return int(self._answering(card) is not card)

    def nvmlDeviceGetMigMode(self, card: Card) -> list[int]:  # noqa: N802
        """Now, and after a reset.

        Raises:
            StandInError: the card has no such mode.
        """
        if not self._answering(card).is_mig:
            raise StandInError(NOT_SUPPORTED, "Not Supported")
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:  # noqa: N802
        return MAX_INSTANCES if self._answering(card) else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:  # noqa: N802
        instances = self._answering(card).instances
        if index >= len(instances):
            raise StandInError(NOT_FOUND, "Not Found")
        return instances[index]

    def nvmlEventSetCreate(self) -> list[Card]:  # noqa: N802
        return []

    def nvmlDeviceRegisterEvents(self, card: Card, types: int, events: list[Card]) -> None:  # noqa: N802
        events.append(self._answering(card))

    def nvmlEventSetWait_v2(self, events: list[Card], timeout_ms: int) -> Any:  # noqa: N802
        for card in events:
            for xid, since_s in ((XID_FALLEN_OFF_THE_BUS, card.lost_at_s), (XID_CONTAINED_ECC, card.ecc_from_s)):
                if self._clock() >= since_s and (card.index, xid) not in self._reported:
                    self._reported.add((card.index, xid))
                    return SimpleNamespace(device=card, eventType=self.nvmlEventTypeXidCriticalError, eventData=xid)
        raise StandInError(TIMEOUT, "Timeout")

    # ---- What it does ------------------------------------------------------------------------------

    def _answering(self, card: Card) -> Card:
        if card.hang is not None:
            card.hang.wait()
        if self._clock() >= card.lost_at_s:
            raise StandInError(LOST, "GPU is lost")
        if card.error is not None:
            raise StandInError(*card.error)
        return card

    def _whole(self, card: Card) -> Card:
        """For what NVML says of whole cards alone.

        Raises:
            StandInError: it is an instance.
        """
        if self._answering(card).slice is not None:
            raise StandInError(NOT_SUPPORTED, "Not Supported")
        return card

    def _is_slowed(self, card: Card) -> bool:
        return self._clock() >= card.throttles_from_s

    def _wave(self, card: Card) -> float:
        """Between -1 and 1, and the same at the same time."""
        return math.sin(0.7 * card.index + 0.21 * self._clock())

    def _mean_power_w(self, card: Card) -> float:
        return 228.0 if card.is_busy else 27.0

    def _power_w(self, card: Card) -> float:
        return self._mean_power_w(card) + (6 * self._wave(card) if card.is_busy else 0.0)


def card_in_mig_mode(index: int, num_instances: int, *, total_bytes: int = 16 * GIB) -> Card:
    """A card that is used by its instances, each with that memory; with none, not at all."""
    instances = [
        Card(index, name="NVIDIA H200 MIG 1g.16gb", total_bytes=total_bytes, slice=slice)
        for slice in range(num_instances)
    ]
    return Card(index, name="NVIDIA H200", total_bytes=141 * 10**9, is_mig=True, instances=instances)


def eight_cards(*, lost_at_s: float, throttles_from_s: float, ecc_from_s: float) -> list[Card]:
    """Eight cards, of which three go wrong at those times."""
    cards = [Card(index) for index in range(8)]
    cards[LOST_CARD].lost_at_s = lost_at_s
    cards[THROTTLING_CARD].throttles_from_s = throttles_from_s
    cards[ECC_CARD].ecc_from_s = ecc_from_s
    return cards
