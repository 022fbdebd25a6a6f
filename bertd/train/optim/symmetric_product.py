"""alpha X X' + beta A, where A is symmetric: by PyTorch, or by an own kernel that computes half of it and mirrors it.

The own kernel is used on CUDA alone, in 16 bits, where it is right on the very operand and faster than PyTorch's there.
A run with precision.deterministic takes PyTorch's, since the choice is made by time. It has not run on a GPU: tests run
it in Triton's interpreter, and stand-ins in its place.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bertd.train.backends.synchronize import synchronize
from bertd.train.backends.triton_attention import why_unavailable

_BLOCK_R = 128
_BLOCK_C = 64
_NUM_WARPS = 8
_NUM_STAGES = 3
"""The last four: usual for 16-bit products on Ampere and later; not measured here."""
_TOLERANCE = 1e-2
"""Norm of the difference from the product in fp32, over its norm: bf16 has eight bits."""
_ROUNDS = 5


class SymmetricProduct(Protocol):
    """Computes alpha X X' + beta A."""

    def __call__(self, x: Tensor, *, add: Tensor | None = None, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
        """Multiply each matrix by its transpose.

        Args:
            x: (number, rows, columns).
            add: A, (number, rows, rows), symmetric.
        """


@dataclass(frozen=True)
class ProductChoice:
    """What multiplies matrices of one shape."""

    product: SymmetricProduct
    reason: str
    """Why it is used, as text."""


def multiply_by_torch(x: Tensor, *, add: Tensor | None = None, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    """See SymmetricProduct."""
    if add is None:
        product = x @ x.mT
        return product if alpha == 1.0 else product * alpha
    return torch.baddbmm(add, x, x.mT, beta=beta, alpha=alpha)


def multiply_by_own_kernel(x: Tensor, *, add: Tensor | None = None, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    """See SymmetricProduct.

    Raises:
        RuntimeError: Triton cannot compile or start the kernel.
    """
    import triton
    from triton.errors import TritonError

    from bertd.train.backends.triton_symmetric_product import multiply_by_transpose_tile

    x = x.contiguous()
    num_matrices, rows, columns = x.shape
    out = x.new_empty(num_matrices, rows, rows)
    is_interpreted = triton.knobs.runtime.interpret
    tiles = triton.cdiv(rows, _BLOCK_R)
    try:
        multiply_by_transpose_tile[(tiles, tiles, num_matrices)](
            x,
            # Where there is none, any pointer will do: it is not read.
            x if add is None else add.contiguous(),
            out,
            alpha,
            beta,
            R=rows,
            C=columns,
            HAS_ADD=add is not None,
            BLOCK_R=_BLOCK_R,
            BLOCK_C=_BLOCK_C,
            # The interpreter keeps bf16 as integers and would multiply these.
            IN_FP32=is_interpreted,
            num_warps=_NUM_WARPS,
            num_stages=_NUM_STAGES,
        )
    except (TritonError, OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"bertd's symmetric product: {type(error).__name__}: {error}") from error
    return out


def choose_symmetric_product(
    x: Tensor,
    *,
    own: SymmetricProduct = multiply_by_own_kernel,
    why_not: Callable[[torch.device], str | None] = why_unavailable,
    time_call: Callable[[Callable[[], Tensor]], float] | None = None,
) -> ProductChoice:
    """Choose for matrices of this shape, type and device, by trying both on these.

    Args:
        x: (number, rows, columns); not modified.
        own: the kernel to try.
        why_not: why it cannot run on a device.
        time_call: seconds of a call.
    """
    reason = _why_not_tried(x, why_not)
    if reason is not None:
        return ProductChoice(multiply_by_torch, reason)
    try:
        fault = _find_fault(x, own)
    except RuntimeError as error:
        fault = f"it raised {str(error).partition(chr(10))[0]}"
    if fault is not None:
        return ProductChoice(multiply_by_torch, f"our own kernel is not used: {fault}")
    seconds_of = time_call or _median_seconds
    own_s, torch_s = seconds_of(lambda: own(x)), seconds_of(lambda: multiply_by_torch(x))
    if own_s >= torch_s:
        return ProductChoice(multiply_by_torch, f"our own kernel takes {own_s / torch_s:.2f} of PyTorch's time")
    return ProductChoice(own, f"our own kernel takes {own_s / torch_s:.2f} of PyTorch's time")


def _why_not_tried(x: Tensor, why_not: Callable[[torch.device], str | None]) -> str | None:
    unavailable = why_not(x.device)
    if unavailable is not None:
        return f"our own kernel is not tried: {unavailable}"
    if x.dtype not in (torch.bfloat16, torch.float16):
        return f"our own kernel is not tried: the matrices are in {str(x.dtype).removeprefix('torch.')}"
    if torch.are_deterministic_algorithms_enabled():
        return "our own kernel is not tried: precision.deterministic chooses nothing by time"
    return None


def _find_fault(x: Tensor, own: SymmetricProduct) -> str | None:
    """What is wrong with the kernel's results on x, and on their product with a term added; None for nothing."""
    gram = own(x)
    for what, computed, operand, add in (
        ("X X'", gram, x, None),
        ("A + A A'", own(gram, add=gram, beta=1.0), gram, gram),
    ):
        reference = operand.float() @ operand.float().mT
        if add is not None:
            reference = reference + add.float()
        difference = float((computed.float() - reference).norm() / reference.norm())
        if not difference <= _TOLERANCE:
            return f"{what} differs by {difference:.2g} from fp32 mathematics"
        if not torch.equal(computed, computed.mT):
            return f"{what} is not symmetric"
    return None


def _median_seconds(call: Callable[[], Tensor]) -> float:
    times = []
    for _ in range(_ROUNDS):
        device = call().device
        synchronize(device)
        began_s = time.perf_counter()
        for _ in range(_ROUNDS):
            call()
        synchronize(device)
        times.append((time.perf_counter() - began_s) / _ROUNDS)
    return statistics.median(times)
