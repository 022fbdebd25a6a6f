"""Speed probe: train a few micro-batches on a throwaway model, to measure a choice's speed and whether it fits.

The run is not affected: the probe has its own weights, optimizer, data and masks, and a step's dropout is seeded by
its number. Afterwards the compiler's graphs are dropped; what it wrote to its cache on disk stays.
"""

from __future__ import annotations

import gc
import time
import traceback
from dataclasses import dataclass

import torch
import torch._dynamo
from torch import Tensor

from bertd.data.batches.masking import MaskedBatch
from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.model.memory import exchange_bytes
from bertd.run.recipe.schema import Recipe
from bertd.train.autotune.attention_backend import AttentionChoice
from bertd.train.backends.apex.detect import Apex, use_fused_modules
from bertd.train.backends.float8 import use_float8
from bertd.train.backends.precision import Precision
from bertd.train.backends.synchronize import synchronize
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.loss_fn import ForwardPass
from bertd.train.optim.optimizer import build_optimizers

_MIN_PASSES = 2
_MAX_PASSES = 16
_MIN_TIME_S = 1.0


@dataclass(frozen=True)
class ModelSetup:
    """What all probes of a run have in common."""

    recipe: Recipe
    config: EncoderConfig
    device: torch.device
    precision: Precision
    pad_id: int | None
    """None if sequences have no padding."""


@dataclass(frozen=True)
class ProbeResult:
    """The speeds that one probe measured."""

    sequences_per_s: float
    """Of one rank, forward and backward."""
    first_update_s: float
    """The first pass and update: compiling, if it is compiled."""


def build_model(setup: ModelSetup, apex: Apex) -> MaskedLanguageModel:
    """The run's model with first weights drawn, on its device, with the modules of its precision and kernels."""
    model = MaskedLanguageModel(setup.config, seed=setup.recipe.run.seed).to(setup.device)
    return _with_kernels(model, setup, apex)


def build_throwaway_model(setup: ModelSetup, apex: Apex) -> MaskedLanguageModel:
    """A model of the same shape with any weights: drawn on the device, without a copy on the host."""
    with setup.device:
        model = MaskedLanguageModel(setup.config, seed=None)
    return _with_kernels(model, setup, apex)


def _with_kernels(model: MaskedLanguageModel, setup: ModelSetup, apex: Apex) -> MaskedLanguageModel:
    if setup.precision.mode == "fp8":
        use_float8(model, products=setup.recipe.precision.fp8_products)
    use_fused_modules(model, apex)
    return model


def reserved_bytes(recipe: Recipe) -> int:
    """What a run needs on a rank's GPU besides a probe, which is alone: to exchange gradients with other ranks."""
    return exchange_bytes(num_ranks=recipe.devices.num_ranks) if recipe.devices.kind == "gpu" else 0


def release_memory(device: torch.device) -> None:
    """Forget compiled graphs, and return to the GPU what nothing refers to."""
    torch._dynamo.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        # The run's peak is its own, not that of the largest trial.
        torch.cuda.reset_peak_memory_stats(device)


def run_speed_probe(
    setup: ModelSetup, *, kernels: str, apex: Apex, attention: AttentionChoice, micro: int
) -> ProbeResult:
    """Train for about a second.

    Raises:
        MemoryError: the machine's memory is too small.
        RuntimeError: the memory is too small (see bertd.train.oom), or a kernel or the compiler fails.
    """
    try:
        return _run_probe(setup, kernels=kernels, apex=apex, attention=attention, micro=micro)
    except (MemoryError, RuntimeError) as error:
        # The traceback's frames hold the model; a caller that keeps the error would keep it from being freed.
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        release_memory(setup.device)


def _run_probe(setup: ModelSetup, *, kernels: str, apex: Apex, attention: AttentionChoice, micro: int) -> ProbeResult:
    # Held to the end: what fits next to it leaves room for the exchange with other ranks.
    reserved = torch.empty(reserved_bytes(setup.recipe), dtype=torch.uint8, device=setup.device)
    single_rank = Ranks(rank=0, world_size=1, device=setup.device, control=None)
    model = build_throwaway_model(setup, apex)
    forward = ForwardPass(
        model,
        ranks=single_rank,
        precision=setup.precision,
        kernels=kernels,
        compile_unit=setup.recipe.precision.compile_unit,
        searches_products=setup.recipe.precision.product_search,
        attention=attention.backends,
        packed_attention=attention.packed,
        pad_id=setup.pad_id,
    )
    # With the optimizer's state, so that what fits here fits the run; ranks reduce the gradients in place.
    optimizers = build_optimizers(model, setup.recipe.optimizer, apex=apex)
    optimizers.set_learning_rate(0.0)
    batch = make_synthetic_batch(setup, micro=micro)
    began_s = time.perf_counter()
    _backward(forward.loss(batch))
    optimizers.combined.step()
    synchronize(setup.device)
    first_update_s = time.perf_counter() - began_s
    began_s, passes = time.perf_counter(), 0
    while passes < _MIN_PASSES or (passes < _MAX_PASSES and time.perf_counter() - began_s < _MIN_TIME_S):
        _backward(forward.loss(batch))
        # A GPU's work is only queued here; without waiting, the time would mean nothing.
        synchronize(setup.device)
        passes += 1
    del reserved
    return ProbeResult(sequences_per_s=passes * micro / (time.perf_counter() - began_s), first_update_s=first_update_s)


def make_synthetic_batch(setup: ModelSetup, *, micro: int) -> MaskedBatch:
    """A micro-batch of the run's shape, of random ids."""
    generator = torch.Generator().manual_seed(0)
    length = setup.recipe.data.sequence_length
    predictions = setup.recipe.masking.predictions(length)
    ids_BS = torch.randint(5, setup.config.vocab_size, (micro, length), generator=generator)
    positions_BM = torch.rand(micro, length, generator=generator).argsort(dim=1)[:, :predictions].sort(dim=1).values
    labels_BM = ids_BS.gather(1, positions_BM)
    return MaskedBatch(*(tensor.to(setup.device) for tensor in (ids_BS, positions_BM, labels_BM)))


def _backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
