"""One optimizer update: forward and backward passes of the micro-batches, gradient clipping, optimizer step.

The loss is the mean over all predicted tokens of the global batch, on whatever ranks and micro-batches they are, so any
split of the same batch gives the same gradient. An update does not wait for the device, except in fp16 with an
optimizer other than PyTorch's fused AdamW: the loss scaler must then read whether to skip the step.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from bertd.data.batches.batches import TrainBatches
from bertd.data.batches.masking import IGNORE_INDEX
from bertd.errors import NumericsError
from bertd.model.encoder import MaskedLanguageModel
from bertd.run.recipe.schema import Recipe
from bertd.train.backends.precision import Precision
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.loss_fn import ForwardPass
from bertd.train.optim.optimizer import Optimizers
from bertd.train.state import ScalerState

_INITIAL_SCALE = 2.0**16
_MIN_SCALE = 1.0
"""A lower scale would only shrink gradients that fp16 can represent. Source: min_loss_scale of the original code."""
_MAX_OVERFLOWS = 100
"""Consecutive updates that overflow at the lowest scale before the run fails."""


def dropout_seed(seed: int, *, rank: int, step: int) -> int:
    """Derive a 63-bit seed that differs for every rank and step."""
    digest = hashlib.blake2b(f"dropout {seed} {rank} {step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class TrainStep:
    """Does updates, and accumulates on the device what the next report needs."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        model: MaskedLanguageModel,
        forward: ForwardPass,
        optimizers: Optimizers,
        batches: TrainBatches,
        ranks: Ranks,
        precision: Precision,
        scaler: ScalerState | None,
    ) -> None:
        """`scaler` is the loss scale of a checkpoint; None for the initial one."""
        self._recipe = recipe
        self._model = model
        self._optimizers = optimizers
        self._batches = batches
        self._ranks = ranks
        self.scaler = torch.amp.GradScaler(ranks.device.type, init_scale=_INITIAL_SCALE, enabled=precision.needs_scaler)
        self.load_scaler(scaler)
        self.forward = forward
        self._loss_sum = torch.zeros((), device=ranks.device, dtype=torch.float64)
        self._num_tokens = torch.zeros((), device=ranks.device, dtype=torch.float64)
        self._unread_updates = 0
        self._one = torch.ones((), device=ranks.device)
        self._overflows = torch.zeros((), device=ranks.device, dtype=torch.int64)
        self.grad_norm: Tensor | None = None
        """Norm before clipping, of the newest update that computed it."""

    def load_scaler(self, saved: ScalerState | None) -> None:
        """Restore the loss scale of a checkpoint; None if the checkpoint has none."""
        if saved is not None:
            self.scaler.load_state_dict(_scaler_dict(self.scaler, saved))

    @property
    def scaler_state(self) -> ScalerState | None:
        """The current loss scale, or None without one; reading it waits for the device."""
        if not self.scaler.is_enabled():
            return None
        values = self.scaler.state_dict()
        return ScalerState(scale=values["scale"], growth_tracker=values["_growth_tracker"])

    def update(self, *, step: int, lr: float, wants_norm: bool) -> None:
        """Do update number `step` (from 0) at rate `lr`; `wants_norm` computes the norm even without clipping."""
        # Seed dropout by step and rank, so that a checkpoint needs no generator state and ranks draw different masks.
        torch.manual_seed(dropout_seed(self._recipe.run.seed, rank=self._ranks.rank, step=step))
        # Load all micro-batches first: the loss of each is divided by the predicted tokens of the whole update.
        micro_batches = [self._batches.next_micro_batch() for _ in range(self._batches.accumulation)]
        num_tokens = torch.stack([(batch.labels_BM != IGNORE_INDEX).sum() for batch in micro_batches]).sum()
        self._num_tokens += num_tokens
        # DDP averages gradients over ranks, so multiply by their number to get the mean over the tokens of all ranks.
        scale = self._ranks.world_size / self._ranks.all_reduce_sum(num_tokens)
        # Accumulate gradients; the ranks reduce them once, in the backward pass of the last micro-batch.
        self._optimizers.zero_grad(keeps_memory=self.forward.uses_ddp)
        for index, batch in enumerate(micro_batches):
            is_last = index == len(micro_batches) - 1
            with nullcontext() if is_last else self.forward.no_gradient_sync():
                loss_sum = self.forward.loss(batch)
                self.scaler.scale(loss_sum * scale).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self._loss_sum += loss_sum.detach()
        self._unread_updates += 1
        self._clip_and_step(lr=lr, wants_norm=wants_norm)

    def _clip_and_step(self, *, lr: float, wants_norm: bool) -> None:
        clip = self._recipe.optimizer.clip
        if clip > 0 or wants_norm:
            # Clip the true gradient, without the loss scale.
            self.scaler.unscale_(self._optimizers.combined)
            self.grad_norm = nn.utils.clip_grad_norm_(self._model.parameters(), clip if clip > 0 else torch.inf)
        # The scaler skips the step if a gradient overflowed.
        self._optimizers.set_learning_rate(lr)
        self.scaler.step(self._optimizers.combined)
        self._update_scale()

    def _update_scale(self) -> None:
        """Update the loss scale, not below its minimum, and count overflows at the minimum; all on the device."""
        if not self.scaler.is_enabled():
            return
        previous_scale = self.scaler.scale(self._one)
        self.scaler.update()
        new_scale = self.scaler.scale(self._one)
        is_stuck = (new_scale < previous_scale) & (previous_scale <= _MIN_SCALE)
        self._overflows = torch.where(is_stuck, self._overflows + 1, 0)
        self.scaler.update(new_scale.clamp(min=_MIN_SCALE))

    def require_usable_scale(self, step: int) -> None:
        """Check after `step` updates that fp16 can still represent the gradients; waits for the device.

        Raises:
            NumericsError: they have overflowed for too long at the lowest loss scale; the same on every rank.
        """
        if self.scaler.is_enabled() and int(self._overflows) >= _MAX_OVERFLOWS:
            raise NumericsError(
                f"step {step}: the gradients overflow fp16 at loss scale {self.scaler.get_scale():g}, and the last "
                f"{int(self._overflows)} updates were skipped; the newest checkpoint has the weights from before: set "
                'precision.mode = "bf16" or "fp32", or lower optimizer.peak_lr, and submit again'
            )

    @property
    def has_unread_loss(self) -> bool:
        """Whether updates were done since `take_loss`; the same on every rank."""
        return self._unread_updates > 0

    def skipped_steps(self, steps: int) -> int:
        """How many of `steps` updates were skipped by fp16 overflow: fused AdamW counts only those it did."""
        if not self.scaler.is_enabled():
            return 0
        return steps - self._optimizers.num_updates()

    @property
    def unread_loss(self) -> Tensor:
        """Mean loss in nats of this rank since `take_loss`, on the device, without waiting for it."""
        return self._loss_sum / self._num_tokens

    def take_loss(self) -> float:
        """Mean loss in nats over all ranks since the last call; waits for the device; every rank must call."""
        sums = self._ranks.all_reduce_sum(torch.stack([self._loss_sum, self._num_tokens]))
        loss_sum, num_tokens = sums.tolist()
        self._loss_sum.zero_()
        self._num_tokens.zero_()
        self._unread_updates = 0
        return loss_sum / num_tokens if num_tokens else 0.0


def _scaler_dict(scaler: torch.amp.GradScaler, saved: ScalerState) -> dict[str, float]:
    return scaler.state_dict() | {"scale": saved.scale, "_growth_tracker": saved.growth_tracker}
