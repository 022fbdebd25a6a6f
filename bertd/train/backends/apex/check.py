"""Compare parts of apex with torch on a tiny input, forward and backward, before they are used.

Only a launch shows that apex was built without this GPU's kernels, and only a comparison shows wrong results: its
linear layers do not check the status that cuBLAS returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from bertd.model.encoder import NORM_EPS
from bertd.train.backends.apex.modules import FusedLinear, build_fused_adam, build_fused_lamb, build_fused_norm
from bertd.train.optim.lamb import Lamb

_TOLERANCES = {None: 5e-3, torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""Largest difference, as a share of the largest value, by the products' format; that of fp32 allows for TF32."""
_UPDATE_TOLERANCE = 1e-3
"""The same for the change that three optimizer steps make; their arithmetic is fp32."""
_ROWS, _WIDTH = 6, 128
_LR, _BETAS, _EPS = 1e-2, (0.9, 0.98), 1e-6


class Feature(StrEnum):
    """A part of apex; the value is its class."""

    LAYER_NORM = "FusedLayerNorm"
    DENSE = "FusedDense"
    ADAM = "FusedAdam"
    LAMB = "FusedLAMB"


def compare_with_torch(
    feature: Feature, apex_class: Callable[..., Any], *, device: torch.device, dtype: torch.dtype | None
) -> str | None:
    """Return None if both agree, else the difference as text.

    Args:
        dtype: of autocast in the run that will use it; None if autocast is off.

    Raises:
        RuntimeError: from apex, such as "no kernel image is available for execution on the device".
    """
    generator = torch.Generator().manual_seed(1)
    if feature in (Feature.ADAM, Feature.LAMB):
        difference, limit = _compare_optimizer(feature, apex_class, device, generator), _UPDATE_TOLERANCE
    else:
        difference, limit = _compare_module(feature, apex_class, device, dtype, generator), _TOLERANCES[dtype]
    # NaN must count as a difference, so do not test for `>`.
    return None if difference <= limit else f"off by {difference:.1e} of the largest value, and {limit:.0e} is allowed"


def _compare_module(
    feature: Feature,
    apex_class: Callable[..., Any],
    device: torch.device,
    dtype: torch.dtype | None,
    generator: torch.Generator,
) -> float:
    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    reference: nn.LayerNorm | nn.Linear
    if feature is Feature.LAYER_NORM:
        reference = nn.LayerNorm(_WIDTH, eps=NORM_EPS)
    else:
        reference = nn.Linear(_WIDTH, 2 * _WIDTH)
    for parameter in reference.parameters():
        parameter.data = draw(*parameter.shape) / _WIDTH**0.5
    x, gradient = draw(2, _ROWS, _WIDTH), draw(2, _ROWS, *reference.weight.shape[:1])
    expected = _forward_and_backward(reference, x, gradient, nullcontext())
    reference = reference.to(device)
    fused = (
        build_fused_norm(apex_class, reference)
        if isinstance(reference, nn.LayerNorm)
        else FusedLinear(apex_class, reference)
    )
    context = torch.autocast(device.type, dtype=dtype) if dtype is not None else nullcontext()
    actual = _forward_and_backward(fused, x.to(device), gradient.to(device), context)
    return _largest_difference(actual, expected)


def _forward_and_backward(
    module: nn.Module, x: Tensor, gradient: Tensor, context: AbstractContextManager[None]
) -> list[Tensor]:
    """Return the output and the gradients of input and parameters, in fp32 on CPU."""
    x = x.requires_grad_()
    with context:
        out = module(x)
    wanted = [x, *module.parameters()]
    gradients = torch.autograd.grad(out, wanted, gradient.to(out.dtype))
    return [tensor.detach().float().cpu() for tensor in (out, *gradients)]


def _compare_optimizer(
    feature: Feature, apex_class: Callable[..., Any], device: torch.device, generator: torch.Generator
) -> float:
    initial = [torch.randn(*shape, generator=generator) for shape in ((_WIDTH, 33), (7,))]
    gradients = [[torch.randn(p.shape, generator=generator) for p in initial] for _ in range(3)]

    def groups(tensors: Iterable[Tensor]) -> list[dict[str, object]]:
        matrix, vector = tensors
        return [{"params": [matrix], "weight_decay": 0.1}, {"params": [vector], "weight_decay": 0.0}]

    actual = [nn.Parameter(tensor.to(device, copy=True)) for tensor in initial]
    expected = [nn.Parameter(tensor.clone()) for tensor in initial]
    reference: torch.optim.Optimizer
    if feature is Feature.ADAM:
        fused = build_fused_adam(apex_class, groups(actual), lr=_LR, betas=_BETAS, eps=_EPS)
        reference = torch.optim.AdamW(groups(expected), lr=_LR, betas=_BETAS, eps=_EPS)
    else:
        fused = build_fused_lamb(apex_class, groups(actual), lr=_LR, betas=_BETAS, eps=_EPS)
        reference = Lamb(groups(expected), lr=_LR, betas=_BETAS, eps=_EPS)
    for step in gradients:
        for optimizer, parameters in ((fused, actual), (reference, expected)):
            for parameter, gradient in zip(parameters, step, strict=True):
                parameter.grad = gradient.to(parameter.device, copy=True)
            optimizer.step()
    changes = [p.detach().cpu() - start for p, start in zip(actual, initial, strict=True)]
    return _largest_difference(changes, [p.detach() - start for p, start in zip(expected, initial, strict=True)])


def _largest_difference(actual: list[Tensor], expected: list[Tensor]) -> float:
    """As a share of the tensor's largest value; NaN if any value is NaN, which Python's max would ignore."""
    shares = [(a - b).abs().max() / b.abs().max() for a, b in zip(actual, expected, strict=True)]
    return float(torch.stack(shares).max())
