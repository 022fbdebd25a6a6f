"""The driver's own error numbers (Xid): what they mean, and how they are read.

NVML's events are the source, not the kernel's log, which a hardened service may not read. Which errors take a card out
of service follows NVIDIA's catalogue. Source: https://docs.nvidia.com/deploy/xid-errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MAX_PER_POLL = 16
"""A card with a storm of errors must not keep the thread."""


@dataclass(frozen=True)
class XidError:
    """One error as the driver reported it."""

    number: int

    @property
    def meaning(self) -> str:
        return _MEANINGS.get(self.number, "see NVIDIA's catalogue of Xid errors")

    @property
    def takes_out_of_service(self) -> bool:
        """Whether the card does no more work until it is reset, or its memory cannot be trusted."""
        return self.number in _OUT_OF_SERVICE

    @property
    def is_of_program(self) -> bool:
        """Whether it is mostly a program's own fault."""
        return self.number in _OF_PROGRAMS


_MEANINGS = {
    13: "an exception in a kernel, mostly a program's fault",
    31: "an illegal access to memory, mostly a program's fault",
    43: "a program's channel was stopped, mostly its own fault",
    45: "a program's channel was removed, mostly after another error",
    48: "memory errors that were not corrected",
    63: "a row of memory will be replaced at the next reset",
    64: "a row of memory could not be replaced",
    74: "an error of NVLink",
    79: "the GPU has fallen off the bus",
    92: "many corrected memory errors",
    94: "a memory error that was not corrected, and ended only the program that read it",
    95: "a memory error that was not corrected, and may be in every program's data",
    119: "the GPU's system processor does not answer",
    120: "the GPU's system processor failed",
}
_OUT_OF_SERVICE = frozenset({48, 64, 74, 79, 95, 119, 120})
_OF_PROGRAMS = frozenset({13, 31, 43, 45})


class XidEvents:
    """The errors of one card since it was first asked; nothing where its driver has no events."""

    def __init__(self, nvml: Any, board: Any) -> None:
        """`board`: handle of the whole card."""
        self._nvml = nvml
        self._board = board
        self._events: Any = None
        self._is_asked = False

    def poll(self) -> list[XidError]:
        """Those since the last call; does not wait."""
        if not self._is_asked:
            self._is_asked = True
            self._events = self._register()
        found: list[XidError] = []
        while self._events is not None and len(found) < _MAX_PER_POLL:
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._events, 0)
            except self._nvml.NVMLError:
                # There is none, or the card is gone, which its other answers say.
                break
            if event.eventType == self._nvml.nvmlEventTypeXidCriticalError:
                found.append(XidError(int(event.eventData)))
        return found

    def _register(self) -> Any:
        try:
            events = self._nvml.nvmlEventSetCreate()
            self._nvml.nvmlDeviceRegisterEvents(self._board, self._nvml.nvmlEventTypeXidCriticalError, events)
        except (self._nvml.NVMLError, AttributeError):
            return None
        return events
