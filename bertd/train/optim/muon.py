"""Muon: SGD with momentum whose update matrices are orthogonalised before they are applied.

Each matrix's momentum G is replaced by nearly the closest matrix with all singular values equal, found by five
Newton-Schulz iterations on X = G / |G|:  X <- a X + (b A + c A A) X,  A = X X'.

The result is that of torch.optim.Muon with adjust_lr_fn="match_rms_adamw" (tests/train/optim/test_muon.py), with three
differences in the computation: q, k and v, which share one parameter, are orthogonalised separately; matrices of one
shape are iterated as one batch; and with several ranks, which all have the same gradient, each rank orthogonalises a
share of the matrices and gathers the others. Where bf16 is emulated, on CPUs and on GPUs before Ampere, the iterations
run in fp32. For a wide or tall matrix they then run on A alone, which is smaller: the result is P X with a polynomial P
in A.

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
"""Columns per row from which iterating on the Gram matrix A = X X' is less work."""
_RMS_OF_ADAMW = 0.2
"""Typical root mean square of an AdamW update, so that one peak rate serves both."""


@dataclass(frozen=True)
class StackedMatrices:
    """A parameter that consists of `num_blocks` matrices of equal shape, concatenated along dimension 0."""

    parameter: Tensor
    num_blocks: int


class Muon(torch.optim.Optimizer):
    """Optimizer of the hidden matrices; AdamW updates vectors, embeddings and the head."""

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
        """`momentum` is Nesterov's; `rank` and `world_size` define this rank's share of the matrices."""
        super().__init__([each.parameter for each in matrices], {"lr": lr, "weight_decay": weight_decay})
        self._num_blocks = {each.parameter: each.num_blocks for each in matrices}
        self._momentum = momentum
        self._rank, self._world_size = rank, world_size

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no loss is returned
        """Apply one update; every rank must call, with equal gradients."""
        assert closure is None
        (group,) = self.param_groups
        # Group parameters by the shape of their matrices, to orthogonalise each group as one batch.
        by_shape: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            rows, columns = parameter.shape
            by_shape[rows // self._num_blocks[parameter], columns].append(parameter)
        for (rows, columns), parameters in by_shape.items():
            directions = [self._update_momentum(parameter).view(-1, rows, columns) for parameter in parameters]
            updates = torch.split(
                self._orthogonalise_distributed(torch.cat(directions)), [len(each) for each in directions]
            )
            # A matrix with all singular values 1 has RMS 1 / sqrt(max(rows, columns)): scale it to that of AdamW.
            rate = group["lr"] * _RMS_OF_ADAMW * math.sqrt(max(rows, columns))
            # Decoupled weight decay as in AdamW, then the update.
            for parameter, update in zip(parameters, updates, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.reshape(parameter.shape).to(parameter.dtype), alpha=-rate)

    def _update_momentum(self, parameter: Tensor) -> Tensor:
        """Update the running mean of the gradient, and return the Nesterov direction, a mix of both."""
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - self._momentum)
        return gradient.lerp(state["momentum"], self._momentum)

    def _orthogonalise_distributed(self, stacked: Tensor) -> Tensor:
        """Orthogonalise a stack of matrices that is equal on all ranks; each rank computes an equal share."""
        if self._world_size == 1:
            return orthogonalise(stacked)
        num_matrices = len(stacked)
        # Pad with zero matrices, so that every rank has the same number and one collective gathers them in order.
        num_per_rank = -(-num_matrices // self._world_size)
        padded = nn.functional.pad(stacked, (0, 0, 0, 0, 0, num_per_rank * self._world_size - num_matrices))
        local = orthogonalise(padded[self._rank * num_per_rank : (self._rank + 1) * num_per_rank])
        gathered = torch.empty(padded.shape, dtype=local.dtype, device=local.device)
        dist.all_gather_into_tensor(gathered, local.contiguous())
        return gathered[:num_matrices]


def orthogonalise(stacked: Tensor) -> Tensor:
    """Bring all singular values of each matrix near 1; the shape is (number, rows, columns)."""
    has_bf16 = stacked.is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    x = stacked.bfloat16() if has_bf16 else stacked
    # Iterate on the orientation with fewer rows: its A = X X' is the smaller Gram matrix.
    is_tall = x.size(-2) > x.size(-1)
    if is_tall:
        x = x.mT
    # The Frobenius norm bounds the largest singular value, so all are in 0..1, where the iteration converges.
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=_EPS)
    # Not in bf16: A has the squares of the singular values, too wide a range for 8 bits of precision.
    is_wide = x.size(-1) >= _WIDE_RATIO * x.size(-2) and x.dtype is not torch.bfloat16
    x = _newton_schulz_on_gram(x) if is_wide else _newton_schulz(x)
    return x.mT if is_tall else x


def _newton_schulz(x: Tensor) -> Tensor:
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        # A = X X';  X <- a X + (b A + c A A) X
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _newton_schulz_on_gram(x: Tensor) -> Tensor:
    """Do the same iterations on A alone: X <- F X with F = a I + b A + c A A turns A into F A F, as F is symmetric."""
    gram = x @ x.mT
    # P is the product of the factors F of all iterations; only the last line multiplies by the wide X.
    product = factor = _gram_polynomial(gram)
    for _ in range(_ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = _gram_polynomial(gram)
        product = factor @ product
    return product @ x


def _gram_polynomial(gram: Tensor) -> Tensor:
    """The factor F = a I + b A + c A A of one iteration."""
    a, b, c = _COEFFICIENTS
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
    return factor
