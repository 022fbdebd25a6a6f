"""Attention of a short sequence as two Triton programs; imports triton, so only triton_attention.py imports this.

A program has one head of one sequence, and all of its scores in one tile: nothing is streamed, the softmax needs no
running maximum, and each gradient is written by the one program that has all of it. So there are no atomic sums, and
two calls agree to the last bit.

Forward:   P = softmax(q k' / sqrt K),  O = (P * D) v,  where D is 0 for what is dropped, else 1 / (1 - rate).
Backward:  dV = (P * D)' dO,  dP = (dO v') * D,  dS = P * (dP - rowsum(P * dP)),
           dq = dS k / sqrt K,  dk = dS' q / sqrt K.

The backward pass computes P again, and draws D again from the same seed. Scores, softmax and sums are fp32; the
operands of the products have the type of the input.

Shapes: B sequences, H heads, K head width, Q queries, S keys; BLOCK_ are these rounded up to powers of two, of 16 or
more. A row is what one position has: the queries, or the keys and values, of all heads.
"""

# Without `from __future__ import annotations`: Triton reads annotations to learn which arguments are constants.
import triton
import triton.language as tl

_LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _multiply(a: tl.tensor, b: tl.tensor, IN_FP32: tl.constexpr) -> tl.tensor:
    if IN_FP32:
        a, b = a.to(tl.float32), b.to(tl.float32)
    # Full fp32, not TF32: a run in fp32 asked for it. For 16 bits it means nothing.
    return tl.dot(a, b, input_precision="ieee")


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _load_tile(
    pointer: tl.tensor, row_stride: tl.tensor, num_rows: tl.tensor, K: tl.constexpr, BLOCK: tl.constexpr
) -> tl.tensor:
    rows, columns = tl.arange(0, BLOCK)[:, None], tl.arange(0, K)[None, :]
    return tl.load(pointer + rows * row_stride + columns, mask=rows < num_rows, other=0.0)


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _store_tile(
    pointer: tl.tensor,
    tile: tl.tensor,
    row_stride: tl.tensor,
    num_rows: tl.tensor,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    rows, columns = tl.arange(0, BLOCK)[:, None], tl.arange(0, K)[None, :]
    tl.store(pointer + rows * row_stride + columns, tile.to(pointer.dtype.element_ty), mask=rows < num_rows)


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _softmax(
    q: tl.tensor,
    k: tl.tensor,
    mask_ptr: tl.tensor,
    sequence: tl.tensor,
    S: tl.tensor,
    scale: tl.tensor,
    HAS_MASK: tl.constexpr,
    BLOCK_S: tl.constexpr,
    IN_FP32: tl.constexpr,
) -> tl.tensor:
    """P, fp32; 0 in the row of a query that may see no key, as PyTorch has it."""
    keys = tl.arange(0, BLOCK_S)
    is_visible = keys < S
    if HAS_MASK:
        is_visible = is_visible & (tl.load(mask_ptr + sequence * S + keys, mask=is_visible, other=0) != 0)
    scores = _multiply(q, tl.trans(k), IN_FP32) * (scale * _LOG2_E)
    scores = tl.where(is_visible[None, :], scores, float("-inf"))
    highest = tl.max(scores, axis=1)
    # Infinity less infinity is not a number.
    highest = tl.where(highest == float("-inf"), 0.0, highest)
    weights = tl.exp2(scores - highest[:, None])
    total = tl.sum(weights, axis=1)
    return weights / tl.where(total == 0.0, 1.0, total)[:, None]


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _draw_dropout(
    seed_ptr: tl.tensor, program: tl.tensor, rate: tl.tensor, BLOCK_Q: tl.constexpr, BLOCK_S: tl.constexpr
) -> tl.tensor:
    """D, fp32. Each program has a key of its own, so a counter stays below the size of a tile and never overflows."""
    counters = tl.arange(0, BLOCK_Q)[:, None] * (BLOCK_S // 4) + tl.arange(0, BLOCK_S // 4)[None, :]
    # Philox makes four numbers at a time. Joining them moves them between threads, so each is a byte by then: as floats
    # they would need 32 KiB more of shared memory, which cards for games do not have.
    first, second, third, fourth = tl.rand4x(tl.load(seed_ptr) + program, counters)
    first_two = tl.join((first >= rate).to(tl.int8), (second >= rate).to(tl.int8))
    last_two = tl.join((third >= rate).to(tl.int8), (fourth >= rate).to(tl.int8))
    is_kept = tl.reshape(tl.join(first_two, last_two), (BLOCK_Q, BLOCK_S)) != 0
    return tl.where(is_kept, 1.0 / (1.0 - rate), 0.0)


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def attention_forward(
    q_ptr: tl.tensor,
    k_ptr: tl.tensor,
    v_ptr: tl.tensor,
    out_ptr: tl.tensor,
    mask_ptr: tl.tensor,
    seed_ptr: tl.tensor,
    q_row_stride: tl.tensor,
    kv_row_stride: tl.tensor,
    H: tl.tensor,
    Q: tl.tensor,
    S: tl.tensor,
    scale: tl.tensor,
    rate: tl.tensor,
    HAS_MASK: tl.constexpr,
    HAS_DROPOUT: tl.constexpr,
    K: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_S: tl.constexpr,
    IN_FP32: tl.constexpr,
) -> None:
    """Write the rows of O, each of H x K numbers, which is what the out-projection reads."""
    program = tl.program_id(0).to(tl.int64)
    sequence, head = program // H, program % H
    q = _load_tile(q_ptr + sequence * Q * q_row_stride + head * K, q_row_stride, Q, K, BLOCK_Q)
    kv_offset = sequence * S * kv_row_stride + head * K
    k = _load_tile(k_ptr + kv_offset, kv_row_stride, S, K, BLOCK_S)
    weights = _softmax(q, k, mask_ptr, sequence, S, scale, HAS_MASK, BLOCK_S, IN_FP32)
    if HAS_DROPOUT:
        weights = weights * _draw_dropout(seed_ptr, program, rate, BLOCK_Q, BLOCK_S)
    v = _load_tile(v_ptr + kv_offset, kv_row_stride, S, K, BLOCK_S)
    out = _multiply(weights.to(v.dtype), v, IN_FP32)
    _store_tile(out_ptr + sequence * Q * H * K + head * K, out, H * K, Q, K, BLOCK_Q)


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def attention_backward(
    q_ptr: tl.tensor,
    k_ptr: tl.tensor,
    v_ptr: tl.tensor,
    out_grad_ptr: tl.tensor,
    mask_ptr: tl.tensor,
    seed_ptr: tl.tensor,
    q_grad_ptr: tl.tensor,
    k_grad_ptr: tl.tensor,
    v_grad_ptr: tl.tensor,
    q_row_stride: tl.tensor,
    kv_row_stride: tl.tensor,
    H: tl.tensor,
    Q: tl.tensor,
    S: tl.tensor,
    scale: tl.tensor,
    rate: tl.tensor,
    HAS_MASK: tl.constexpr,
    HAS_DROPOUT: tl.constexpr,
    K: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_S: tl.constexpr,
    IN_FP32: tl.constexpr,
) -> None:
    """Write the gradients with the strides that q, k and v have."""
    program = tl.program_id(0).to(tl.int64)
    sequence, head = program // H, program % H
    q_offset = sequence * Q * q_row_stride + head * K
    kv_offset = sequence * S * kv_row_stride + head * K
    q = _load_tile(q_ptr + q_offset, q_row_stride, Q, K, BLOCK_Q)
    k = _load_tile(k_ptr + kv_offset, kv_row_stride, S, K, BLOCK_S)
    v = _load_tile(v_ptr + kv_offset, kv_row_stride, S, K, BLOCK_S)
    # Rows past Q are 0, and so is all that they add to the gradients of k and v.
    out_grad = _load_tile(out_grad_ptr + sequence * Q * H * K + head * K, H * K, Q, K, BLOCK_Q)
    weights = _softmax(q, k, mask_ptr, sequence, S, scale, HAS_MASK, BLOCK_S, IN_FP32)
    weights_grad = _multiply(out_grad, tl.trans(v), IN_FP32)
    dropped = weights
    if HAS_DROPOUT:
        dropout = _draw_dropout(seed_ptr, program, rate, BLOCK_Q, BLOCK_S)
        dropped = weights * dropout
        weights_grad = weights_grad * dropout
    v_grad = _multiply(tl.trans(dropped.to(v.dtype)), out_grad, IN_FP32)
    _store_tile(v_grad_ptr + kv_offset, v_grad, kv_row_stride, S, K, BLOCK_S)
    delta = tl.sum(weights * weights_grad, axis=1)
    scores_grad = (weights * (weights_grad - delta[:, None])).to(q.dtype)
    q_grad = _multiply(scores_grad, k, IN_FP32) * scale
    _store_tile(q_grad_ptr + q_offset, q_grad, q_row_stride, Q, K, BLOCK_Q)
    k_grad = _multiply(tl.trans(scores_grad), q, IN_FP32) * scale
    _store_tile(k_grad_ptr + kv_offset, k_grad, kv_row_stride, S, K, BLOCK_S)
