"""What is computed here against fp64: loss and gradients, attention, dropout, masks, Muon, copies to the host.

The model is small but as wide as the real one, so that every product has its real inner size. The reference is the same
weights in fp64 through plain mathematics: attention step by step, cross-entropy by autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bertd.bench.workload import BenchBatch, make_synthetic_batch, pad_batch
from bertd.data.batches.masking import MaskedBatch, Masker
from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.prove.context import StepContext
from bertd.prove.sizes import TINY_VOCABULARY, choose_recipe
from bertd.tokenizer.tokenizer_json import BERT_TOKENS
from bertd.tokenizer.vocabulary import make_vocabulary
from bertd.train.autotune.attention_backend import (
    BACKENDS,
    OWN_KERNEL,
    AttentionChoice,
    attend_with_own_kernel,
    why_not_own_kernel,
)
from bertd.train.autotune.attention_check import AttentionFunction, attend_by, find_fault
from bertd.train.autotune.attention_workload import AttentionWorkload
from bertd.train.backends.precision import Precision
from bertd.train.checkpoint.staging import StagingBuffers
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.loss_fn import ForwardPass
from bertd.train.optim.muon import _COEFFICIENTS, _ITERATIONS, _normalise, orthogonalise
from bertd.train.optim.symmetric_product import choose_symmetric_product
from bertd.train.run_inputs import encoder_config

_TOLERANCES = {"fp32": (1e-6, 1e-5), "bf16": (5e-4, 2e-2), "fp16": (5e-4, 2e-2)}
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_FP16_LOSS_SCALE = 2.0**10
"""So that small gradients do not underflow, as by the scaler of a run."""
"""Of the loss as a share, and of all gradients together as norm of the difference over norm. By PyTorch's own bf16 on a
CPU the four layers are off by 2e-5 and 8e-3, in fp32 by 1e-8 and 7e-7."""
_DROPOUT = 0.1
_MOST_SIGMAS = 5.0
_CORRECTNESS_LAYERS = 4


def prove(context: StepContext) -> None:
    """Check each against its reference."""
    torch.manual_seed(0)
    device = torch.device(context.options.device)
    context.attempt("masks", lambda: _check_masks(context, device))
    context.attempt("Muon", lambda: _check_muon(context, device))
    context.attempt("copies to the host", lambda: _check_copies(context, device))
    context.attempt("dropout, eager", lambda: _check_dropout(context, device, is_compiled=False))
    context.attempt("attention", lambda: _check_attention(context, device))
    context.attempt("loss and gradients", lambda: _check_gradients(context, device))
    if context.is_tiny:
        context.skip("dropout, compiled", "--tiny: one graph goes through the compiler, the model's")
    else:
        context.attempt("dropout, compiled", lambda: _check_dropout(context, device, is_compiled=True))


def _config(context: StepContext) -> EncoderConfig:
    recipe = choose_recipe(is_cuda=context.is_cuda, is_tiny=context.is_tiny)
    vocab_size = TINY_VOCABULARY if context.is_tiny else 30_522
    config = encoder_config(recipe, vocab_size=vocab_size)
    return config if context.is_tiny else replace(config, layers=_CORRECTNESS_LAYERS)


# ---- Loss and gradients ------------------------------------------------------------------------------


def _check_gradients(context: StepContext, device: torch.device) -> None:
    config = _config(context)
    num_sequences, predictions = (4, 5) if context.is_tiny else (8, 20)
    full = make_synthetic_batch(
        num_sequences, length=config.max_positions, predictions=predictions, vocab_size=config.vocab_size
    )
    for layout, batch in (("full", full), ("padded", pad_batch(full))):
        batch = batch.to(device)
        reference = _reference(config, batch)
        for name, forward in _variants(context, config, device, is_padded=layout == "padded"):
            _compare(context, f"{name}, {layout}", forward, batch, reference)


@torch.no_grad()
def _double(model: MaskedLanguageModel) -> MaskedLanguageModel:
    return model.double()


def _reference(config: EncoderConfig, batch: BenchBatch) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients in fp64: sum of cross-entropies."""
    model = _double(MaskedLanguageModel(config, seed=1)).to(batch.inputs_NS.device)
    with sdpa_kernel(SDPBackend.MATH):
        x_NMD = model.encoder(
            batch.inputs_NS, attention_mask_BS=batch.attention_mask_NS, query_positions_BM=batch.positions_NM
        )
        logits_NMV = model.head(x_NMD, model.encoder.embeddings.tokens.weight)
        loss = F.cross_entropy(logits_NMV.flatten(0, 1), batch.labels_NM.flatten(), reduction="sum")
    torch.autograd.backward(loss)
    return float(loss.detach()), {name: _gradient(parameter) for name, parameter in model.named_parameters()}


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@dataclass(frozen=True)
class _Way:
    """How a run may compute the model."""

    mode: str
    kernels: str
    attention: AttentionChoice = AttentionChoice()

    @property
    def name(self) -> str:
        parts = [self.mode, "compiled" if self.kernels == "compile" else "eager", *self.attention.names[:1]]
        return ", ".join(parts)


