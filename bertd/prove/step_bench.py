"""What the steps that time contenders share: the work, and how a measurement becomes a check and a figure."""

from __future__ import annotations

import statistics
import time

import torch

from bertd.bench.timing import Measurement
from bertd.bench.turn_log import TurnLog, TurnLogRecord, TurnRecord
from bertd.bench.workload import Workload, plan_workload
from bertd.model.memory import micro_batch_bytes, sequence_bytes, state_bytes
from bertd.prove.context import StepContext
from bertd.prove.sizes import choose_recipe
from bertd.train.backends.cpu_tuning import tune_cpu

_MICROS = (8, 16, 32, 64, 128, 256, 512)
_USABLE_SHARE = 0.9
_PREPARATION_SHARE = 0.7
"""Of a step's time; the rest is for the turns."""


def plan_step_workload(context: StepContext, *overrides: str) -> tuple[Workload, list[int]]:
    """The work, and the micro-batches to try."""
    device = torch.device(context.options.device)
    if device.type == "cpu":
        tune_cpu()
    recipe = choose_recipe(is_cuda=context.is_cuda, is_tiny=context.is_tiny, overrides=list(overrides))
    num_sequences = 8 if context.is_tiny else 1024 if context.is_cuda else 32
    workload = plan_workload(recipe, device=device, num_sequences=num_sequences, is_synthetic=True)
    if not context.is_cuda or context.is_tiny:
        return workload, [8] if context.is_tiny else [16]
    return workload, choose_micros(workload, free_bytes=torch.cuda.mem_get_info(device)[0])


def choose_micros(workload: Workload, *, free_bytes: int) -> list[int]:
    """The largest that is sure to fit, and a fourth of it where a stock model, whose head is dense, may need that.

    Each size is compiled for each contender, so there are few.
    """
    config, element_bytes = workload.config, 4 if workload.precision.dtype is None else 2
    states = state_bytes(config, has_one_moment=False, element_bytes=element_bytes)
    each = sequence_bytes(
        config,
        length=workload.sequence_length,
        # A dense head: that many scores at once is what bounds a stock model.
        predictions=workload.sequence_length,
        element_bytes=element_bytes,
        is_padded=True,
    )
    needed = {micro: states + micro_batch_bytes(config, sequences=micro, each_bytes=each) for micro in _MICROS}
    fitting = [micro for micro in _MICROS if needed[micro] <= _USABLE_SHARE * free_bytes]
    largest = max(fitting, default=_MICROS[0])
    return [largest] if largest == _MICROS[-1] else [max(1, largest // 4), largest]


class StepTurnLog(TurnLog):
    """A bench's file that also keeps the step's findings up to date, so that a deadline in the middle leaves them."""

    def __init__(self, context: StepContext, *, step: str) -> None:
        super().__init__(context.options.out / f"{step}.jsonl")
        self._context, self._step = context, step
        self._speeds: dict[str, list[float]] = {}

    def append(self, record: TurnLogRecord) -> None:
        """Write it, and the median of the turns so far."""
        super().append(record)
        if isinstance(record, TurnRecord):
            speeds = self._speeds.setdefault(record.name, [])
            speeds.append(record.sequences_per_s)
            detail = f"of {len(speeds)} turns so far"
            key = f"{self._step}.{record.name}"
            self._context.measure(key, record.name, statistics.median(speeds), "sequences/s", detail)


def prepare_until(context: StepContext) -> float:
    """When contenders must be prepared so that time is left for their turns."""
    return time.monotonic() + _PREPARATION_SHARE * context.left_s()


def measure_contender(context: StepContext, measured: Measurement, workload: Workload, *, step: str) -> None:
    """Record whether its losses are right, and how fast it is."""
    name = measured.contender.name
    fault = measured.loss_fault
    if fault is not None:
        context.check(f"losses of {name}", False, fault)
    elif measured.loss_difference is None:
        context.skip(f"losses of {name}", "its eager twin could not run, so there is nothing to compare with")
    else:
        detail = f"{measured.first_loss:.4f} nats, {measured.loss_difference:.1e} off its eager twin; finite at the end"
        context.check(f"losses of {name}", True, detail)
    if not measured.sequences_per_s:
        return
    flops = measured.median * workload.flops / workload.num_sequences
    parts = [
        f"{min(measured.sequences_per_s):.1f} to {max(measured.sequences_per_s):.1f}",
        f"micro-batch {measured.micro}",
        f"{flops / 1e12:.3g} TFLOP/s",
        f"compiled in {measured.compile_s:.0f} s, cache {measured.cache}" if measured.cache else "",
        "" if measured.gpu is None else measured.gpu.describe(),
    ]
    detail = "; ".join(part for part in parts if part)
    context.measure(f"{step}.{name}", name, measured.median, "sequences/s", detail)
