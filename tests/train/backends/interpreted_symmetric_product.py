"""The own symmetric product against fp64 mathematics, in Triton's interpreter: test_triton_symmetric_product.py."""

from __future__ import annotations

import pytest
import torch

from bertd.train.optim.muon import orthogonalise
from bertd.train.optim.symmetric_product import (
    _BLOCK_R,
    choose_symmetric_product,
    multiply_by_own_kernel,
    multiply_by_torch,
)

TOLERANCES = {torch.float32: 1e-6, torch.bfloat16: 1e-2}
"""Norm of the difference over the norm of the reference. The interpreter cuts bf16 off where a GPU rounds."""


@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("shape", [(2, 16, 16), (1, 130, 70), (3, 200, 260), (1, 128, 64)])
def test_it_multiplies_by_the_transpose(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    add = multiply_by_torch(torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype))

    for scaled, computed in {
        (1.0, 0.0): multiply_by_own_kernel(x),
        (2.5, -4.5): multiply_by_own_kernel(x, add=add, alpha=2.5, beta=-4.5),
    }.items():
        alpha, beta = scaled
        reference = alpha * x.double() @ x.double().mT + beta * add.double()
        assert computed.dtype is dtype
        assert (computed.double() - reference).norm() <= TOLERANCES[dtype] * reference.norm()
        # A tile on the diagonal is one product; how its two halves are rounded is up to the processor's library.
        tile = torch.arange(shape[-2]) // _BLOCK_R
        is_mirrored = tile[:, None] != tile
        assert torch.equal(computed * is_mirrored, computed.mT * is_mirrored), "bit by bit"


def test_an_operand_that_is_transposed_in_memory_is_read_right() -> None:
    x = torch.randn(2, 48, 32, generator=torch.Generator().manual_seed(0)).mT
    assert torch.allclose(multiply_by_own_kernel(x), x @ x.mT, atol=1e-4)


def test_it_passes_the_check_of_a_run_and_muon_orthogonalises_with_it() -> None:
    x = torch.randn(2, 40, 64, generator=torch.Generator().manual_seed(0))
    times = iter([1.0, 2.0])
    choice = choose_symmetric_product(x.bfloat16() / 51, why_not=lambda _: None, time_call=lambda _: next(times))
    assert choice.product is multiply_by_own_kernel, choice.reason
    assert torch.allclose(orthogonalise(x, product=multiply_by_own_kernel), orthogonalise(x), atol=1e-4)
