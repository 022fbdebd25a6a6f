"""The memory of training against bertd.model.memory, by which micro-batches are planned: that must be above it."""

from __future__ import annotations

import gc
import traceback
from functools import partial

import torch
from torch import Tensor

from bertd.bench.models import OURS, Contender, build_contender, build_model_and_loss
from bertd.bench.workload import Workload
from bertd.model.memory import micro_batch_bytes, sequence_bytes, state_bytes
from bertd.prove.context import StepContext
from bertd.prove.step_bench import plan_step_workload
from bertd.run.amounts.quantities import format_bytes
from bertd.train.oom import out_of_memory_reason

_MICROS = (64, 256, 512)
_ALLOWANCE = 1.02
"""Over the model: rounding of the allocator."""


def prove(context: StepContext) -> None:
    """Compare at a few micro-batches."""
    workload, _ = plan_step_workload(context)
    if not context.is_cuda:
        context.attempt("kept for the backward pass", lambda: _compare_kept(context, workload))
        context.skip("peak of the card", "the work is on the CPU")
        return
    for contender in OURS:
        # Compiled at one size alone, for which the steps before have left the graphs.
        for micro in _MICROS[-1:] if contender.compiled else _MICROS:
            name = f"{contender.name}, micro-batch {micro}"
            context.attempt(name, partial(_compare_peak, context, workload, contender, micro, name=name))


def _said_bytes(workload: Workload, *, micro: int) -> int:
    element_bytes = 4 if workload.precision.dtype is None else 2
    states = state_bytes(workload.config, has_one_moment=False, element_bytes=element_bytes)
    return states + micro_batch_bytes(workload.config, sequences=micro, each_bytes=_sequence_bytes(workload))


def _sequence_bytes(workload: Workload) -> int:
    return sequence_bytes(
        workload.config,
        length=workload.sequence_length,
        predictions=workload.predictions,
        element_bytes=4 if workload.precision.dtype is None else 2,
        is_padded=False,
    )


def _compare_peak(context: StepContext, workload: Workload, contender: Contender, micro: int, *, name: str) -> None:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    said = _said_bytes(workload, micro=micro)
    try:
        built = build_contender(contender, workload, micro=micro)
        for _ in range(2):
            built.update()
        torch.cuda.synchronize()
    except RuntimeError as error:
        if (reason := out_of_memory_reason(error)) is None:
            raise
        # The frames that failed hold the model.
        traceback.clear_frames(error.__traceback__)
        context.skip(name, f"does not fit; the model says {format_bytes(said)}: {reason}")
        return
    _report(context, name, torch.cuda.max_memory_allocated() - before, said, key=f"{contender.name}.{micro}")


def _compare_kept(context: StepContext, workload: Workload) -> None:
    """On a CPU: what autograd keeps of a sequence more, each storage once."""
    few, many = workload.num_sequences // 2, workload.num_sequences
    kept = _kept_bytes(workload, many) - _kept_bytes(workload, few)
    name = f"kept for the backward pass by {many - few} sequences"
    _report(context, name, kept, (many - few) * _sequence_bytes(workload), key="kept")


def _kept_bytes(workload: Workload, num_sequences: int) -> int:
    _, loss_of = build_model_and_loss(OURS[0], workload)
    storages: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss_of(workload.batch.rows(0, num_sequences))
    return sum(size for size, _ in storages.values())


def _report(context: StepContext, name: str, measured: int, said: int, *, key: str) -> None:
    detail = f"{format_bytes(measured)}, and the model says {format_bytes(said)}"
    context.check(f"memory: {name}", measured <= _ALLOWANCE * said, detail)
    context.measure(f"memory.{key}", f"share of what the model says: {name}", measured / said, "", detail)
