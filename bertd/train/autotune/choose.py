"""Choose how to compute what a recipe leaves open: precision, attention, kernels and micro-batch, in this order.

These choices change only the rounding and the numbers that dropout draws. So that a paused run continues bit for bit,
an attempt on the same kind of device reuses the choices of the previous attempt, which it reads from the journal.
"""

from __future__ import annotations

from dataclasses import dataclass

from bertd.records import StartRecord
from bertd.run.journal_digest import read_digest
from bertd.train.autotune.attention_backend import (
    KERNEL_NAMES,
    MIN_TIMED_SEQUENCES,
    OWN_KERNEL,
    AttentionChoice,
    choose_attention,
)
from bertd.train.autotune.attention_workload import AttentionWorkload
from bertd.train.autotune.kernels import KernelChoice, choose_kernels
from bertd.train.autotune.micro_batch import MicroBatchChoice, choose_micro_batch, likely_micro_batches
from bertd.train.autotune.speed_probe import ModelSetup
from bertd.train.backends.apex.detect import Apex
from bertd.train.backends.deterministic import is_deterministic
from bertd.train.backends.precision import choose_precision
from bertd.train.backends.triton_attention import why_unavailable
from bertd.train.distributed.process_group import Ranks
from bertd.train.provenance import device_name
from bertd.train.run_inputs import RunInputs, encoder_config

_KERNEL_NAMES = ("compile", "eager", "apex")


@dataclass(frozen=True)
class ExecutionPlan:
    """All choices of an attempt; the same on every rank."""

    setup: ModelSetup
    attention: AttentionChoice
    kernels: KernelChoice
    micro: MicroBatchChoice


@dataclass(frozen=True)
class EarlierChoices:
    """The choices of an earlier attempt of the run."""

    attention: AttentionChoice
    kernels: KernelChoice
    micro: MicroBatchChoice


def choose_execution(run_inputs: RunInputs, *, ranks: Ranks) -> ExecutionPlan:
    """Choose, and measure where the recipe says auto; every rank must call.

    Raises:
        DeviceError: this device does not support the precision or the kernels, or no micro-batch fits its memory.
    """
    recipe = run_inputs.recipe
    setup = ModelSetup(
        recipe=recipe,
        config=encoder_config(recipe, vocab_size=run_inputs.dataset.vocabulary.size),
        device=ranks.device,
        precision=choose_precision(recipe.precision, ranks.device),
        pad_id=run_inputs.dataset.vocabulary.pad if recipe.data.packing == "sentences" else None,
    )
    earlier = _broadcast_earlier_choices(
        _read_earlier_choices(run_inputs, setup, ranks) if ranks.is_first else None, ranks
    )
    likely_sizes = likely_micro_batches(setup)
    if earlier is not None:
        attention = earlier.attention
    else:
        is_masked = setup.pad_id is not None
        length = recipe.data.sequence_length
        predictions = recipe.masking.predictions(length)
        workload = AttentionWorkload.from_config(
            setup.config,
            sequences=max(likely_sizes[0], MIN_TIMED_SEQUENCES),
            length=length,
            predictions=predictions,
            is_masked=is_masked,
        )
        attention = choose_attention(
            workload, precision=setup.precision, ranks=ranks, is_deterministic=is_deterministic(recipe)
        )
    measured = None if earlier is None else earlier.kernels
    kernels = choose_kernels(setup, attention=attention, micros=likely_sizes, ranks=ranks, earlier=measured)
    if earlier is not None and recipe.batch.micro == "auto":
        micro = earlier.micro
    else:
        micro = choose_micro_batch(setup, kernels=kernels, attention=attention, ranks=ranks)
    return ExecutionPlan(setup=setup, attention=attention, kernels=kernels, micro=micro)


def _read_earlier_choices(run_inputs: RunInputs, setup: ModelSetup, ranks: Ranks) -> StartRecord | None:
    """Read the last attempt's start record, if its device, ranks, precision and attention kernel are still there."""
    start = read_digest(run_inputs.paths.journal).start
    current_setup = (device_name(ranks.device), ranks.world_size, setup.precision.mode)
    if start is None or (start.device_name, start.world_size, start.precision) != current_setup:
        return None
    if OWN_KERNEL in start.attention.split(", ") and why_unavailable(ranks.device) is not None:
        return None
    return start


def _broadcast_earlier_choices(start: StartRecord | None, ranks: Ranks) -> EarlierChoices | None:
    """Share rank 0's record; the others pass None, and do not get the reasons, which only rank 0 reports."""
    names, values = list(KERNEL_NAMES), [-1.0] * (2 + len(KERNEL_NAMES))
    if start is not None:
        backend_indices = [names.index(name) for name in start.attention.split(", ") if name in names]
        values = [_KERNEL_NAMES.index(start.kernels), start.micro_batch, *backend_indices]
        values += [-1.0] * (2 + len(names) - len(values))
    kernels, micro, *backend_indices = (int(value) for value in ranks.broadcast([float(value) for value in values]))
    if kernels < 0:
        return None
    reasons = ("", "", "")
    if start is not None:
        reasons = (start.attention_reason, start.kernels_reason, start.micro_batch_reason)
    return EarlierChoices(
        AttentionChoice(tuple(names[index] for index in backend_indices if index >= 0), reasons[0]),
        KernelChoice(_KERNEL_NAMES[kernels], reasons[1], Apex()),
        MicroBatchChoice(micro, reasons[2]),
    )
