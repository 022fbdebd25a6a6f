"""The optimizers of a run: AdamW, LAMB, or Muon on the hidden matrices with AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bertd.model.encoder import Attention, FeedForward, MaskedLanguageModel
from bertd.run.recipe.schema import OptimizerSection
from bertd.train.backends.apex.check import Feature
from bertd.train.backends.apex.detect import Apex
from bertd.train.backends.apex.modules import build_fused_adam, build_fused_lamb
from bertd.train.optim.lamb import Lamb
from bertd.train.optim.muon import Muon, StackedMatrices
from bertd.train.optim.weight_decay import decay_groups

_MUON_MOMENTUM = 0.95
"""Source: Jordan et al. 2024."""


class _CombinedOptimizer(torch.optim.Optimizer):
    """Several optimizers that step as one, so that a loss scaler skips a step for all of them or for none."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self._optimizers = optimizers

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no loss is returned
        assert closure is None
        for optimizer in self._optimizers:
            optimizer.step()


class Optimizers:
    """One or two torch optimizers that step together; each parameter belongs to exactly one."""

    def __init__(self, model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
        self._names = {parameter: name for name, parameter in model.named_parameters()}
        self._owners: dict[nn.Parameter, torch.optim.Optimizer] = {}
        self._groups: dict[nn.Parameter, dict[str, Any]] = {}
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                self._owners |= dict.fromkeys(group["params"], optimizer)
                self._groups |= dict.fromkeys(group["params"], group)
        assert self._owners.keys() == self._names.keys()
        self.optimizers = optimizers
        self.combined = optimizers[0] if len(optimizers) == 1 else _CombinedOptimizer(optimizers)
        """The optimizer to step, also by a loss scaler."""

    def set_learning_rate(self, lr: float) -> None:
        """Use `lr` from the next step on."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr

    def zero_grad(self, *, keeps_memory: bool = False) -> None:
        """Set the gradients to None; or, if something else such as DDP's buckets holds their memory, to 0."""
        if keeps_memory and (gradients := [each.grad for each in self._owners if each.grad is not None]):
            torch._foreach_zero_(gradients)
            return
        for parameter in self._owners:
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """All state, as `parameter/slot`; a step count that apex keeps per group is given for each parameter.

        With several ranks `gather_state` must be called before, on all; then rank 0 has all of it.
        """
        assert all(each.is_gathered for each in self.optimizers if isinstance(each, Muon))
        tensors: dict[str, Tensor] = {}
        for parameter, owner in self._owners.items():
            slots: dict[str, Tensor] = dict(owner.state.get(parameter, {}))
            if slots and "step" in self._groups[parameter]:
                slots["step"] = torch.tensor(float(self._groups[parameter]["step"]))
            tensors |= {f"{self._names[parameter]}/{slot}": value for slot, value in slots.items()}
        return tensors

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore the state that `tensors` returned.

        Raises:
            KeyError: a name is not that of a parameter.
        """
        parameters = {name: parameter for parameter, name in self._names.items()}
        for optimizer in self.optimizers:
            if isinstance(optimizer, Muon):
                optimizer.clear_state()
            optimizer.state.clear()
        for key, value in tensors.items():
            name, _, slot = key.rpartition("/")
            parameter = parameters[name]
            group = self._groups[parameter]
            if slot == "step" and "step" in group:
                group["step"] = int(value)
            else:
                self._owners[parameter].state[parameter][slot] = value.to(parameter.device)

    def gather_state(self) -> None:
        """Put the state that is spread over the ranks together on rank 0, for `tensors`; every rank must call."""
        for optimizer in self.optimizers:
            if isinstance(optimizer, Muon):
                optimizer.gather_state()

    def num_updates(self) -> int:
        """Updates that were carried out: fp16 overflow skips some, and AdamW counts only those it did."""
        return int(self._update_counter())

    def count_updates(self, device: torch.device) -> Tensor:
        """`num_updates` on the device, without waiting for it."""
        counter = self._update_counter()
        # A tensor made from a Python number would be copied, and the copy waits.
        return counter.to(device) if isinstance(counter, Tensor) else torch.full((), float(counter), device=device)

    def _update_counter(self) -> Tensor | int:
        counters = [
            counter for optimizer in self.optimizers for counter in (*optimizer.param_groups, *optimizer.state.values())
        ]
        found: Tensor | int = next((counter["step"] for counter in counters if "step" in counter), 0)
        return found


def build_optimizers(
    model: MaskedLanguageModel,
    section: OptimizerSection,
    *,
    apex: Apex | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> Optimizers:
    """Build the recipe's optimizers, from `apex` if it has them; the learning rate is set before each step."""
    apex = apex or Apex()
    if section.kind == "muon":
        return _build_muon(model, section, apex, rank=rank, world_size=world_size)
    groups = decay_groups(model.parameters(), weight_decay=section.weight_decay)
    build = _build_lamb if section.kind == "lamb" else _build_adamw
    return Optimizers(model, [build(groups, section, apex)])


def _build_adamw(groups: list[dict[str, object]], section: OptimizerSection, apex: Apex) -> torch.optim.Optimizer:
    if fused_class := apex.classes.get(Feature.ADAM):
        return build_fused_adam(fused_class, groups, lr=section.peak_lr, betas=section.betas, eps=section.eps)
    return torch.optim.AdamW(groups, lr=section.peak_lr, betas=section.betas, eps=section.eps, fused=True)


def _build_lamb(groups: list[dict[str, object]], section: OptimizerSection, apex: Apex) -> torch.optim.Optimizer:
    if fused_class := apex.classes.get(Feature.LAMB):
        return build_fused_lamb(fused_class, groups, lr=section.peak_lr, betas=section.betas, eps=section.eps)
    return Lamb(groups, lr=section.peak_lr, betas=section.betas, eps=section.eps)


def _build_muon(
    model: MaskedLanguageModel, section: OptimizerSection, apex: Apex, *, rank: int, world_size: int
) -> Optimizers:
    matrices: list[StackedMatrices] = []
    for module in model.encoder.layers.modules():
        if isinstance(module, Attention):
            matrices += [StackedMatrices(module.qkv.weight, 3), StackedMatrices(module.out.weight, 1)]
        if isinstance(module, FeedForward):
            matrices += [StackedMatrices(module.up.weight, 1), StackedMatrices(module.down.weight, 1)]
    muon = Muon(
        matrices,
        lr=section.peak_lr,
        weight_decay=section.weight_decay,
        momentum=_MUON_MOMENTUM,
        rank=rank,
        world_size=world_size,
    )
    hidden = {each.parameter for each in matrices}
    rest = [parameter for parameter in model.parameters() if parameter not in hidden]
    groups = decay_groups(rest, weight_decay=section.weight_decay)
    return Optimizers(model, [muon, _build_adamw(groups, section, apex)])
