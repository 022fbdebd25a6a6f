"""A matrix times its own transpose as a Triton program; imports triton, so only symmetric_product.py imports this.

X X' is symmetric: a program computes one tile on or below the diagonal and writes it twice, the second time transposed.
That is half of the multiplications of a general product. Sums are fp32, whatever the type of the operands. It is
compiled for each shape: a model has few.

Shapes: N matrices, R rows, C columns; BLOCK_ are the sides of a tile.
"""

# Without `from __future__ import annotations`: Triton reads annotations to learn which arguments are constants.
import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def multiply_by_transpose_tile(
    x_ptr: tl.tensor,
    add_ptr: tl.tensor,
    out_ptr: tl.tensor,
    alpha: tl.tensor,
    beta: tl.tensor,
    R: tl.constexpr,
    C: tl.constexpr,
    HAS_ADD: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
    IN_FP32: tl.constexpr,
) -> None:
    """Write a tile of alpha X X' + beta A, and its mirror image; A is symmetric."""
    tile_row, tile_column, matrix = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    if tile_column <= tile_row:
        x_ptr += matrix * R * C
        out_ptr += matrix * R * R
        rows = tile_row * BLOCK_R + tl.arange(0, BLOCK_R)
        columns = tile_column * BLOCK_R + tl.arange(0, BLOCK_R)
        total = tl.zeros((BLOCK_R, BLOCK_R), dtype=tl.float32)
        for begin in range(0, C, BLOCK_C):
            inner = begin + tl.arange(0, BLOCK_C)
            is_inner = inner[None, :] < C
            left = tl.load(x_ptr + rows[:, None] * C + inner, mask=(rows[:, None] < R) & is_inner, other=0.0)
            right = tl.load(x_ptr + columns[:, None] * C + inner, mask=(columns[:, None] < R) & is_inner, other=0.0)
            if IN_FP32:
                left, right = left.to(tl.float32), right.to(tl.float32)
            total = tl.dot(left, tl.trans(right), total, input_precision="ieee")
        is_inside = (rows[:, None] < R) & (columns[None, :] < R)
        total *= alpha
        if HAS_ADD:
            added = tl.load(add_ptr + matrix * R * R + rows[:, None] * R + columns, mask=is_inside, other=0.0)
            total += beta * added.to(tl.float32)
        tile = total.to(out_ptr.dtype.element_ty)
        tl.store(out_ptr + rows[:, None] * R + columns[None, :], tile, mask=is_inside)
        if tile_column < tile_row:
            tl.store(out_ptr + columns[:, None] * R + rows[None, :], tl.trans(tile), mask=tl.trans(is_inside))
