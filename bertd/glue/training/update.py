"""Optimizer updates of a finetuning, which never wait for the device; what a report needs stays there until it is read.

AdamW with the defaults of the 24hBERT finetuning code (betas 0.9 and 0.999, gradient norm clipped at 1). In bf16 and
fp16 the weights and the optimizer stay in fp32. In fp16 an update whose gradients overflow is skipped, and the loss
scale is halved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bertd.glue.kinds.kind import Kind
from bertd.glue.progress import ReadFigures, UpdateFigures
from bertd.glue.training.batches import PaddedBatch
from bertd.glue.training.forward import forward
from bertd.train.backends.precision import Precision
from bertd.train.optim.weight_decay import decay_groups

_BETAS = (0.9, 0.999)
_EPS = 1e-8
_CLIP = 1.0
"""Largest global gradient norm. Source: the 24hBERT finetuning example."""
_MIN_SCALE = 1.0
"""At a lower loss scale the gradient itself overflows fp16, 65,504 or more: training diverged."""


class Updates:
    """Does updates of one model."""

    def __init__(
        self, model: nn.Module, kind: Kind, *, weight_decay: float, device: torch.device, precision: Precision
    ) -> None:
        """`model` is on `device` and in training mode."""
        self._model = model
        self._kind = kind
        self._precision = precision
        groups = decay_groups(model.parameters(), weight_decay=weight_decay)
        # Fused: it skips an update that overflowed without asking the device.
        self._optimizer = torch.optim.AdamW(groups, betas=_BETAS, eps=_EPS, fused=True)
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision.needs_scaler)
        self._one = torch.ones((), device=device)
        self._step = torch.zeros((), device=device, dtype=torch.float64)
        self._loss_sum = torch.zeros((), device=device, dtype=torch.float64)
        # Of these: step, loss, gradient norm, loss scale.
        self._newest = torch.zeros(4, device=device, dtype=torch.float64)
        self._diverged = torch.zeros(4, device=device, dtype=torch.float64)
        self._unread_updates = 0

    def optimizer_tensors(self) -> dict[str, Tensor]:
        """The optimizer's state, as `parameter/slot`."""
        state = self._optimizer.state_dict()["state"]
        return {f"{number}/{slot}": tensor for number, slots in state.items() for slot, tensor in slots.items()}

    def scaler_state(self) -> dict[str, int | float]:
        """The state of fp16's gradient scaler; empty otherwise."""
        return dict(self._scaler.state_dict())

    def restore(self, tensors: dict[str, Tensor], *, scaler: dict[str, int | float], step: int) -> None:
        """Continue after `step` updates of an earlier attempt."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            number, slot = name.split("/")
            state.setdefault(int(number), {})[slot] = tensor
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(scaler)
        self._step += step

    def update(self, batch: PaddedBatch, *, lr: float) -> None:
        """Do one update; `batch` is on the device."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        loss = self._kind.loss(forward(self._model, batch, precision=self._precision), batch.targets)
        torch.autograd.backward(self._scaler.scale(loss))
        # Clip the true gradient, without the loss scale.
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), _CLIP)
        # Skipped if a gradient overflowed fp16; then the scale is halved.
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self._record(loss.detach(), norm)

    def _record(self, loss: Tensor, norm: Tensor) -> None:
        self._step += 1
        self._loss_sum += loss
        self._unread_updates += 1
        scale = self._scaler.scale(self._one)
        # In fp16 a gradient may overflow, until the loss is not scaled up at all.
        is_gradient_bad = scale < _MIN_SCALE if self._scaler.is_enabled() else ~torch.isfinite(norm)
        self._newest = torch.stack([self._step, loss.double(), norm.double(), scale.double()])
        is_first = (~torch.isfinite(loss) | is_gradient_bad) & (self._diverged[0] == 0)
        self._diverged = torch.where(is_first, self._newest, self._diverged)

    def read(self) -> ReadFigures:
        """Read the figures since the last call; the only wait for the device."""
        values = torch.cat([self._newest, self._diverged, self._loss_sum.reshape(1)]).tolist()
        mean_loss = values[-1] / self._unread_updates
        self._loss_sum.zero_()
        self._unread_updates = 0
        diverged = self._figures(values[4:8]) if values[4] else None
        return ReadFigures(mean_loss=mean_loss, newest=self._figures(values[:4]), diverged=diverged)

    def _figures(self, values: list[float]) -> UpdateFigures:
        step, loss, norm, scale = values
        return UpdateFigures(
            step=int(step), loss=loss, grad_norm=norm, loss_scale=scale if self._scaler.is_enabled() else None
        )
