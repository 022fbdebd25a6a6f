"""As torchao.float8: linear layers are replaced in place by a subclass with the same parameters.

The real one multiplies in 8 bits. This one rounds inputs and weights to them and multiplies in the input's own format,
which is what torchao does where Float8LinearConfig(emulate=True).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Float8LinearConfig:
    """What is scaled together."""

    recipe_name: str

    @staticmethod
    def from_recipe_name(recipe_name: str) -> Float8LinearConfig:
        """tensorwise, rowwise or rowwise_with_gw_hp."""
        assert recipe_name in ("tensorwise", "rowwise", "rowwise_with_gw_hp")
        return Float8LinearConfig(recipe_name)


class Float8Linear(nn.Linear):
    """Rounds both factors."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(_rounded(input), _rounded(self.weight), self.bias)


def _rounded(tensor: Tensor) -> Tensor:
    scale = 448.0 / tensor.detach().abs().max().clamp(min=1e-12)
    in_8_bits = (tensor.detach() * scale).to(torch.float8_e4m3fn).to(tensor.dtype) / scale
    return tensor + (in_8_bits - tensor.detach())


def convert_to_float8_training(
    module: nn.Module,
    *,
    module_filter_fn: Callable[[nn.Module, str], bool] | None = None,
    config: Float8LinearConfig | None = None,
) -> nn.Module:
    """Swap the linear layers that the filter lets pass."""
    assert config is not None
    for path, child in list(module.named_modules()):
        if type(child) is nn.Linear and (module_filter_fn is None or module_filter_fn(child, path)):
            parent = module.get_submodule(path.rpartition(".")[0])
            swapped = Float8Linear(child.in_features, child.out_features, bias=child.bias is not None, device="meta")
            swapped.weight, swapped.bias = child.weight, child.bias
            setattr(parent, path.rpartition(".")[2], swapped)
    return module
