"""The figures that a report needs of an update, copied to host memory while the device works on the next update.

A GPU runs after the host: reading a value at once would wait until its queue is empty, and the device would have
nothing to do until the host has queued the next update. So the loop waits for an update when the next one is queued.
It is then one update ahead, never more: the clock that ends a timed run, and the rate, would not see a longer queue.
"""

from __future__ import annotations

import torch
from torch import Tensor


def runs_after_host(device: torch.device) -> bool:
    """Whether operations on the device are queued, so that an update ends after the call that starts it."""
    return device.type == "cuda"


class PendingReading:
    """Values of an update that has been queued."""

    def __init__(self, values: Tensor | None, *, device: torch.device) -> None:
        """Queue the copy, and mark this place in the device's queue.

        Args:
            values: float64, on the device; None to read nothing, only to wait.
            device: of the updates.
        """
        self._values = values
        self._is_queued: torch.cuda.Event | None = None
        if device.type == "cuda":
            if values is not None:
                # A copy to pageable memory would wait for the device in spite of non_blocking.
                self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
                self._values.copy_(values, non_blocking=True)
            self._is_queued = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self._is_queued.record()

    def wait(self) -> list[float]:
        """Wait until the device has come to this place; returns the values."""
        if self._is_queued is not None:
            self._is_queued.synchronize()
        values: list[float] = [] if self._values is None else self._values.tolist()
        return values
