import importlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class FusedLAMB(torch.optim.Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        bias_correction: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        adam_w_mode: bool = True,
        grad_averaging: bool = True,
        set_grad_none: bool = True,
        max_grad_norm: float = 1.0,
        use_nvlamb: bool = False,
    ) -> None:
        assert adam_w_mode and grad_averaging and bias_correction and not (amsgrad or use_nvlamb)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "max_grad_norm": max_grad_norm}
        super().__init__(params, defaults)
        self.extension = importlib.import_module("amp_C")

    def zero_grad(self) -> None:  # type: ignore[override]  # as the original
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # as the original
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        if any(parameter.dtype not in (torch.float16, torch.float32) for parameter in parameters):
            raise RuntimeError("FusedLAMB only support fp16 and fp32.")
        norm = torch.nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None)
        for group in self.param_groups:
            group["step"] = group["step"] + 1 if "step" in group else 1
            limit = float(group["max_grad_norm"])
            clip = norm / limit if norm > limit else 1.0
            for parameter in group["params"]:
                state: dict[str, Tensor] = self.state[parameter]
                if not state:
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                self.extension.lamb(parameter, state["exp_avg"], state["exp_avg_sq"], group, clip)
