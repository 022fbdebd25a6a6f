"""Our own attention kernel for short sequences, in Triton: over the packed products, as the linear layers make them.

PyTorch's kernels want q, k and v as three tensors, and their three gradients have to be copied into one for the
product's backward pass. This one reads the product (B, S, 3, H, K) and writes its gradient, both whole; in the last
layer, where few positions ask, q is a tensor of its own and the product has k and v. triton_attention_kernels.py has
the mathematics.

Opt-in by measurement: attention_backend.py takes it where attention_check.py finds nothing wrong with it and it is the
fastest on a run's shapes. It has run on no GPU: tests compare it with fp64 mathematics in Triton's interpreter, on CPU.

Two calls with equal inputs and seed agree to the last bit. The rate of dropout is the recipe's, to 2**-24.

The custom operators make it opaque to torch.compile, which traces through it without a graph break. triton is imported
at the first call, so that all else works without it.

Shapes: B sequences, S tokens, P parts of the product (q, k, v, or k, v), H heads, K head width, D = H x K, M queries of
the last layer, Q queries (S or M).
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
from typing import Any

import torch
from torch import Tensor

MAX_LENGTH = 128
"""Tokens of a sequence: its scores are one tile, in fp32, in a program's registers."""
HEAD_WIDTHS = (16, 32, 64, 128)
_MIN_BLOCK = 16
"""Of the sides of a product in Triton."""
_MIN_CAPABILITY = (8, 0)
_LARGEST_SEED = 2**62
"""The programs of a call count on from its seed, in 64 bits."""


def why_unavailable(device: torch.device) -> str | None:
    """Why the kernel cannot run on a device, as text; None where it can."""
    if device.type != "cuda":
        return f"it needs a GPU, and this is {device.type}"
    if torch.version.hip is not None or torch.cuda.get_device_capability(device) < _MIN_CAPABILITY:
        return f"it needs an NVIDIA GPU of the Ampere generation or later, not {torch.cuda.get_device_name(device)}"
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    try:
        importlib.import_module("triton.language")
    except (ImportError, OSError) as error:
        return f"triton does not import: {error}"
    return None


def why_unfit(*, length: int, head_width: int) -> str | None:
    """Why the kernel cannot take a shape, as text; None where it can."""
    if length > MAX_LENGTH:
        return f"it takes up to {MAX_LENGTH} tokens, not {length}"
    if head_width not in HEAD_WIDTHS:
        return f"it takes heads of width {', '.join(map(str, HEAD_WIDTHS))}, not {head_width}"
    return None


def num_warps(block_q: int, block_s: int) -> int:
    """Of a program, by its score tile.

    Not measured. The backward pass of 128 x 128 scores, heads 64 wide, without dropout, compiles for Hopper into 204
    registers a thread with eight; with four, a thread spills 1 KB.
    """
    longer = max(block_q, block_s)
    return 8 if longer > 64 else 4 if longer > 32 else 2


def attend_packed(
    q_BMHK: Tensor | None, packed_BSPHK: Tensor, *, attention_mask_BS: Tensor | None, dropout: float
) -> Tensor:
    """Attend, as bertd.model.encoder.PackedAttention says.

    What dropout drops depends on a seed that is drawn from PyTorch's generator of the device, in one number a call.

    Raises:
        RuntimeError: a shape it does not take, or Triton failed.
    """
    seed_1 = torch.randint(_LARGEST_SEED, (1,), device=packed_BSPHK.device) if dropout > 0 else None
    out_BQD: Tensor = torch.ops.bertd.attend(q_BMHK, packed_BSPHK, attention_mask_BS, seed_1, dropout)
    return out_BQD


# ---- The operators ---------------------------------------------------------------------------------

_INPUTS = "Tensor? q_BMHK, Tensor packed_BSPHK, Tensor? mask_BS, Tensor? seed_1, float dropout"


@torch.library.custom_op("bertd::attend", mutates_args=(), schema=f"({_INPUTS}) -> Tensor")
def _attend(
    q_BMHK: Tensor | None, packed_BSPHK: Tensor, mask_BS: Tensor | None, seed_1: Tensor | None, dropout: float
) -> Tensor:
    from bertd.train.backends.triton_attention_kernels import attention_forward

    q, k, v = _split(q_BMHK, packed_BSPHK)
    out_BQD: Tensor = _attend_shape(q_BMHK, packed_BSPHK, mask_BS, seed_1, dropout)
    _launch(attention_forward, (q, k, v), out_BQD, (), mask_BS, seed_1, dropout)
    return out_BQD


