"""Pass a micro-batch through the run's own model before its first step; where memory runs out, take a smaller one.

With micro = "auto" the size was measured on rank 0 alone, before the run's model, its exchange of gradients and the
other GPUs' users were there. So each rank does the passes that take most memory next to the optimizer's moments, and
all agree over gloo whether it was enough: a rank that ran out of memory within a step would leave the others waiting in
NCCL. Weights, moments and the state of the loss scaler are not touched, and each step seeds its own dropout.
"""

from __future__ import annotations

import traceback
from dataclasses import replace

import torch

from bertd.errors import DeviceMemoryError
from bertd.model.memory import moment_bytes
from bertd.run.log import log_line
from bertd.train.autotune.micro_batch import MicroBatchChoice, candidate_sizes, forget
from bertd.train.autotune.speed_probe import ModelSetup, make_synthetic_batch, release_memory
from bertd.train.backends.synchronize import synchronize
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.loss_fn import ForwardPass
from bertd.train.oom import out_of_memory_reason
from bertd.train.optim.optimizer import Optimizers

_MAX_PASSES = 2
"""The second adds its gradients to those of the first."""


def settle_micro_batch(
    setup: ModelSetup, choice: MicroBatchChoice, *, forward: ForwardPass, optimizers: Optimizers, ranks: Ranks
) -> MicroBatchChoice:
    """Return the micro-batch, or the largest smaller candidate that fits every rank; every rank must call.

    A size that the recipe names is returned as it is.

    Raises:
        DeviceMemoryError: not even the smallest candidate fits.
    """
    if setup.recipe.batch.micro != "auto":
        return choice
    sizes, sequences, too_large = candidate_sizes(setup.recipe, is_cpu=ranks.device.type == "cpu"), choice.sequences, []
    while True:
        reason = _rehearse(setup, sequences, forward=forward, optimizers=optimizers)
        if reason is not None:
            log_line(f"bertd: rank {ranks.rank}: a micro-batch of {sequences} does not fit: {reason}")
        # The highest of the ranks that failed, counted from 1.
        failed = ranks.max_over_ranks(0 if reason is None else ranks.rank + 1)
        if not failed:
            break
        # On every rank: one that kept its graphs would compile the next size with a dynamic shape, and the rest not.
        release_memory(setup.device)
        # With that rank's reason: the rank that reports a failure first is heard, whichever it is.
        reason = ranks.broadcast_text(reason or "", source=failed - 1)
        too_large.append(f"{sequences} (rank {failed - 1}: {reason})")
        forget(choice)
        smaller = [size for size in sizes if size < sequences]
        if not smaller:
            raise DeviceMemoryError(
                f'[batch] micro = "auto": not even {sequences} sequences fit next to the model and what the ranks '
                f"need to exchange gradients: {too_large[-1]}; end other users of the memory, or take a smaller model"
            )
        sequences = max(smaller)
    if not too_large:
        return choice
    summary = ", ".join(too_large)
    return replace(
        choice,
        sequences=sequences,
        reason=f"{choice.reason}; before the first step memory ran out with {summary}",
        too_large=(
            f"memory ran out before the first step with a micro-batch of {summary}: the run continues with "
            f"{sequences}, which changes rounding and what dropout draws; the measured size is forgotten"
        ),
    )


def _rehearse(setup: ModelSetup, sequences: int, *, forward: ForwardPass, optimizers: Optimizers) -> str | None:
    """Do the passes; return why memory ran out, or None if it did not.

    Raises:
        MemoryError: never; it is a reason.
        RuntimeError: something else failed.
    """
    try:
        _pass_and_discard(setup, sequences, forward=forward, optimizers=optimizers)
    except (MemoryError, RuntimeError) as error:
        reason = out_of_memory_reason(error)
        if reason is None:
            raise
        # The frames that failed hold activations.
        traceback.clear_frames(error.__traceback__)
    else:
        reason = None
    finally:
        optimizers.zero_grad(keeps_memory=forward.uses_ddp)
    return reason


def _pass_and_discard(setup: ModelSetup, sequences: int, *, forward: ForwardPass, optimizers: Optimizers) -> None:
    recipe = setup.recipe
    has_moments = any(optimizer.state for optimizer in optimizers.optimizers)
    missing_bytes = 0 if has_moments else moment_bytes(setup.config, has_one_moment=recipe.optimizer.kind == "muon")
    # The first step allocates the moments; until then this is in their place.
    moments = torch.empty(missing_bytes, dtype=torch.uint8, device=setup.device)
    batch = make_synthetic_batch(setup, micro=sequences)
    accumulation = -(-max(recipe.batch.step_sizes) // (sequences * recipe.devices.num_ranks))
    for _ in range(min(accumulation, _MAX_PASSES)):
        with forward.no_gradient_sync():
            forward.loss(batch).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    synchronize(setup.device)
    del moments
