"""Staging: a copy of the state in host memory, made while the gradients of the next step are computed.

Forward and backward passes only read the weights and do not use the moments; only the optimizer's step overwrites them.
So only that step has to wait for the copy, by `make_step_wait`, and mostly the copy is complete by then.

The memory is allocated once and reused by each save. On a GPU it is pinned, and the copy runs on a separate stream next
to the kernels; on CPU the thread that writes the checkpoint copies first. Not measured on a GPU: how much the copy
slows these kernels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import numpy as np
import torch
from torch import Tensor


class StagedTensors:
    """One copy of the state; valid until the next one is staged."""

    def __init__(self, model: dict[str, Tensor], optimizer: dict[str, Tensor], pending: list[tuple[Tensor, Tensor]]):
        """`pending` has the pairs of buffer and source that are still to be copied."""
        self._model, self._optimizer = model, optimizer
        self._pending = pending
        self._is_complete = Event()
        self._waited_s = 0.0

    @property
    def model(self) -> dict[str, Tensor]:
        """Weights under the model's own names, after `finish_copy`."""
        assert self._is_complete.is_set()
        return self._model

    @property
    def optimizer(self) -> dict[str, Tensor]:
        """Optimizer state by `parameter/slot`, after `finish_copy`."""
        assert self._is_complete.is_set()
        return self._optimizer

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for part in (self._model, self._optimizer) for tensor in part.values())

    def finish_copy(self) -> None:
        """Copy the rest and wait until the copy is complete; call this only in the thread that reads it."""
        try:
            for buffer, source in self._pending:
                # Not torch's copy_, whose threads would compete with those that train.
                np.copyto(as_bytes(buffer), as_bytes(source))
        finally:
            self._pending.clear()
            self._is_complete.set()

    def make_step_wait(self) -> None:
        """Wait for the copy; called before an optimizer step overwrites the sources."""
        began_s = time.monotonic()
        self._is_complete.wait()
        self._waited_s += time.monotonic() - began_s

    def waited_s(self) -> float:
        """Seconds that optimizer steps have waited for this copy."""
        return self._waited_s


class _StagedGpuTensors(StagedTensors):
    """A copy from a GPU, queued on a stream from the start; the step's kernels wait for it, the host does not."""

    def __init__(self, model: dict[str, Tensor], optimizer: dict[str, Tensor], copied: torch.cuda.Event):
        super().__init__(model, optimizer, [])
        self._copied = copied
        self._waits: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def finish_copy(self) -> None:
        self._copied.synchronize()
        super().finish_copy()

    def make_step_wait(self) -> None:
        if self._is_complete.is_set():
            return
        began, ended = _create_event(is_timed=True), _create_event(is_timed=True)
        began.record()
        torch.cuda.current_stream().wait_event(self._copied)
        ended.record()
        self._waits.append((began, ended))

    def waited_s(self) -> float:
        for _, ended in self._waits:
            ended.synchronize()
        return sum(float(began.elapsed_time(ended)) for began, ended in self._waits) / 1000


class StagingBuffers:
    """The reusable host memory for staged tensors."""

    def __init__(self, device: torch.device) -> None:
        """`device` is the device of the tensors to copy."""
        self._stream = _create_stream(device) if device.type == "cuda" else None
        self._buffers: dict[str, Tensor] = {}

    def stage(self, *, model: dict[str, Tensor], optimizer: dict[str, Tensor]) -> StagedTensors:
        """Begin a copy, which overwrites the previous one; its reader calls `finish_copy` first."""
        model = {name: tensor.detach() for name, tensor in model.items()}
        optimizer = {name: tensor.detach() for name, tensor in optimizer.items()}
        host_model = {name: self._get_buffer(f"model {name}", tensor) for name, tensor in model.items()}
        host_optimizer = {name: self._get_buffer(f"optimizer {name}", tensor) for name, tensor in optimizer.items()}
        buffers, sources = [*host_model.values(), *host_optimizer.values()], [*model.values(), *optimizer.values()]
        pairs = list(zip(buffers, sources, strict=True))
        if self._stream is None:
            return StagedTensors(host_model, host_optimizer, pairs)
        copied = _create_event(is_timed=False)
        with _on_stream_after_compute(self._stream):
            for buffer, source in pairs:
                buffer.copy_(source, non_blocking=True)
            copied.record()
        return _StagedGpuTensors(host_model, host_optimizer, copied)

    def _get_buffer(self, key: str, tensor: Tensor) -> Tensor:
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=self._stream is not None)
            self._buffers[key] = buffer
        return buffer


@contextmanager
def _on_stream_after_compute(stream: torch.cuda.Stream) -> Iterator[None]:
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield


def as_bytes(tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The memory of a tensor on the CPU, flat."""
    return tensor.reshape(-1).view(torch.uint8).numpy()


def _create_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _create_event(*, is_timed: bool) -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=is_timed)  # type: ignore[no-untyped-call]  # torch leaves it untyped