def _list_ways(context: StepContext, config: EncoderConfig, device: torch.device, *, is_padded: bool) -> list[_Way]:
    has_bf16 = context.is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    if context.is_cuda and not has_bf16:
        context.skip("bf16", "the card has none")
    ways = [_Way("fp32", "eager"), *([_Way("bf16", "eager")] if has_bf16 else [])]
    ways.append(_Way("fp16", "eager"))
    # What a run with "auto" gets.
    mode = "bf16" if has_bf16 else "fp16" if context.is_cuda else "fp32"
    compiled = [_Way(mode, "compile")]
    if context.is_cuda:
        workload = _attention_workload(context, config, is_masked=is_padded)
        refusal = why_not_own_kernel(workload, precision=_precision(mode), device=device)
        names = [*BACKENDS, *([] if refusal else [OWN_KERNEL])]
        # As in a run: plain mathematics computes what the first refuses.
        ways += [_Way(mode, "eager", AttentionChoice(tuple(dict.fromkeys((name, "math"))))) for name in names]
        if refusal is None:
            compiled.append(_Way(mode, "compile", AttentionChoice((OWN_KERNEL, "math"))))
    if not (is_padded and context.is_tiny):
        ways += compiled
    return ways


def _precision(mode: str) -> Precision:
    return Precision(mode=mode, dtype=_DTYPES.get(mode), needs_scaler=False)


def _variants(
    context: StepContext, config: EncoderConfig, device: torch.device, *, is_padded: bool
) -> Iterator[tuple[str, tuple[MaskedLanguageModel, ForwardPass, str]]]:
    """The model as a run would compute it, in each precision and by each way to run it, one after the other."""
    ranks = Ranks(rank=0, world_size=1, device=device, control=None)
    for way in _list_ways(context, config, device, is_padded=is_padded):
        model = MaskedLanguageModel(config, seed=1).to(device)
        forward = ForwardPass(
            model,
            ranks=ranks,
            precision=_precision(way.mode),
            kernels=way.kernels,
            attention=way.attention.backends,
            packed_attention=way.attention.packed,
            pad_id=0 if is_padded else None,
        )
        yield way.name, (model, forward, way.mode)


