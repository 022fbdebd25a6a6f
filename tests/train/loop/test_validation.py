"""Validation on the fixed set, whole or until a deadline that the ranks agree on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from bertd.data.batches.masking import IGNORE_INDEX, MaskedBatch
from bertd.errors import ShardError
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.loss_fn import ForwardPass
from bertd.train.loop.validation import ValidationResult, Validator
from tests.train.loop.test_trainer import ALONE
from tests.waiting import PATIENCE_S


def test_a_set_of_which_nothing_is_predicted_is_refused() -> None:
    """As with whole-word masking of text without spaces."""
    shares_V = torch.full((4,), 0.25, dtype=torch.float64)
    labels_BM = torch.full((2, 3), IGNORE_INDEX)
    batch = MaskedBatch(torch.zeros(2, 8, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64), labels_BM)

    with pytest.raises(ShardError, match=r'not one token .* is predicted, .*; set masking.unit = "token"'):
        Validator([batch], shares_V=shares_V, ranks=ALONE)

    labels_BM[1, 2] = 3
    Validator([batch], shares_V=shares_V, ranks=ALONE)


class ThreadRanks(Ranks):
    """A rank that is a thread; the collectives exchange values in memory."""

    def join(self, barrier: threading.Barrier, values: list[object]) -> ThreadRanks:
        object.__setattr__(self, "_barrier", barrier)
        object.__setattr__(self, "_values", values)
        return self

    def _exchange(self, value: object) -> list[Any]:
        barrier, values = cast(threading.Barrier, vars(self)["_barrier"]), cast(list[object], vars(self)["_values"])
        values[self.rank] = value
        barrier.wait(PATIENCE_S)
        gathered = list(values)
        barrier.wait(PATIENCE_S)
        return gathered

    def broadcast(self, values: list[float], *, source: int = 0) -> list[float]:
        shared: list[float] = self._exchange(values)[source]
        return shared

    def max_over_ranks(self, value: int) -> int:
        largest: int = max(self._exchange(value))
        return largest

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        return torch.stack(self._exchange(tensor.clone())).sum(dim=0)


class TimedForward:
    """The loss is the batch's first token, and each batch takes this rank's time."""

    def __init__(self, clock: threading.local, *, batch_s: float) -> None:
        self._clock, self._batch_s = clock, batch_s

    @contextmanager
    def evaluation(self) -> Iterator[Callable[[MaskedBatch], Tensor]]:
        def loss(batch: MaskedBatch) -> Tensor:
            self._clock.now_s += self._batch_s
            return batch.inputs_BS[:, 0].sum().double()

        yield loss


def evaluate_on_two_ranks(
    monkeypatch: pytest.MonkeyPatch, *, num_batches: tuple[int, int], batch_s: tuple[float, float], max_s: float | None
) -> tuple[ValidationResult, ValidationResult]:
    """Each batch has two sequences, and one predicted token in each; only rank 0 knows the time."""
    clock = threading.local()
    monkeypatch.setattr("bertd.train.loop.validation.time.monotonic", lambda: getattr(clock, "now_s", 0.0))
    barrier, values = threading.Barrier(2), [object(), object()]

    def run(rank: int) -> ValidationResult:
        clock.now_s = 0.0
        ranks = ThreadRanks(rank=rank, world_size=2, device=torch.device("cpu"), control=None).join(barrier, values)
        inputs_BS = torch.full((2, 8), rank + 1)
        batch = MaskedBatch(inputs_BS, torch.zeros(2, 1, dtype=torch.int64), torch.ones(2, 1, dtype=torch.int64))
        shares_V = torch.full((4,), 0.25, dtype=torch.float64)
        validator = Validator([batch] * num_batches[rank], shares_V=shares_V, ranks=ranks)
        max_seconds = max_s if max_s is None or rank == 0 else -1.0
        forward = cast(ForwardPass, TimedForward(clock, batch_s=batch_s[rank]))
        return validator.evaluate(forward, max_seconds=max_seconds)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, (0, 1))
    return first, second


def test_with_time_enough_a_deadline_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate_on_two_ranks(monkeypatch, num_batches=(3, 4), batch_s=(1.0, 1.0), max_s=None)

    assert whole == evaluate_on_two_ranks(monkeypatch, num_batches=(3, 4), batch_s=(1.0, 1.0), max_s=10.0)
    assert whole[0].share == 1.0 and whole[0].num_tokens == 14 and whole[0].loss == (6 * 1 + 8 * 2) / 14


def test_at_a_deadline_all_ranks_stop_at_the_batch_for_which_the_slowest_has_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = evaluate_on_two_ranks(monkeypatch, num_batches=(4, 4), batch_s=(1.0, 3.0), max_s=7.0)

    for result in results:
        assert result.share == 0.5 and result.num_tokens == 8
        assert result.loss == (4 * 1 + 4 * 2) / 8
    assert results[1].seconds <= 7.0


def test_one_batch_is_measured_however_late_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for result in evaluate_on_two_ranks(monkeypatch, num_batches=(2, 2), batch_s=(1.0, 1.0), max_s=-5.0):
        assert result.share == 0.5 and result.loss == 1.5
