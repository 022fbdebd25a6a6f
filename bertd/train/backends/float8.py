"""precision.mode = "fp8": the encoder's linear layers multiply in 8 bits with torchao, all others in bf16.

In bf16 are: the head; with fp8_products = "large", products that are too small to gain by torchao's figures, so that
in BERT-large only q, k and v and the first feed-forward layer use fp8; and the last layer, which computes only the
predicted positions: these are few, and their number is not always a multiple of 16, as the inner dimension of the
backward product must be.

This is opt-in until it proves itself by loss over time: published gains at these widths range from a slowdown to a
sixth. Each operand is scaled by its own largest value, which is a pass over it before the one that rounds it. Tests run
torchao's 8-bit products on CPU, eager and compiled; nothing here has run on a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Literal

import torch
from torch import nn

from bertd.errors import DeviceError
from bertd.model.encoder import MaskedLanguageModel

_RECIPE = "tensorwise"
"""One scale per tensor: by torchao's own figures the other recipes do not pay below width 2,048."""
_MULTIPLE = 16
"""cuBLAS requires multiples of this for both dimensions of an 8-bit matrix."""
_SMALL_IN, _SMALL_OUT = 4096, 1024
"""Products up to this size lose more by the scaling than they gain. Source: torchao's filter for this recipe."""
_MIN_CAPABILITY = (8, 9)
_REMEDY = 'or use precision.mode = "bf16"'


def require_float8(device: torch.device) -> None:
    """Check device and installation before anything is built.

    Raises:
        DeviceError: the device is not a GPU with 8-bit products, or torchao is not installed.
    """
    if device.type != "cuda":
        raise DeviceError(f'[precision] mode = "fp8": needs a GPU, and this run is on {device.type}; {_REMEDY}')
    if torch.cuda.get_device_capability(device) < _MIN_CAPABILITY:
        name = torch.cuda.get_device_name(device)
        raise DeviceError(f'[precision] mode = "fp8": {name} has no 8-bit products (Ada, Hopper and later); {_REMEDY}')
    load_torchao()


def load_torchao() -> Any:
    """Import torchao.float8.

    Raises:
        DeviceError: it is not installed, or cannot be imported with this PyTorch.
    """
    if importlib.util.find_spec("torchao") is None:
        raise DeviceError(f'[precision] mode = "fp8": torchao is not installed; pip install torchao, {_REMEDY}')
    try:
        return importlib.import_module("torchao.float8")
    except (ImportError, RuntimeError, AttributeError) as error:
        raise DeviceError(
            f'[precision] mode = "fp8": torchao cannot be imported with PyTorch {torch.__version__}: {error}; install '
            f"the torchao made for it, {_REMEDY}"
        ) from error


def use_float8(model: MaskedLanguageModel, *, products: Literal["large", "all"] = "large") -> None:
    """Replace the encoder's larger linear layers, or all, by torchao's; parameters and their names stay the same.

    Raises:
        DeviceError: torchao is not installed, or no product is large enough.
    """
    float8 = load_torchao()

    last_layer_prefix = f"layers.{model.config.layers - 1}."

    def should_convert(module: nn.Module, name: str) -> bool:
        if not isinstance(module, nn.Linear) or name.startswith(last_layer_prefix):
            return False
        if products == "large" and module.in_features <= _SMALL_IN and module.out_features <= _SMALL_OUT:
            return False
        return module.in_features % _MULTIPLE == 0 and module.out_features % _MULTIPLE == 0

    if not any(should_convert(module, name) for name, module in model.encoder.named_modules()):
        raise DeviceError(f'[precision] mode = "fp8": no product of this model is large enough to gain; {_REMEDY}')
    config = float8.Float8LinearConfig.from_recipe_name(_RECIPE)
    float8.convert_to_float8_training(model.encoder, module_filter_fn=should_convert, config=config)
