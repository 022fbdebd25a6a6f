"""Adapters that replace parts of torch by those of NVIDIA apex.

Parameters and their names stay the same, so that checkpoints, exports and optimizers are not affected. Signatures are
those of https://github.com/NVIDIA/apex at 6424da3b, July 2026; its version number, "0.1", never changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ModuleClass = Callable[..., nn.Module]
OptimizerClass = Callable[..., torch.optim.Optimizer]


def build_fused_norm(layer_norm: ModuleClass, norm: nn.LayerNorm) -> nn.Module:
    """Build apex's FusedLayerNorm with the parameters of `norm`."""
    fused = layer_norm(norm.normalized_shape, eps=norm.eps)
    fused.weight, fused.bias = norm.weight, norm.bias
    return fused.train(norm.training)


class FusedLinear(nn.Module):
    """apex's FusedDense with the parameters of a Linear, for inputs of any rank."""

    def __init__(self, dense: ModuleClass, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        fused = dense(linear.in_features, linear.out_features)
        fused.weight, fused.bias = linear.weight, linear.bias
        # In a tuple, so that torch does not register the module and its parameters a second time.
        self._fused = (fused,)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        rows = self._fused[0](x.reshape(-1, self.in_features).contiguous())
        return _ContiguousGradient.apply(rows).view(*x.shape[:-1], self.out_features)  # type: ignore[no-untyped-call,no-any-return]  # torch leaves it untyped


class _ContiguousGradient(torch.autograd.Function):
    """The identity forward; makes the gradient contiguous backward.

    apex's kernel ignores the gradient's strides: an expanded or transposed one would give wrong weights.
    """

    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:
        return rows

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous()


def build_fused_adam(
    adam: OptimizerClass, groups: list[dict[str, object]], *, lr: float, betas: tuple[float, float], eps: float
) -> torch.optim.Optimizer:
    """Build apex's FusedAdam in AdamW mode."""
    return _add_step_counters(adam(groups, lr=lr, betas=betas, eps=eps, adam_w_mode=True))


def build_fused_lamb(
    lamb: OptimizerClass, groups: list[dict[str, object]], *, lr: float, betas: tuple[float, float], eps: float
) -> torch.optim.Optimizer:
    """Build apex's FusedLAMB to match bertd.train.optim.lamb; by default it would clip the gradient's norm to 1."""
    return _add_step_counters(lamb(groups, lr=lr, betas=betas, eps=eps, max_grad_norm=math.inf))


def _add_step_counters(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    # apex counts steps per group, from the first step on: with the key there from the start, a checkpoint can save it.
    for group in optimizer.param_groups:
        group["step"] = 0
    return optimizer
