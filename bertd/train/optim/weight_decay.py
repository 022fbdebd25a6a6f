"""Parameter groups for weight decay: matrices decay, biases and norms do not.

Source: Devlin et al. 2019's code; Izsak et al. 2021, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def decay_groups(parameters: Iterable[nn.Parameter], *, weight_decay: float) -> list[dict[str, object]]:
    """Parameter groups for a torch optimizer."""
    listed = list(parameters)
    return [
        {"params": [parameter for parameter in listed if parameter.dim() >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in listed if parameter.dim() < 2], "weight_decay": 0.0},
    ]
