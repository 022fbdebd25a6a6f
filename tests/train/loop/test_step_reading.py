"""What a report needs of an update is copied in the device's queue, and read when the device has come there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bertd.train.loop.step_reading import PendingReading, runs_after_host


class FakeEvent:
    """Notes in which order it and the copies are used."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def record(self) -> None:
        self._calls.append("record")

    def synchronize(self) -> None:
        self._calls.append("synchronize")


def test_on_a_gpu_the_values_go_to_pinned_memory_and_are_read_after_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, allocate, copy = list[str](), torch.empty, Tensor.copy_

    def allocate_as_if_pinned(*args: Any, pin_memory: bool = False, **kwargs: Any) -> Tensor:
        calls.append(f"pinned {pin_memory}")
        return allocate(*args, **kwargs)

    def watched_copy(self: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        calls.append(f"copy, non_blocking {non_blocking}")
        return copy(self, source)

    monkeypatch.setattr(torch, "empty", allocate_as_if_pinned)
    monkeypatch.setattr(Tensor, "copy_", watched_copy)
    monkeypatch.setattr(torch.cuda, "Event", lambda: FakeEvent(calls))
    values = torch.tensor([1.5, 2.0], dtype=torch.float64)

    reading = PendingReading(values, device=torch.device("cuda"))
    values.zero_()

    assert calls == ["pinned True", "copy, non_blocking True", "record"]
    assert reading.wait() == [1.5, 2.0] and calls[-1] == "synchronize"
    calls.clear()
    assert PendingReading(None, device=torch.device("cuda")).wait() == []
    assert calls == ["record", "synchronize"]


def test_a_cpu_needs_no_event() -> None:
    assert PendingReading(torch.ones(2), device=torch.device("cpu")).wait() == [1.0, 1.0]
    assert runs_after_host(torch.device("cuda")) and not runs_after_host(torch.device("cpu"))
