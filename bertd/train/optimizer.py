"""AdamW with its two groups: matrices decay, biases and norms do not."""

from __future__ import annotations

import torch
from torch import nn

from bertd.run.recipe import OptimizerSection


def build_optimizer(model: nn.Module, section: OptimizerSection) -> torch.optim.Optimizer:
    """One fused AdamW; its learning rate is set before each step.

    Source: Izsak et al. 2021, section 3; no decay on vectors as in Devlin et al. 2019's code.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": section.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=section.peak_lr, betas=section.betas, eps=section.eps, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Use `lr` for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr
