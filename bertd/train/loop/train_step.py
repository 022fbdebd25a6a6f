"""One optimizer update: forward and backward passes of the micro-batches, gradient clipping, optimizer step.

The loss is the mean over all predicted tokens of the global batch, on whatever ranks and micro-batches they are, so any
split of the same batch gives the same gradient. An update does not wait for the device
(tests/train/loop/test_train_step.py), except in fp16 with an optimizer other than PyTorch's fused AdamW: the loss
scaler must then read whether to skip the step.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass

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
from bertd.train.loop.step_reading import PendingReading
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


@dataclass(frozen=True)
class StepFigures:
    """The figures of an update that a report needs."""

    loss: float
    """Mean in nats over all ranks and the updates since the last reading."""
    grad_norm: float
    """Before clipping; nan where no update has computed it."""
    loss_scale: float
    """1 without a loss scaler."""
    num_overflows: int
    """Consecutive updates that overflowed at the lowest loss scale."""
    num_updates: int
    """Updates that the optimizer has carried out, as far as it counts them."""

    @property
    def is_scale_stuck(self) -> bool:
        """Whether fp16 may no longer represent the gradients: `require_usable_scale` decides."""
        return self.num_overflows >= _MAX_OVERFLOWS


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
            # Clip or measure the true gradient, without the loss scale.
            self.scaler.unscale_(self._optimizers.combined)
            self.grad_norm = (
                nn.utils.clip_grad_norm_(self._model.parameters(), clip) if clip > 0 else self._measure_norm()
            )
        # The scaler skips the step if a gradient overflowed.
        self._optimizers.set_learning_rate(lr)
        self.scaler.step(self._optimizers.combined)
        self._update_scale()

    def _measure_norm(self) -> Tensor:
        """The gradient's norm; clipping to infinity, which gives it too, would multiply every gradient by 1."""
        return nn.utils.get_total_norm(each.grad for each in self._model.parameters() if each.grad is not None)

    def _scale(self) -> Tensor:
        """The current loss scale, on the device."""
        scale: Tensor = self.scaler.scale(self._one)
        return scale

    def _update_scale(self) -> None:
        """Update the loss scale, not below its minimum, and count overflows at the minimum; all on the device."""
        if not self.scaler.is_enabled():
            return
        previous_scale = self._scale()
        self.scaler.update()
        new_scale = self._scale()
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
        """Whether updates were done since the last reading; the same on every rank."""
        return self._unread_updates > 0

    def skipped_steps(self, steps: int, *, num_updates: int | None = None) -> int:
        """How many of `steps` updates were skipped by fp16 overflow: fused AdamW counts only those it did.

        Args:
            steps: updates, skipped ones included.
            num_updates: of the figures of a reading; None reads it, which waits for the device.
        """
        if not self.scaler.is_enabled():
            return 0
        return steps - (self._optimizers.num_updates() if num_updates is None else num_updates)

    @property
    def unread_loss(self) -> Tensor:
        """Mean loss in nats of this rank since the last reading, on the device, without waiting for it."""
        return self._loss_sum / self._num_tokens

    def begin_reading(self) -> PendingReading:
        """Queue a copy of the figures since the last reading, without waiting; every rank must call."""
        device = self._ranks.device
        sums = self._ranks.all_reduce_sum(torch.stack([self._loss_sum, self._num_tokens]))
        nothing = torch.full((), torch.nan, device=device)
        is_scaled = self.scaler.is_enabled()
        others = [
            nothing if self.grad_norm is None else self.grad_norm,
            self._scale() if is_scaled else self._one,
            self._overflows,
            self._optimizers.count_updates(device) if is_scaled else nothing.nan_to_num(),
        ]
        values = torch.cat([sums, torch.stack([each.double() for each in others])])
        self.discard_loss()
        return PendingReading(values, device=device)

    def finish_reading(self, reading: PendingReading) -> StepFigures:
        """Wait for the figures."""
        loss_sum, num_tokens, grad_norm, loss_scale, num_overflows, num_updates = reading.wait()
        return StepFigures(
            loss=loss_sum / num_tokens if num_tokens else 0.0,
            grad_norm=grad_norm,
            loss_scale=loss_scale,
            num_overflows=int(num_overflows),
            num_updates=int(num_updates),
        )

    def take_loss(self) -> float:
        """Mean loss in nats over all ranks since the last reading; waits for the device; every rank must call."""
        return self.finish_reading(self.begin_reading()).loss

    def discard_loss(self) -> None:
        """Begin the mean loss again with the next update."""
        self._loss_sum.zero_()
        self._num_tokens.zero_()
        self._unread_updates = 0


def _scaler_dict(scaler: torch.amp.GradScaler, saved: ScalerState) -> dict[str, float]:
    return scaler.state_dict() | {"scale": saved.scale, "_growth_tracker": saved.growth_tracker}
