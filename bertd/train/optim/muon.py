"""Muon: SGD with momentum whose update matrices are orthogonalised before they are applied.

Each matrix's momentum G is replaced by nearly the closest matrix with all singular values equal, found by five
Newton-Schulz iterations on X = G / |G|:  X <- a X + (b A + c A A) X,  A = X X'.

The result is that of torch.optim.Muon with adjust_lr_fn="match_rms_adamw" (tests/train/optim/test_muon.py), with three
differences in the computation: q, k and v, which share one parameter, are orthogonalised separately; matrices of one
shape are worked on as one batch; and with several ranks, which all have the same gradient, each rank keeps the
momentum of a share of the matrices, orthogonalises these, and gathers the updates of the others. A checkpoint has the
momentum of all matrices, whatever the number of ranks. Where bf16 is emulated, on CPUs and on GPUs before Ampere, the
iterations run in fp32. For a wide or tall matrix they then run on A alone, which is smaller: the result is P X with a
polynomial P in A.

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
from torch import Tensor

from bertd.train.optim.symmetric_product import SymmetricProduct, choose_symmetric_product, multiply_by_torch

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
        self._momentum = momentum
        self._rank, self._world_size = rank, world_size
        # Group parameters by the shape of their matrices, to work on each group as one batch.
        by_shape: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
        for each in matrices:
            rows, columns = each.parameter.shape
            by_shape[rows // each.num_blocks, columns].append(each.parameter)
        self._stacks = [
            _MomentumStack(parameters, shape, rank=rank, world_size=world_size)
            for shape, parameters in by_shape.items()
        ]
        self._is_gathered = world_size == 1

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no loss is returned
        """Apply one update; every rank must call, with equal gradients."""
        assert closure is None
        (group,) = self.param_groups
        self._adopt_state()
        self._is_gathered = self._world_size == 1
        for stack in self._stacks:
            directions = self._update_momentum(stack)
            if stack.product is None:
                stack.product = self._choose_product(stack, directions)
            updates = self._gather(orthogonalise(directions, product=stack.product))
            # A matrix with all singular values 1 has RMS 1 / sqrt(max(rows, columns)): scale it to that of AdamW.
            rate = group["lr"] * _RMS_OF_ADAMW * math.sqrt(max(stack.shape))
            # Decoupled weight decay as in AdamW, then the update.
            torch._foreach_mul_(stack.parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(stack.parameters, stack.split(updates), alpha=-rate)

    def _choose_product(self, stack: _MomentumStack, directions: Tensor) -> SymmetricProduct:
        """What multiplies the stack's matrices by their transposes, for all steps: tried on those of the first."""
        x, _ = _normalise(directions)
        choice = choose_symmetric_product(x)
        if x.is_cuda and self._rank == 0:
            rows, columns = stack.shape
            print(f"muon: {rows} x {columns}: {choice.reason}", flush=True)
        return choice.product

    @torch.no_grad()
    def gather_state(self) -> None:
        """Put the momentum of all matrices into rank 0's state; every rank must call, before `state` is saved."""
        self._adopt_state()
        if self._is_gathered:
            return
        for stack in self._stacks:
            if stack.momentum is not None:
                gathered = self._gather(stack.momentum, out=stack.all_momentum)
                if self._rank == 0:
                    self._publish(stack, gathered)
        self._is_gathered = True

    @property
    def is_gathered(self) -> bool:
        """Whether `state` has the momentum of all matrices, as far as this rank saves it."""
        return self._is_gathered

    def clear_state(self) -> None:
        """Forget all momentum."""
        self.state.clear()
        self.release_batches()
        self._is_gathered = self._world_size == 1

    def release_batches(self) -> None:
        """Keep the momentum in `state` alone, from which the next step takes it over again; for one rank."""
        for stack in self._stacks:
            stack.momentum = stack.all_momentum = None
            stack.published = []

    def _adopt_state(self) -> None:
        """Take over the momentum that `state` was given, by a checkpoint or by a move to another device."""
        for stack in self._stacks:
            given = [self.state[each].get("momentum") for each in stack.parameters if each in self.state]
            if not given or list(map(id, given)) == list(map(id, stack.published)):
                continue
            self._set_momentum(stack, stack.stack_share([each for each in given if each is not None]))

    def _set_momentum(self, stack: _MomentumStack, share: Tensor) -> None:
        """Begin with the momentum of this rank's share."""
        stack.momentum, stack.published = share, []
        if self._world_size == 1:
            self._publish(stack, share)
            return
        for parameter in stack.parameters:
            self.state.pop(parameter, None)
        if self._rank == 0:
            # Rank 0 saves: its share is the first part of the memory in which all shares are gathered.
            stack.all_momentum = share.new_empty(self._world_size * len(share), *share.shape[1:])
            stack.momentum = stack.all_momentum[: len(share)].copy_(share)

    def _publish(self, stack: _MomentumStack, momentum: Tensor) -> None:
        """Show the momentum of all matrices in `state`, for each parameter in its shape."""
        stack.published = stack.split(momentum)
        for parameter, view in zip(stack.parameters, stack.published, strict=True):
            self.state[parameter]["momentum"] = view

    def _update_momentum(self, stack: _MomentumStack) -> Tensor:
        """Update the running mean of this rank's gradients, and return the Nesterov direction, a mix of both."""
        gradients: list[Tensor] = []
        for parameter in stack.parameters:
            assert parameter.grad is not None
            gradients.append(parameter.grad)
        share = stack.stack_share(gradients)
        if stack.momentum is None:
            self._set_momentum(stack, torch.zeros_like(share))
        assert stack.momentum is not None
        stack.momentum.lerp_(share, 1 - self._momentum)
        return share.lerp(stack.momentum, self._momentum)

    def _gather(self, share: Tensor, *, out: Tensor | None = None) -> Tensor:
        """All ranks' shares in order, the padding at the end."""
        if self._world_size == 1:
            return share
        if out is None:
            out = share.new_empty(self._world_size * len(share), *share.shape[1:])
        dist.all_gather_into_tensor(out, share.contiguous())
        return out