@_attend.register_fake
def _attend_shape(
    q_BMHK: Tensor | None, packed_BSPHK: Tensor, mask_BS: Tensor | None, seed_1: Tensor | None, dropout: float
) -> Tensor:
    B, S, _, H, K = packed_BSPHK.shape
    return packed_BSPHK.new_empty(B, S if q_BMHK is None else q_BMHK.size(1), H * K)


@torch.library.custom_op(
    "bertd::attend_backward", mutates_args=(), schema=f"(Tensor grad_BQD, {_INPUTS}) -> (Tensor, Tensor)"
)
def _attend_backward(
    grad_BQD: Tensor,
    q_BMHK: Tensor | None,
    packed_BSPHK: Tensor,
    mask_BS: Tensor | None,
    seed_1: Tensor | None,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """The gradients of q, which is empty where the product has it, and of the product."""
    from bertd.train.backends.triton_attention_kernels import attention_backward

    q_grad, packed_grad = _attend_backward_shape(grad_BQD, q_BMHK, packed_BSPHK, mask_BS, seed_1, dropout)
    inputs, gradients = _split(q_BMHK, packed_BSPHK), _split(None if q_BMHK is None else q_grad, packed_grad)
    _launch(attention_backward, inputs, grad_BQD.contiguous(), gradients, mask_BS, seed_1, dropout)
    return q_grad, packed_grad


@_attend_backward.register_fake
def _attend_backward_shape(
    grad_BQD: Tensor,
    q_BMHK: Tensor | None,
    packed_BSPHK: Tensor,
    mask_BS: Tensor | None,
    seed_1: Tensor | None,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    q_shape = (0,) if q_BMHK is None else q_BMHK.shape
    return packed_BSPHK.new_empty(q_shape), packed_BSPHK.new_empty(packed_BSPHK.shape)


def _keep_inputs(
    ctx: Any, inputs: tuple[Tensor | None, Tensor, Tensor | None, Tensor | None, float], output: Tensor
) -> None:
    *tensors, ctx.dropout = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, grad_BQD: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
    q_BMHK, *others = ctx.saved_tensors
    q_grad, packed_grad = torch.ops.bertd.attend_backward(grad_BQD, q_BMHK, *others, ctx.dropout)
    return None if q_BMHK is None else q_grad, packed_grad, None, None, None


_attend.register_autograd(_differentiate, setup_context=_keep_inputs)


def _split(q_BMHK: Tensor | None, packed_BSPHK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v, or their gradients, as views; of a copy where the rows do not follow one another in memory."""
    packed_BSPHK = packed_BSPHK.contiguous()
    if q_BMHK is None:
        q, k, v = packed_BSPHK.unbind(2)
    else:
        q, (k, v) = q_BMHK.contiguous(), packed_BSPHK.unbind(2)
    return q, k, v


def _launch(
    kernel: Any,
    inputs: tuple[Tensor, Tensor, Tensor],
    out_BQD: Tensor,
    gradients: tuple[Tensor, ...],
    mask_BS: Tensor | None,
    seed_1: Tensor | None,
    dropout: float,
) -> None:
    """Start a program for each head of each sequence.

    Args:
        out_BQD: the output to write, or its gradient to read.
        gradients: those of the inputs, to write; none in the forward pass.

    Raises:
        RuntimeError: a shape it does not take, or Triton cannot compile or start the kernel.
    """
    import triton
    from triton.errors import TritonError

    q, k, v = inputs
    (B, Q, H, K), S = q.shape, k.size(1)
    fault = why_unfit(length=max(Q, S), head_width=K)
    if fault is not None:
        raise RuntimeError(f"bertd's attention kernel: {fault}")
    block_q, block_s = (max(_MIN_BLOCK, triton.next_power_of_2(rows)) for rows in (Q, S))
    try:
        kernel[(B * H,)](
            q,
            k,
            v,
            out_BQD,
            # Where there is none, any pointer will do: it is not read.
            q if mask_BS is None else mask_BS.contiguous().view(torch.uint8),
            q if seed_1 is None else seed_1,
            *gradients,
            q_row_stride=q.stride(1),
            kv_row_stride=k.stride(1),
            H=H,
            Q=Q,
            S=S,
            scale=K**-0.5,
            rate=dropout,
            HAS_MASK=mask_BS is not None,
            HAS_DROPOUT=seed_1 is not None,
            K=K,
            BLOCK_Q=block_q,
            BLOCK_S=block_s,
            # Triton's interpreter, which tests run, keeps bf16 as integers and would multiply these.
            IN_FP32=triton.knobs.runtime.interpret,
            num_warps=num_warps(block_q, block_s),
            num_stages=1,
        )
    except (TritonError, OSError, subprocess.SubprocessError) as error:
        # Of the last two: Triton keeps its kernels on disk, and builds what starts them with the C compiler.
        raise RuntimeError(f"bertd's attention kernel: {type(error).__name__}: {error}") from error
