"""Whether an attention kernel computes attention: before it may be preferred for its speed.

Checked in every shape and mask that a run has: all positions, and the few predicted ones of the last layer.

1. Output and the three gradients on random input, against fp32 mathematics; the backward pass must drop what the
   forward pass dropped.
2. The rate of dropout. With q = k = 0 each key has the weight 1/S, and with one-hot values the output is the weights:
   the share of zeros is the rate. cuDNN's rounded it to sixteenths until PyTorch 2.12 refused it (pull request 174245).
3. Low scores, at which kernels have returned NaN on Hopper (PyTorch issue 196678, cudnn-frontend issue 1072).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bertd.train.autotune.attention_workload import AttentionCall, AttentionInputs, AttentionWorkload

AttentionFunction = Callable[[AttentionInputs, Tensor | None, float], Tensor]
"""From products, a mask as make_mask makes it and the rate of dropout to BQD, what the out-projection reads."""

_CHECKED_SEQUENCES = 4
_TOLERANCES = {torch.bfloat16: 2e-2, torch.float16: 5e-3, torch.float32: 1e-4}
"""Norm of the difference over the norm of the reference. Rounding the operands once costs 2e-3 in bf16."""
_LOW_SCORE = -120.0
"""Of every key to every query, far below what a softmax that does not subtract its maximum can take."""
_MOST_SIGMAS = 5.0
"""Of the measured dropout rate from the recipe's: once in two million right kernels by chance."""


def attend_by(backend: SDPBackend) -> AttentionFunction:
    """Attention as the encoder has it of PyTorch, by one backend."""

    def attend(inputs: AttentionInputs, mask: Tensor | None, dropout: float) -> Tensor:
        q, k, v = inputs.split()
        with sdpa_kernel(backend):
            mixed_BHQK = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return mixed_BHQK.transpose(1, 2).flatten(2)

    return attend


def find_fault(
    attend: AttentionFunction,
    workload: AttentionWorkload,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
) -> str | None:
    """What is wrong with a kernel for a run's calls, as text; None where it is right."""
    for call in workload.calls():
        where = "all positions" if call.is_for_all else f"the last layer's {call.num_queries} positions"
        where += ", local" if call.is_local else ""
        try:
            # What dropout draws decides whether a right kernel passes: the same numbers each time.
            with torch.random.fork_rng(_cuda_devices(device)):
                torch.manual_seed(0)
                fault = _check_call(attend, call, device=device, dtype=dtype or torch.float32)
        except RuntimeError as error:
            # The word for a kernel that refuses, out of memory, or a fault of the kernel: all are reasons.
            fault = first_line(error)
        if fault is not None:
            return f"{fault} ({where})"
    return None


