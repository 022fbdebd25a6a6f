"""Between two reports nothing in a step waits for the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.train.loop.test_trainer import attempt, make_run
from tests.train.operations import Operations

OPERATIONS = ("aten._local_scalar_dense", "aten.is_nonzero", "aten.nonzero", "aten.masked_select", "aten.equal")
"""Operations that read a value, or whose result's size depends on values."""
METHODS = {Tensor.tolist, Tensor.item, Tensor.cpu, Tensor.numpy, Tensor.__bool__, Tensor.__float__, Tensor.__int__}
"""Methods that wait for a GPU; on CPU not all of them call one of the operations."""


def is_mask(index: object) -> bool:
    return isinstance(index, Tensor) and index.dtype is torch.bool


class Methods(TorchFunctionMode):
    """Counts calls of METHODS, and indexing by a mask, which must count its elements first."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> object:
        if func in METHODS or (func is Tensor.__getitem__ and is_mask(args[1])):
            self.seen[func.__name__] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def waits() -> Iterator[Counter[str]]:
    """Count what waits for the device inside the context; complete after it."""
    found: Counter[str] = Counter()
    with Operations() as operations, Methods() as methods:
        yield found
    found.update({name: operations.seen[name] for name in OPERATIONS if operations.seen[name]} | methods.seen)


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "lamb"])
def test_steps_that_are_not_reported_never_wait_for_the_device(
    optimizer: str, clip: float, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # test_control.py tests that reports are due once a second; here only the first step has one.
    monkeypatch.setattr("bertd.train.loop.control._REPORT_EVERY_S", 3600.0)
    options = (f"optimizer.kind={optimizer}", f"optimizer.clip={clip}", "data.packing=sentences")

    with attempt(make_run(tmp_path / "run", dataset, *options)) as trainer:
        with waits() as reporting:
            trainer.execute_next_plan()
        with waits() as working:
            for _ in range(4):
                trainer.execute_next_plan()

    assert reporting["tolist"]
    assert trainer.state.step == 5 and not working