def _compare(
    context: StepContext,
    name: str,
    variant: tuple[MaskedLanguageModel, ForwardPass, str],
    batch: BenchBatch,
    reference: tuple[float, dict[str, Tensor]],
) -> None:
    model, forward, mode = variant

    def compare() -> None:
        loss = forward.loss(MaskedBatch(batch.inputs_NS, batch.positions_NM, batch.labels_NM))
        scale = _FP16_LOSS_SCALE if mode == "fp16" else 1.0
        torch.autograd.backward(loss * scale)
        expected_loss, expected = reference
        pairs = [
            (_gradient(parameter).double() / scale, expected[name]) for name, parameter in model.named_parameters()
        ]
        difference = float(sum(((a - b).square().sum() for a, b in pairs), torch.zeros(())) ** 0.5)
        norm = float(sum((b.square().sum() for _, b in pairs), torch.zeros(())) ** 0.5)
        loss_error, grad_error = abs(float(loss.detach()) - expected_loss) / expected_loss, difference / norm
        loss_tolerance, grad_tolerance = _TOLERANCES[mode]
        context.check(
            f"loss and gradients: {name}",
            loss_error <= loss_tolerance and grad_error <= grad_tolerance,
            f"off fp64 by {loss_error:.1e} (at most {loss_tolerance:g}) and {grad_error:.1e} ({grad_tolerance:g})",
        )

    context.attempt(f"loss and gradients: {name}", compare)


# ---- Attention ---------------------------------------------------------------------------------------


def _attention_workload(context: StepContext, config: EncoderConfig, *, is_masked: bool) -> AttentionWorkload:
    return AttentionWorkload.from_config(
        config,
        sequences=4,
        length=config.max_positions,
        predictions=5 if context.is_tiny else 20,
        is_masked=is_masked,
    )


def _check_attention(context: StepContext, device: torch.device) -> None:
    """Each kernel on the run's calls; one that is wrong is left out of runs, so one right kernel passes."""
    config = _config(context)
    has_bf16 = context.is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    precision = _precision("bf16" if has_bf16 else "fp32")
    for layout, is_masked in (("full", False), ("padded", True)):
        for rate in (0.0, _DROPOUT):
            workload = _attention_workload(context, replace(config, attention_dropout=rate), is_masked=is_masked)
            _check_kernels(context, workload, precision=precision, device=device, where=f"{layout}, dropout {rate:g}")


def _check_kernels(
    context: StepContext, workload: AttentionWorkload, *, precision: Precision, device: torch.device, where: str
) -> None:
    kernels: dict[str, AttentionFunction] = {name: attend_by(backend) for name, backend in BACKENDS.items()}
    refusal = why_not_own_kernel(workload, precision=precision, device=device)
    if refusal is None:
        kernels[OWN_KERNEL] = attend_with_own_kernel
    else:
        context.skip(f"attention: {OWN_KERNEL}, {where}", f"runs leave it out: {refusal}")
    right = []
    for name, attend in kernels.items():
        fault = find_fault(attend, workload, device=device, dtype=precision.dtype)
        if fault is None:
            right.append(name)
            context.check(f"attention: {name}, {where}", True, "output, gradients, rate of dropout, low scores")
        else:
            context.skip(f"attention: {name}, {where}", f"runs leave it out: {fault}")
    context.check(f"attention: a right kernel, {where}", bool(right), ", ".join(right) or "no kernel is right")


# ---- Dropout, masks, Muon, copies --------------------------------------------------------------------


def _check_dropout(context: StepContext, device: torch.device, *, is_compiled: bool) -> None:
    ones = torch.ones(1 << 20, device=device)

    def drop(x: Tensor) -> Tensor:
        return F.dropout(x, _DROPOUT, training=True)

    run: Callable[[Tensor], Tensor] = torch.compile(drop, fullgraph=True) if is_compiled else drop
    dropped = run(ones)
    rate = float((dropped == 0).sum()) / ones.numel()
    bound = _MOST_SIGMAS * (_DROPOUT * (1 - _DROPOUT) / ones.numel()) ** 0.5
    kept = dropped[dropped != 0]
    is_scaled = bool(torch.allclose(kept, torch.full_like(kept, 1 / (1 - _DROPOUT))))
    way = "compiled" if is_compiled else "eager"
    detail = f"drops {rate:.3%} of {ones.numel():,} where {_DROPOUT:.0%} was asked, within {bound:.3%}"
    context.check(f"dropout, {way}", abs(rate - _DROPOUT) <= bound and is_scaled, detail)


