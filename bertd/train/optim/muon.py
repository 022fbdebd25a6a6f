"""Muon: momentum whose matrices are orthogonalised before they are applied.

Each matrix's momentum G is replaced by nearly the closest matrix with all singular values equal, found by five
Newton-Schulz iterations on X = G / |G|:  X <- a X + (b A + c A A) X,  A = X X'.

This computes what torch.optim.Muon computes with adjust_lr_fn="match_rms_adamw" (held by
tests/train/optim/test_muon.py) and differs in how: q, k and v, which lie in one parameter, are orthogonalised apart;
matrices of one shape go through the iterations as one batch; and with several ranks each orthogonalises its share and
gathers the rest, since all hold the same gradient. Where bf16 is emulated, on CPUs and on GPUs before Ampere, the
iterations run in fp32, and those of a matrix that is wide or tall on A alone: all of them are P X with a polynomial P
in A, whose products are small.

Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; learning rate matched to AdamW's as in Liu et
al. 2025, arXiv 2502.16982, section 2.2.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_EPS = 1e-7
_WIDE_RATIO = 3
"""Columns for each row from which it is less work to iterate on the Gram matrix."""
_RMS_OF_ADAMW = 0.2
"""Typical root mean square of an AdamW update, so that one peak rate serves both."""


@dataclass(frozen=True)
class StackedMatrices:
    """A parameter that holds `num_blocks` matrices of equal shape, one below the other."""

    parameter: Tensor
    num_blocks: int


class Muon(torch.optim.Optimizer):
    """For the hidden matrices; vectors, embeddings and the head belong to AdamW."""

    def __init__(
        self,
        matrices: list[StackedMatrices],
        *,
        lr: float,
        weight_decay: float,
        momentum: float,
        world_size: int,
        rank: int,
    ) -> None:
        """`momentum` is Nesterov's; `rank` and `world_size` say which share of the matrices is this rank's."""
        super().__init__([each.parameter for each in matrices], {"lr": lr, "weight_decay": weight_decay})
        self._num_blocks = {each.parameter: each.num_blocks for each in matrices}
        self._momentum = momentum
        self._rank, self._world_size = rank, world_size

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no loss is returned
        """Apply one update; every rank must call, with equal gradients."""
        assert closure is None
        (group,) = self.param_groups
        by_shape: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            rows, columns = parameter.shape
            by_shape[rows // self._num_blocks[parameter], columns].append(parameter)
        for (rows, columns), parameters in by_shape.items():
            directions = [self._update_momentum(parameter).view(-1, rows, columns) for parameter in parameters]
            updates = torch.split(
                self._orthogonalise_distributed(torch.cat(directions)), [len(each) for each in directions]
            )
            rate = group["lr"] * _RMS_OF_ADAMW * math.sqrt(max(rows, columns))
            for parameter, update in zip(parameters, updates, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.reshape(parameter.shape).to(parameter.dtype), alpha=-rate)

    def _update_momentum(self, parameter: Tensor) -> Tensor:
        """Gradient plus its running mean, looked ahead (Nesterov)."""
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - self._momentum)
        return gradient.lerp(state["momentum"], self._momentum)

    def _orthogonalise_distributed(self, stacked: Tensor) -> Tensor:
        if self._world_size == 1:
            return orthogonalise(stacked)
        num_matrices = len(stacked)
        num_per_rank = -(-num_matrices // self._world_size)
        padded = nn.functional.pad(stacked, (0, 0, 0, 0, 0, num_per_rank * self._world_size - num_matrices))
        local = orthogonalise(padded[self._rank * num_per_rank : (self._rank + 1) * num_per_rank])
        gathered = torch.empty(padded.shape, dtype=local.dtype, device=local.device)
        dist.all_gather_into_tensor(gathered, local.contiguous())
        return gathered[:num_matrices]


def orthogonalise(stacked: Tensor) -> Tensor:
    """Bring all singular values of each matrix near 1: shape (number, rows, columns) stays."""
    has_bf16 = stacked.is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    x = stacked.bfloat16() if has_bf16 else stacked
    is_tall = x.size(-2) > x.size(-1)
    if is_tall:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=_EPS)
    # In bf16 the detour would square the few digits that there are.
    is_wide = x.size(-1) >= _WIDE_RATIO * x.size(-2) and x.dtype is not torch.bfloat16
    x = _newton_schulz_on_gram(x) if is_wide else _newton_schulz(x)
    return x.mT if is_tall else x


def _newton_schulz(x: Tensor) -> Tensor:
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _newton_schulz_on_gram(x: Tensor) -> Tensor:
    """The same on A alone, which an iteration multiplies from both sides by what it multiplies X by."""
    gram = x @ x.mT
    product = factor = _gram_polynomial(gram)
    for _ in range(_ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = _gram_polynomial(gram)
        product = factor @ product
    return product @ x


def _gram_polynomial(gram: Tensor) -> Tensor:
    a, b, c = _COEFFICIENTS
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
    return factor
