"""A copy of the state in host memory, which is all that training waits for when a checkpoint is saved.

The memory is allocated once and used again by each save. On a GPU it is pinned and the copy is only put on the stream:
the kernels of the next step queue behind it, so what they overwrite has been copied, and the host waits for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class HostTensors:
    """One copy; valid until the next is taken."""

    model: dict[str, Tensor]
    """Weights under the model's own names."""
    optimizer: dict[str, Tensor]
    """`parameter/slot`."""
    span: tuple[torch.cuda.Event, torch.cuda.Event] | None = None
    """On the device's stream, before and behind the copy; None on CPU, where it is done."""

    def settle(self) -> float:
        """Wait until the copy is whole; seconds that the device spent on it."""
        if self.span is None:
            return 0.0
        began, ended = self.span
        ended.synchronize()
        return float(began.elapsed_time(ended)) / 1000

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for part in (self.model, self.optimizer) for tensor in part.values())


class HostCopy:
    """The memory, and how it is filled."""

    def __init__(self, device: torch.device) -> None:
        """`device` is where the tensors to copy lie."""
        self._is_gpu = device.type == "cuda"
        self._buffers: dict[str, Tensor] = {}

    def take(self, *, model: dict[str, Tensor], optimizer: dict[str, Tensor]) -> HostTensors:
        """Copy what training will overwrite; the copy before is gone."""
        span = None
        if self._is_gpu:
            span = _timed_event(), _timed_event()
            span[0].record()
        copied_model = {name: self._copy(f"model {name}", tensor) for name, tensor in model.items()}
        copied_optimizer = {name: self._copy(f"optimizer {name}", tensor) for name, tensor in optimizer.items()}
        if span is not None:
            span[1].record()
        return HostTensors(model=copied_model, optimizer=copied_optimizer, span=span)

    def _copy(self, key: str, tensor: Tensor) -> Tensor:
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=self._is_gpu)
            self._buffers[key] = buffer
        return buffer.copy_(tensor.detach(), non_blocking=self._is_gpu)


def _timed_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
