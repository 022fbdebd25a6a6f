"""The copy of a checkpoint from a GPU, with streams and events that only record the order of what is queued on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from bertd.train.checkpoint import staging
from bertd.train.checkpoint.staging import StagingBuffers

GPU = torch.device("cuda")


class FakeEvent:
    """What a stream is asked to record; each takes 250 ms more than the one before."""

    count = 0

    def __init__(self, calls: list[str], *, is_timed: bool) -> None:
        self.calls, self.is_timed, self.number = calls, is_timed, 0

    def record(self) -> None:
        FakeEvent.count += 1
        self.number = FakeEvent.count
        self.calls.append("record")

    def synchronize(self) -> None:
        assert self.number, "an event that was never recorded is complete at once, and says nothing"
        self.calls.append("host waits")

    def elapsed_time(self, later: FakeEvent) -> float:
        assert self.is_timed and later.is_timed
        return 250.0 * (later.number - self.number)


class FakeStream:
    """A stream of the GPU."""

    def __init__(self, calls: list[str], name: str) -> None:
        self.calls, self.name = calls, name

    def wait_stream(self, other: FakeStream) -> None:
        self.calls.append(f"{self.name} waits for {other.name}")

    def wait_event(self, event: FakeEvent) -> None:
        assert event.number
        self.calls.append(f"{self.name} waits for the copy")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the device, in order; tensors stay on the CPU, and no memory is pinned."""
    made: list[str] = []
    compute, empty = FakeStream(made, "compute"), torch.empty

    @contextmanager
    def on_stream(stream: FakeStream) -> Iterator[None]:
        made.append(f"on {stream.name}")
        yield
        made.append("off")

    def make_empty(*size: object, pin_memory: bool, dtype: torch.dtype) -> torch.Tensor:
        made.append("pinned" if pin_memory else "pageable")
        return empty(*size, dtype=dtype)  # type: ignore[call-overload, no-any-return]  # size passes through

    monkeypatch.setattr(staging, "_create_stream", lambda device: FakeStream(made, "copies"))
    monkeypatch.setattr(staging, "_create_event", lambda *, is_timed: FakeEvent(made, is_timed=is_timed))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: compute)
    monkeypatch.setattr(torch.cuda, "stream", on_stream)
    monkeypatch.setattr(torch, "empty", make_empty)
    return made


def test_copies_are_queued_after_the_work_before_and_the_next_step_waits_for_them_on_the_device(
    calls: list[str],
) -> None:
    weight, moment = torch.ones(2, 3, requires_grad=True), torch.full((3,), 2.0)

    staged = StagingBuffers(GPU).stage(model={"w": weight}, optimizer={"m": moment})
    assert calls == ["pinned", "pinned", "copies waits for compute", "on copies", "record", "off"]

    calls.clear()
    staged.make_step_wait()
    assert calls == ["record", "compute waits for the copy", "record"], "the host waits for nothing"

    calls.clear()
    staged.finish_copy()
    assert calls == ["host waits"]
    assert torch.equal(staged.model["w"], weight) and torch.equal(staged.optimizer["m"], moment)

    calls.clear()
    staged.make_step_wait()
    assert calls == [], "a copy that is complete holds up no step"
    assert staged.waited_s() == 0.25


def test_the_next_copy_uses_the_memory_of_the_one_before(calls: list[str]) -> None:
    buffers = StagingBuffers(GPU)
    first = buffers.stage(model={"w": torch.ones(4)}, optimizer={})
    first.finish_copy()
    second = buffers.stage(model={"w": torch.zeros(4)}, optimizer={})
    second.finish_copy()
    assert calls.count("pinned") == 1
    assert second.model["w"].data_ptr() == first.model["w"].data_ptr()
    other_shape = buffers.stage(model={"w": torch.zeros(5)}, optimizer={})
    other_shape.finish_copy()
    assert other_shape.model["w"].shape == (5,) and calls.count("pinned") == 2


def test_a_failed_wait_for_the_copy_is_not_taken_for_a_finished_one(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = StagingBuffers(GPU).stage(model={"w": torch.ones(4)}, optimizer={})

    def fail(event: FakeEvent) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(FakeEvent, "synchronize", fail)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        staged.finish_copy()
    staged.make_step_wait()
    assert calls[-3:] == ["record", "compute waits for the copy", "record"]
