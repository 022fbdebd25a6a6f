"""LAMB: Adam's update, scaled per layer to a norm proportional to that of the weights.

Source: You et al. 2020, arXiv 1904.00962, algorithm 2, with bias correction and no bound on the trust ratio. Izsak et
al. 2021, section 3, found no significant difference to AdamW; LAMB is here to check that.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """Takes parameter groups as AdamW does; each has a weight_decay."""

    def __init__(self, groups: list[dict[str, object]], *, lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no loss is returned
        """Apply one update."""
        assert closure is None
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros((), device=parameter.device)
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                state["step"] += 1
                state["exp_avg"].lerp_(parameter.grad, 1 - beta1)
                state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
                mean = state["exp_avg"] / (1 - beta1 ** state["step"])
                spread = (state["exp_avg_sq"] / (1 - beta2 ** state["step"])).sqrt() + group["eps"]
                direction = mean / spread + group["weight_decay"] * parameter
                parameter.sub_(direction * _trust_ratio(parameter, direction) * group["lr"])


def _trust_ratio(parameter: Tensor, direction: Tensor) -> Tensor | float:
    """Scale of the update; 1 for vectors, which the authors' code does not adapt either."""
    if parameter.dim() < 2:
        return 1.0
    weight_norm, direction_norm = parameter.norm(), direction.norm()
    is_usable = (weight_norm > 0) & (direction_norm > 0)
    return torch.where(is_usable, weight_norm / direction_norm, 1.0)