def _check_masks(context: StepContext, device: torch.device) -> None:
    vocab_size = TINY_VOCABULARY if context.is_tiny else 30_522
    entries = (*BERT_TOKENS.values(), *(f"w{index}" for index in range(vocab_size - len(BERT_TOKENS))))
    masker = Masker(
        seed=42,
        rate=0.3,
        max_predictions=38,
        replace=(0.8, 0.1, 0.1),
        vocabulary=make_vocabulary(entries, place="made up"),
        sequence_length=128,
    )
    generator = torch.Generator().manual_seed(0)
    ids_BS = torch.randint(len(BERT_TOKENS), vocab_size, (64, 128), generator=generator)
    ids_BS[::2, 100:] = 0
    keys_B = torch.arange(64) * 12_345
    here = masker(ids_BS.to(device), keys_B.to(device))
    rows = [masker(ids_BS[row : row + 1], keys_B[row : row + 1]) for row in range(64)]
    are_equal = all(
        torch.equal(getattr(here, name).cpu(), torch.cat([getattr(row, name) for row in rows]))
        for name in ("inputs_BS", "positions_BM", "labels_BM")
    )
    context.check("masks", are_equal, "64 sequences at once here, and each alone on the CPU: the same masks")


def _check_muon(context: StepContext, device: torch.device) -> None:
    shapes = [(32, 32), (96, 32)] if context.is_tiny else [(1024, 1024), (4096, 1024), (1024, 4096)]
    worst = 0.0
    for rows, columns in shapes:
        matrices = torch.randn(8, rows, columns, generator=torch.Generator().manual_seed(0)).to(device)
        choice = choose_symmetric_product(_normalise(matrices)[0])
        context.state(f"Muon's products, {rows} x {columns}", choice.reason)
        matrices, actual = matrices[:1], orthogonalise(matrices, product=choice.product)[:1].double()
        expected = _iterate_on_singular_values(matrices)
        worst = max(worst, float((actual - expected).norm() / expected.norm()))
    # Five iterations in bf16 add up to 9e-3 on a CPU.
    tolerance = 3e-2 if context.is_cuda else 1e-4
    context.check("Muon", worst <= tolerance, f"off an SVD in fp64 by {worst:.1e} (at most {tolerance:g})")


def _iterate_on_singular_values(matrices: Tensor) -> Tensor:
    """What the iterations are in exact arithmetic: a polynomial of the singular values, the vectors as they were."""
    left, values, right = torch.linalg.svd(matrices.double().cpu(), full_matrices=False)
    a, b, c = _COEFFICIENTS
    values = values / values.norm(dim=-1, keepdim=True)
    for _ in range(_ITERATIONS):
        values = a * values + b * values**3 + c * values**5
    expected: Tensor = left * values.unsqueeze(-2) @ right
    return expected.to(matrices.device)


def _check_copies(context: StepContext, device: torch.device) -> None:
    """The copy that a checkpoint is written from, made while the device works, against one that waits."""
    size = 64 if context.is_tiny else 2048
    state = {f"weight {index}": torch.randn(size, size, device=device) for index in range(8)}
    buffers, load = StagingBuffers(device), torch.randn(size, size, device=device)
    are_equal = True
    for _ in range(3):
        for _ in range(20):
            load = torch.mm(load, load).mul_(1e-3).clamp_(-1, 1)
        expected = {name: tensor.cpu().clone() for name, tensor in state.items()}
        for _ in range(20):
            load = torch.mm(load, load).mul_(1e-3).clamp_(-1, 1)
        staged = buffers.stage(model=state, optimizer={})
        staged.make_step_wait() if context.is_cuda else staged.finish_copy()
        # A step overwrites what is being copied as soon as it may.
        for tensor in state.values():
            tensor.add_(1.0)
        staged.finish_copy()
        are_equal &= all(torch.equal(staged.model[name], expected[name]) for name in state)
    context.check("copies to the host", are_equal, "of eight matrices under load, overwritten right after, three times")
