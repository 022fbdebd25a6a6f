"""Choose the number format of a run."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bertd.errors import DeviceError
from bertd.run.recipe.schema import PrecisionSection
from bertd.train.backends.float8 import require_float8


@dataclass(frozen=True)
class Precision:
    """The number format of the matrix products; weights are always fp32."""

    mode: str
    """bf16, fp16, fp32, or fp8, which means fp8 in the encoder's larger linear layers and bf16 elsewhere."""
    dtype: torch.dtype | None
    """For autocast; None disables it."""
    needs_scaler: bool
    """fp16 gradients underflow without a loss scale."""


_FP16_CAPABILITY = (7, 0)
"""Volta: the first with tensor cores. The GeForce GTX 16 series is Turing without them, and still fast in fp16."""
_TF32_CAPABILITY = (8, 0)
"""Ampere: the first with TF32, and with bf16."""


def find_unused_tf32(precision: Precision, device: torch.device) -> str | None:
    """Say that fp32 products leave the GPU's tensor cores unused; None where they do not, or it has no TF32."""
    if precision.mode != "fp32" or device.type != "cuda":
        return None
    if torch.cuda.get_device_capability(device) < _TF32_CAPABILITY or torch.get_float32_matmul_precision() != "highest":
        return None
    return (
        f'[precision] mode = "fp32": products are exact to fp32, with TF32 off, which leaves the tensor cores of '
        f'{torch.cuda.get_device_name(device)} unused; "bf16" uses them'
    )


def find_unused_fp16(precision: Precision, device: torch.device) -> str | None:
    """The same of a GPU whose tensor cores have fp16 alone; None for others."""
    if precision.mode != "fp32" or device.type != "cuda":
        return None
    if not _FP16_CAPABILITY <= torch.cuda.get_device_capability(device) < _TF32_CAPABILITY:
        return None
    return (
        f'[precision] mode = "fp32": the tensor cores of {torch.cuda.get_device_name(device)} compute in fp16 and are '
        'unused; "auto" uses them, with a loss scale'
    )


def choose_precision(section: PrecisionSection, device: torch.device) -> Precision:
    """Return the recipe's format, or for `auto` the best that the device has.

    Raises:
        DeviceError: the recipe asks for bf16 or fp8, and the GPU does not have it, or torchao is not installed; or it
            asks for a bf16 residual, and `auto` is not bf16 here.
    """
    mode = section.mode
    has_bf16 = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if mode == "auto":
        # On CPU without AMX bf16 is slower than fp32.
        mode = "fp32" if device.type == "cpu" else "bf16" if has_bf16 else "fp16"
    if mode == "bf16" and not has_bf16:
        name = torch.cuda.get_device_name(device)
        raise DeviceError(f'[precision] mode = "bf16": {name} has no bf16; use "fp16" or "auto"')
    if section.residual == "bf16" and mode in ("fp16", "fp32"):
        raise DeviceError(
            f'[precision] residual = "bf16": mode = "auto" is {mode} on this device; set residual = "fp32", or mode = '
            '"bf16" where the device has it'
        )
    if mode == "fp8":
        require_float8(device)
    dtypes = {"fp8": torch.bfloat16, "bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}
    return Precision(mode=mode, dtype=dtypes[mode], needs_scaler=mode == "fp16")
