"""precision.mode = "fp8": the encoder's linear layers multiply in 8 bits, by torchao; the rest in bf16.

The rest is the head; products too small to gain, which leaves of BERT-large's layers those of q, k and v and the first
of the feed-forward; and the last layer, which computes the predicted positions alone: they are few, and their number
need not be the multiple of 16 that the backward product's inner side must be.

An opt-in that has to prove itself by loss over time: published gains at these widths go from a slowdown to a sixth.
Tests run torchao's 8-bit products on CPU, eager and compiled; nothing of it has run on a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import torch
from torch import nn

from bertd.errors import DeviceError
from bertd.model.encoder import MaskedLanguageModel

_RECIPE = "tensorwise"
"""One scale a tensor: by torchao's own figures the other kinds do not pay below width 2,048."""
_MULTIPLE = 16
"""What cuBLAS asks of both sides of a matrix in 8 bits."""
_SMALL_IN, _SMALL_OUT = 4096, 1024
"""Products up to here lose more by the scaling than they gain. Source: torchao's filter for this recipe."""
_MIN_CAPABILITY = (8, 9)
_REMEDY = 'or use precision.mode = "bf16"'


def require_float8(device: torch.device) -> None:
    """Refuse what cannot work, before anything is built.

    Raises:
        DeviceError: not a GPU with 8-bit products, or torchao is not there.
    """
    if device.type != "cuda":
        raise DeviceError(f'[precision] mode = "fp8": needs a GPU, and this run is on {device.type}; {_REMEDY}')
    if torch.cuda.get_device_capability(device) < _MIN_CAPABILITY:
        name = torch.cuda.get_device_name(device)
        raise DeviceError(f'[precision] mode = "fp8": {name} has no 8-bit products (Ada, Hopper and later); {_REMEDY}')
    load_torchao()


def load_torchao() -> Any:
    """The module torchao.float8.

    Raises:
        DeviceError: it is not installed, or does not import beside this PyTorch.
    """
    if importlib.util.find_spec("torchao") is None:
        raise DeviceError(f'[precision] mode = "fp8": torchao is not installed; pip install torchao, {_REMEDY}')
    try:
        return importlib.import_module("torchao.float8")
    except (ImportError, RuntimeError, AttributeError) as error:
        raise DeviceError(
            f'[precision] mode = "fp8": torchao does not import beside PyTorch {torch.__version__}: {error}; install '
            f"the torchao made for it, {_REMEDY}"
        ) from error


def use_float8(model: MaskedLanguageModel) -> None:
    """Put torchao's linear layers in the place of the encoder's larger ones; parameters and their names stay.

    Raises:
        DeviceError: torchao is not there, or no product is large enough.
    """
    float8 = load_torchao()

    last_layer_prefix = f"layers.{model.config.layers - 1}."

    def should_convert(module: nn.Module, name: str) -> bool:
        if not isinstance(module, nn.Linear) or name.startswith(last_layer_prefix):
            return False
        if module.in_features <= _SMALL_IN and module.out_features <= _SMALL_OUT:
            return False
        return module.in_features % _MULTIPLE == 0 and module.out_features % _MULTIPLE == 0

    if not any(should_convert(module, name) for name, module in model.encoder.named_modules()):
        raise DeviceError(f'[precision] mode = "fp8": no product of this model is large enough to gain; {_REMEDY}')
    config = float8.Float8LinearConfig.from_recipe_name(_RECIPE)
    float8.convert_to_float8_training(model.encoder, module_filter_fn=should_convert, config=config)