def first_line(error: RuntimeError) -> str:
    """The first line of an error's text, or its class where it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _check_call(
    attend: AttentionFunction, call: AttentionCall, *, device: torch.device, dtype: torch.dtype
) -> str | None:
    generator = torch.Generator(device=device).manual_seed(0)
    tolerance = _TOLERANCES[dtype]
    inputs = call.make_inputs(sequences=_CHECKED_SEQUENCES, device=device, dtype=dtype, generator=generator)
    mask = call.make_mask(sequences=_CHECKED_SEQUENCES, device=device)
    fault = _compare_with_mathematics(attend, inputs, mask, tolerance=tolerance)
    fault = fault or _check_low_scores(attend, inputs, mask)
    if fault is None and call.workload.dropout > 0:
        fault = _check_dropout(attend, inputs, mask, rate=call.workload.dropout, tolerance=tolerance)
    return fault


def attend_and_differentiate(
    attend: AttentionFunction,
    inputs: AttentionInputs,
    mask: Tensor | None,
    grad_BQD: Tensor | None,
    *,
    dropout: float = 0.0,
) -> tuple[Tensor, AttentionInputs]:
    """The output, BQD, and the products' gradients for the output's gradient; None for ones."""
    q_BMHK = None if inputs.q_BMHK is None else inputs.q_BMHK.detach().requires_grad_()
    packed_BSPHK = inputs.packed_BSPHK.detach().requires_grad_()
    mixed_BQD = attend(AttentionInputs(q_BMHK, packed_BSPHK), mask, dropout)
    grad_BQD = torch.ones_like(mixed_BQD) if grad_BQD is None else grad_BQD
    leaves = (packed_BSPHK,) if q_BMHK is None else (packed_BSPHK, q_BMHK)
    packed_grad, *q_grad = torch.autograd.grad(mixed_BQD, leaves, grad_BQD)
    return mixed_BQD.detach(), AttentionInputs(q_grad[0] if q_grad else None, packed_grad)


def _mathematics(inputs: AttentionInputs, mask: Tensor | None, dropout: float) -> Tensor:
    """The same step by step, in fp32 where the inputs are."""
    q, k, v = inputs.split()
    scores = q @ k.mT / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    mixed_BQD: Tensor = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
    return mixed_BQD


def _draw_grad(inputs: AttentionInputs, *, seed: int) -> Tensor:
    q_BHQK, *_ = inputs.split()
    B, H, Q, K = q_BHQK.shape
    generator = torch.Generator(device=q_BHQK.device).manual_seed(seed)
    return torch.randn(B, Q, H * K, device=q_BHQK.device, generator=generator).to(q_BHQK.dtype)


def _compare_with_mathematics(
    attend: AttentionFunction, inputs: AttentionInputs, mask: Tensor | None, *, tolerance: float
) -> str | None:
    grad_BQD = _draw_grad(inputs, seed=1)
    in_fp32 = AttentionInputs(None if inputs.q_BMHK is None else inputs.q_BMHK.float(), inputs.packed_BSPHK.float())
    mixed_BQD, gradients = attend_and_differentiate(attend, inputs, mask, grad_BQD)
    expected_BQD, expected_gradients = attend_and_differentiate(_mathematics, in_fp32, mask, grad_BQD.float())
    actual, expected = (mixed_BQD, *gradients.split()), (expected_BQD, *expected_gradients.split())
    for name, ours, reference in zip(("output", "q's", "k's", "v's"), actual, expected, strict=True):
        difference = float((ours.float() - reference).norm() / reference.norm())
        # A NaN is no number below the tolerance, either.
        if not difference <= tolerance:
            what = name if name == "output" else f"{name} gradient"
            return f"wrong: {what} differs from fp32 mathematics by {difference:.1%}, more than {tolerance:.2%}"
    return None


def _check_low_scores(attend: AttentionFunction, inputs: AttentionInputs, mask: Tensor | None) -> str | None:
    q, k, v = inputs.split()
    # Of q with -q, where the scale is one over the root of the head's width.
    size = (-_LOW_SCORE / q.size(-1) ** 0.5) ** 0.5
    low = AttentionInputs.pack(torch.full_like(q, size), torch.full_like(k, -size), v, is_for_all=inputs.q_BMHK is None)
    mixed_BQD, gradients = attend_and_differentiate(attend, low, mask, None)
    is_finite = all(bool(each.isfinite().all()) for each in (mixed_BQD, *gradients.split()))
    return None if is_finite else "wrong: not finite at low scores"


def _check_dropout(
    attend: AttentionFunction, inputs: AttentionInputs, mask: Tensor | None, *, rate: float, tolerance: float
) -> str | None:
    q, k, v = inputs.split()
    (B, H, Q, _), (S, K) = q.shape, v.shape[-2:]
    one_hot_SK = torch.eye(S, K, device=v.device, dtype=v.dtype)
    one_hot = AttentionInputs.pack(
        torch.zeros_like(q), torch.zeros_like(k), one_hot_SK.expand_as(v), is_for_all=inputs.q_BMHK is None
    )
    weights_BQD, _ = attend_and_differentiate(attend, one_hot, mask, None, dropout=rate)
    weights_BHQK = weights_BQD.view(B, Q, H, K).transpose(1, 2)
    # Only keys that have a one-hot value, and that the query may see, can show that they were dropped.
    visible = torch.ones(B, H, Q, S, dtype=torch.bool, device=v.device)
    if mask is not None:
        visible = visible & mask
    visible = visible[..., :K]
    count = int(visible.sum())
    measured = float(((weights_BHQK[..., : visible.size(-1)] == 0) & visible).sum()) / count
    if abs(measured - rate) > _MOST_SIGMAS * (rate * (1 - rate) / count) ** 0.5:
        return f"wrong: drops {measured:.2%} where the recipe says {rate:.2%}"
    # The output is linear in v under a mask that stands: <output, grad> = <v, its gradient>.
    grad_BQD = _draw_grad(inputs, seed=2)
    mixed_BQD, gradients = attend_and_differentiate(attend, inputs, mask, grad_BQD, dropout=rate)
    _, _, grad_v = gradients.split()
    forward, backward = float((mixed_BQD.double() * grad_BQD).sum()), float((v.double() * grad_v).sum())
    scale = float(mixed_BQD.double().norm() * grad_BQD.double().norm())
    if not abs(forward - backward) <= tolerance * scale:
        return "wrong: its backward pass drops other weights than its forward pass"
    return None