class _MomentumStack:
    """The matrices of one shape, and the momentum of this rank's share of them as one batch."""

    def __init__(self, parameters: list[Tensor], shape: tuple[int, int], *, rank: int, world_size: int) -> None:
        self.parameters = parameters
        self.shape = shape
        self._num_blocks = [each.numel() // (shape[0] * shape[1]) for each in parameters]
        # Every rank has the same number, filled up with zero matrices, so that one collective gathers them in order.
        self._num_per_rank = -(-sum(self._num_blocks) // world_size)
        self._begin = rank * self._num_per_rank
        self.product: SymmetricProduct | None = None
        """None before the first step."""
        self.momentum: Tensor | None = None
        """Of the share; None before the first step."""
        self.all_momentum: Tensor | None = None
        """Rank 0 of several: memory for the momentum of all matrices; `momentum` is its first part."""
        self.published: list[Tensor] = []
        """Views of all momentum, as the optimizer's state shows them."""

    def stack_share(self, tensors: list[Tensor]) -> Tensor:
        """Copy this rank's share of the parameters' matrices into one batch."""
        pieces, position = list[Tensor](), 0
        for tensor, num_blocks in zip(tensors, self._num_blocks, strict=True):
            begin, end = (min(max(each - position, 0), num_blocks) for each in self._range())
            if end > begin:
                pieces.append(tensor.view(num_blocks, *self.shape)[begin:end])
            position += num_blocks
        num_missing = self._num_per_rank - sum(map(len, pieces))
        if num_missing:
            pieces.append(tensors[0].new_zeros(num_missing, *self.shape))
        return torch.cat(pieces)

    def split(self, stacked: Tensor) -> list[Tensor]:
        """Views of a batch of all matrices, one for each parameter in its shape; padding at the end is left out."""
        parts = torch.split(stacked[: sum(self._num_blocks)], self._num_blocks)
        return [part.reshape(each.shape) for part, each in zip(parts, self.parameters, strict=True)]

    def _range(self) -> tuple[int, int]:
        return self._begin, self._begin + self._num_per_rank


def orthogonalise(stacked: Tensor, *, product: SymmetricProduct = multiply_by_torch) -> Tensor:
    """Bring all singular values of each matrix near 1; the shape is (number, rows, columns)."""
    x, is_tall = _normalise(stacked)
    # Not in bf16: A has the squares of the singular values, too wide a range for 8 bits of precision.
    is_wide = x.size(-1) >= _WIDE_RATIO * x.size(-2) and x.dtype is not torch.bfloat16
    x = _newton_schulz_on_gram(x) if is_wide else _newton_schulz(x, product=product)
    return x.mT if is_tall else x


def _normalise(stacked: Tensor) -> tuple[Tensor, bool]:
    """The matrices where the iteration converges, in the type to iterate in; and whether they are transposed for it."""
    has_bf16 = stacked.is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    x = stacked.bfloat16() if has_bf16 else stacked
    # Iterate on the orientation with fewer rows: its A = X X' is the smaller Gram matrix.
    is_tall = x.size(-2) > x.size(-1)
    if is_tall:
        x = x.mT
    # The Frobenius norm bounds the largest singular value, so all are in 0..1, where the iteration converges.
    return x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=_EPS), is_tall


def _newton_schulz(x: Tensor, *, product: SymmetricProduct = multiply_by_torch) -> Tensor:
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        # A = X X';  X <- a X + (b A + c A A) X
        gram = product(x)
        x = torch.baddbmm(x, product(gram, add=gram, beta=b, alpha=c), x, beta=a)
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
