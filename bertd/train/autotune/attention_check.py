"""Whether an attention kernel computes attention: before it may be preferred for its speed.

Checked in every shape and mask that a run has: all positions, and the few predicted ones of the last layer.

1. Output and the three gradients on random input, against fp32 mathematics; the backward pass must drop what the
   forward pass dropped.
2. The rate of dropout. With q = k = 0 each key has the weight 1/S, and with one-hot values the output is the weights:
   the share of zeros is the rate. cuDNN's rounded it to sixteenths until PyTorch 2.12 refused it (pull request 174245).
3. Low scores, at which kernels have returned NaN on Hopper (PyTorch issue 196678, cudnn-frontend issue 1072).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bertd.train.autotune.attention_workload import AttentionCall, AttentionWorkload

_CHECKED_SEQUENCES = 4
_TOLERANCES = {torch.bfloat16: 2e-2, torch.float16: 5e-3, torch.float32: 1e-4}
"""Norm of the difference over the norm of the reference. Rounding the operands once costs 2e-3 in bf16."""
_LOW_SCORE = -120.0
"""Of every key to every query, far below what a softmax that does not subtract its maximum can take."""
_MOST_SIGMAS = 5.0
"""Of the measured dropout rate from the recipe's: once in two million right kernels by chance."""


def find_fault(
    backend: SDPBackend,
    workload: AttentionWorkload,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
) -> str | None:
    """What is wrong with a backend for a run's calls, as text; None where it is right."""
    for call in workload.calls():
        where = "all positions" if call.is_for_all else f"the last layer's {call.num_queries} positions"
        where += ", local" if call.is_local else ""
        try:
            # What dropout draws decides whether a right kernel passes: the same numbers each time.
            with torch.random.fork_rng(_cuda_devices(device)), sdpa_kernel(backend):
                torch.manual_seed(0)
                fault = _check_call(call, device=device, dtype=dtype or torch.float32)
        except RuntimeError as error:
            # PyTorch's word for a backend that refuses, out of memory, or a fault of the kernel: all are reasons.
            fault = str(error).strip().splitlines()[0] or type(error).__name__
        if fault is not None:
            return f"{fault} ({where})"
    return None


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _check_call(call: AttentionCall, *, device: torch.device, dtype: torch.dtype) -> str | None:
    generator = torch.Generator(device=device).manual_seed(0)
    tolerance = _TOLERANCES[dtype]
    inputs = call.make_inputs(sequences=_CHECKED_SEQUENCES, device=device, dtype=dtype, generator=generator)
    mask = call.make_mask(sequences=_CHECKED_SEQUENCES, device=device)
    fault = _compare_with_mathematics(inputs, mask, tolerance=tolerance) or _check_low_scores(inputs, mask)
    if fault is None and call.workload.dropout > 0:
        fault = _check_dropout(inputs, mask, rate=call.workload.dropout, tolerance=tolerance)
    return fault


def attend_and_differentiate(
    inputs: tuple[Tensor, Tensor, Tensor], mask: Tensor | None, grad: Tensor | None, *, dropout: float = 0.0
) -> tuple[Tensor, ...]:
    """The output, and the gradients of q, k and v for the output's gradient; None for ones."""
    q, k, v = (tensor.detach().requires_grad_() for tensor in inputs)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return mixed, *torch.autograd.grad(mixed, (q, k, v), torch.ones_like(mixed) if grad is None else grad)


def _mathematics(inputs: tuple[Tensor, Tensor, Tensor], mask: Tensor | None, grad: Tensor) -> tuple[Tensor, ...]:
    """The same in fp32, step by step."""
    q, k, v = (tensor.detach().float().requires_grad_() for tensor in inputs)
    scores = q @ k.mT / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    mixed = scores.softmax(dim=-1) @ v
    return mixed, *torch.autograd.grad(mixed, (q, k, v), grad.float())


def _compare_with_mathematics(
    inputs: tuple[Tensor, Tensor, Tensor], mask: Tensor | None, *, tolerance: float
) -> str | None:
    generator = torch.Generator(device=inputs[0].device).manual_seed(1)
    grad = torch.randn(inputs[0].shape, device=inputs[0].device, generator=generator).to(inputs[0].dtype)
    actual, expected = attend_and_differentiate(inputs, mask, grad), _mathematics(inputs, mask, grad)
    for name, ours, reference in zip(("output", "q's", "k's", "v's"), actual, expected, strict=True):
        difference = float((ours.detach().float() - reference.detach()).norm() / reference.detach().norm())
        # A NaN is no number below the tolerance, either.
        if not difference <= tolerance:
            what = name if name == "output" else f"{name} gradient"
            return f"wrong: {what} differs from fp32 mathematics by {difference:.1%}, more than {tolerance:.2%}"
    return None


def _check_low_scores(inputs: tuple[Tensor, Tensor, Tensor], mask: Tensor | None) -> str | None:
    q, k, v = inputs
    # Of q with -q, where the scale is one over the root of the head's width.
    size = (-_LOW_SCORE / q.size(-1) ** 0.5) ** 0.5
    low = (torch.full_like(q, size), torch.full_like(k, -size), v)
    is_finite = all(bool(each.isfinite().all()) for each in attend_and_differentiate(low, mask, None))
    return None if is_finite else "wrong: not finite at low scores"


def _check_dropout(
    inputs: tuple[Tensor, Tensor, Tensor], mask: Tensor | None, *, rate: float, tolerance: float
) -> str | None:
    q, k, v = inputs
    S, K = v.shape[-2:]
    one_hot_SK = torch.eye(S, K, device=v.device, dtype=v.dtype)
    values = one_hot_SK.expand_as(v).contiguous()
    weights = attend_and_differentiate((torch.zeros_like(q), torch.zeros_like(k), values), mask, None, dropout=rate)[0]
    # Only keys that have a one-hot value, and that the query may see, can show that they were dropped.
    visible = torch.ones(*q.shape[:2], q.size(2), S, dtype=torch.bool, device=v.device)
    if mask is not None:
        visible = visible & mask
    visible = visible[..., :K]
    count = int(visible.sum())
    measured = float(((weights[..., : visible.size(-1)] == 0) & visible).sum()) / count
    if abs(measured - rate) > _MOST_SIGMAS * (rate * (1 - rate) / count) ** 0.5:
        return f"wrong: drops {measured:.2%} where the recipe says {rate:.2%}"
    # The output is linear in v under a mask that stands: <output, grad> = <v, its gradient>.
    generator = torch.Generator(device=v.device).manual_seed(2)
    grad = torch.randn(q.shape, device=q.device, generator=generator).to(q.dtype)
    mixed, _, _, grad_v = (each.detach() for each in attend_and_differentiate(inputs, mask, grad, dropout=rate))
    forward, backward = float((mixed.double() * grad).sum()), float((v.double() * grad_v).sum())
    scale = float(mixed.double().norm() * grad.double().norm())
    if not abs(forward - backward) <= tolerance * scale:
        return "wrong: its backward pass drops other weights than its forward pass"
    return None
