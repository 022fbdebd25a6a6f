"""Read every GPU once a second in one thread; a call of the driver that hangs costs that one card, and nobody waits.

A card that fell off the bus may keep a call for ever, and a thread in the kernel cannot be ended. So the thread notes
which card it asks since when. Where that takes longer than HANG_S, the card is given up as not answering, and a new
thread goes on with the others; so there are never more threads than cards, and one. Where the call returns after all,
its thread says so and ends, and the card is asked again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bertd.api.models import DeviceProcess
from bertd.daemon.telemetry.xid_errors import XidError, XidEvents
from bertd.records.gpu_reading import GpuReading
from bertd.run.machine.gpu_readings import DRIVER_ERRORS, LOST_ERRORS, GpuReader, error_value

logger = logging.getLogger(__name__)

SAMPLE_INTERVAL_S = 1.0
HANG_S = 10.0
"""A driver that was not in use may take seconds to set a card up; see nvidia-persistenced."""


class Health(StrEnum):
    """Whether a device does its work."""

    OK = "ok"
    NOT_ANSWERING = "not_answering"
    """A call of its driver does not return."""
    FAILING = "failing"
    """Its driver answers with an error."""
    LOST = "lost"
    """Its driver reports it as lost."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or an instance of one."""

    uuid: str
    name: str
    handle: Any
    board: Any
    """Handle of the whole card."""


@dataclass(frozen=True)
class GpuState:
    """The newest that is known of one GPU."""

    health: Health = Health.OK
    since_t: float | None = None
    """Since when it is not OK."""
    error: str = ""
    reading: GpuReading | None = None
    """None while it is not OK: an old reading would pass for a new one."""
    read_s: float = 0.0
    """Monotonic time of the reading."""
    processes: tuple[DeviceProcess, ...] = ()


@dataclass
class _Turn:
    """One thread's work."""

    asks: str | None = None
    """UUID of the card that it asks."""
    asks_since_s: float = 0.0
    asks_since_t: float = 0.0
    is_given_up: bool = False


class GpuSampler:
    """Holds the newest state of every GPU."""

    def __init__(
        self,
        nvml: Any,
        gpus: Sequence[Gpu],
        *,
        describe_process: Callable[[Any], DeviceProcess],
        on_round: Callable[[], None] = lambda: None,
        hang_s: float = HANG_S,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`on_round` is called in the thread before each round over the cards."""
        self._nvml = nvml
        self._gpus = {gpu.uuid: gpu for gpu in gpus}
        self._readers = {gpu.uuid: GpuReader(nvml, gpu.handle) for gpu in gpus}
        self._xid_events = {gpu.uuid: XidEvents(nvml, gpu.board) for gpu in gpus}
        self._describe_process = describe_process
        self._on_round = on_round
        self._hang_s = hang_s
        self._monotonic = monotonic
        self._clock = clock
        self._lock = threading.Lock()
        self._states = {uuid: GpuState() for uuid in self._gpus}
        self._xids: list[tuple[str, XidError]] = []
        self._turn = _Turn()
        self._stop_event = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read once a second from here on."""
        with self._lock:
            self._start_thread()

    def stop(self) -> None:
        """Stop reading; a thread whose call hangs is left behind."""
        self._stop_event.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def states(self) -> dict[str, GpuState]:
        """The newest state of each GPU, by UUID; returns at once."""
        with self._lock:
            return dict(self._states)

    def take_xids(self) -> list[tuple[str, XidError]]:
        """The errors that drivers reported since the last call, each with the GPU's UUID."""
        with self._lock:
            taken, self._xids = self._xids, []
        return taken

    def give_up_hanging(self) -> None:
        """Mark a card whose call hangs, and go on with the others; called again and again by another thread."""
        with self._lock:
            if self._thread is not None and self._mark_hanging():
                self._start_thread()

    def read_first(self) -> None:
        """One round over the cards, each given up if it hangs; before `start`."""
        while True:
            with self._lock:
                thread = threading.Thread(
                    target=self._read_round, args=(self._turn,), name="telemetry, first round", daemon=True
                )
            thread.start()
            while thread.is_alive():
                thread.join(min(0.2, self._hang_s))
                with self._lock:
                    if self._mark_hanging():
                        break
            else:
                return

    def _mark_hanging(self) -> bool:
        """Give up the card that is asked for too long, and its thread; whether there was one."""
        turn = self._turn
        if turn.asks is None or self._monotonic() - turn.asks_since_s < self._hang_s:
            return False
        logger.error("%s: its driver does not answer; the others are read without it", turn.asks)
        self._states[turn.asks] = GpuState(
            health=Health.NOT_ANSWERING, since_t=turn.asks_since_t, error="a call of its driver does not return"
        )
        turn.is_given_up = True
        self._turn = _Turn()
        return True

    def read_all(self) -> None:
        """One round over the cards, in the caller's thread."""
        self._read_round(self._turn)

    def _start_thread(self) -> None:
        self._thread = threading.Thread(
            target=self._read_periodically, args=(self._turn,), name="telemetry", daemon=True
        )
        self._thread.start()

    def _read_periodically(self, turn: _Turn) -> None:
        while not self._stop_event.wait(SAMPLE_INTERVAL_S) and not turn.is_given_up:
            try:
                self._on_round()
                self._read_round(turn)
            except Exception:
                # The edge of the thread: if it ended, the last readings would be shown for ever.
                logger.exception("the devices could not be read; tried again in a second")

    def _read_round(self, turn: _Turn) -> None:
        for uuid, gpu in self._gpus.items():
            with self._lock:
                if self._states[uuid].health is Health.NOT_ANSWERING:
                    continue
                turn.asks, turn.asks_since_s, turn.asks_since_t = uuid, self._monotonic(), self._clock()
                before = self._states[uuid]
            state, xids = self._read(gpu, before)
            with self._lock:
                turn.asks = None
                self._states[uuid] = state
                self._xids += [(uuid, xid) for xid in xids]
                if turn.is_given_up:
                    logger.warning("%s: its driver answers again", uuid)
                    return

    def _read(self, gpu: Gpu, before: GpuState) -> tuple[GpuState, list[XidError]]:
        xids = self._xid_events[gpu.uuid].poll()
        reader = self._readers[gpu.uuid]
        try:
            reader.probe()
        except self._nvml.NVMLError as error:
            value = error_value(error)
            if value in LOST_ERRORS or value in DRIVER_ERRORS:
                health = Health.LOST if value in LOST_ERRORS else Health.FAILING
                since_t = before.since_t if before.health is health else self._clock()
                return GpuState(health=health, since_t=since_t, error=str(error)), xids
        processes = reader.query("nvmlDeviceGetComputeRunningProcesses") or []
        state = GpuState(
            reading=reader.read(),
            read_s=self._monotonic(),
            processes=tuple(self._describe_process(process) for process in processes),
        )
        return state, xids
