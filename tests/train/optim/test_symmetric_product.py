"""What multiplies Muon's matrices by their transposes: stand-ins for the kernel, on the CPU as if it were a GPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bertd.train.optim.muon import orthogonalise
from bertd.train.optim.symmetric_product import (
    ProductChoice,
    SymmetricProduct,
    choose_symmetric_product,
    multiply_by_torch,
)

SECONDS = {"own": 1.0, "torch": 2.0}


def matrices(dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(0)).to(dtype) / 31


def choose(x: Tensor, own: SymmetricProduct, *, own_s: float = 1.0) -> ProductChoice:
    """Choose as on a GPU that has the kernel, where PyTorch takes 2 s."""
    times = iter([own_s, 2.0])

    def time_call(call: Callable[[], Tensor]) -> float:
        call()
        return next(times)

    return choose_symmetric_product(x, own=own, why_not=lambda _: None, time_call=time_call)


def right(x: Tensor, *, add: Tensor | None = None, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    return multiply_by_torch(x, add=add, alpha=alpha, beta=beta)


def test_a_kernel_that_is_right_and_faster_is_used() -> None:
    choice = choose(matrices(), right)
    assert choice.product is right
    assert choice.reason == "our own kernel takes 0.50 of PyTorch's time"


def test_a_kernel_that_is_right_and_slower_is_not() -> None:
    choice = choose(matrices(), right, own_s=3.0)
    assert choice.product is multiply_by_torch
    assert choice.reason == "our own kernel takes 1.50 of PyTorch's time"


def subtly_wrong(x: Tensor, *, add: Tensor | None = None, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    return right(x, add=add, alpha=1.02 * alpha, beta=beta)


def without_the_term(x: Tensor, *, add: Tensor | None = None, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    return right(x, alpha=alpha)


def one_half(x: Tensor, *, add: Tensor | None = None, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    product = right(x, add=add, alpha=alpha, beta=beta)
    product[0, 0, 1] *= 1.01
    return product


def not_a_number(x: Tensor, *, add: Tensor | None = None, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    return right(x) * torch.nan


def raising(x: Tensor, *, add: Tensor | None = None, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    raise RuntimeError("no resources for it\nand more")


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (subtly_wrong, "X X' differs by 0.02 from fp32 mathematics"),
        (without_the_term, "A + A A' differs by "),
        (one_half, "X X' is not symmetric"),
        (not_a_number, "X X' differs by nan from fp32 mathematics"),
        (raising, "it raised no resources for it"),
    ],
)
def test_a_kernel_that_is_wrong_or_raises_is_out_and_the_reason_says_why(own: SymmetricProduct, reason: str) -> None:
    choice = choose(matrices(), own)
    assert choice.product is multiply_by_torch
    assert choice.reason.startswith(f"our own kernel is not used: {reason}")


def test_where_it_cannot_run_or_may_not_it_is_not_tried() -> None:
    on_cpu = choose_symmetric_product(matrices(), own=raising)
    assert on_cpu.reason == "our own kernel is not tried: it needs a GPU, and this is cpu"
    in_fp32 = choose(matrices(torch.float32), raising)
    assert in_fp32.reason == "our own kernel is not tried: the matrices are in float32"
    torch.use_deterministic_algorithms(True)
    try:
        deterministic = choose(matrices(), raising)
    finally:
        torch.use_deterministic_algorithms(False)
    assert deterministic.reason.endswith("precision.deterministic chooses nothing by time")
    assert {on_cpu.product, in_fp32.product, deterministic.product} == {multiply_by_torch}


@pytest.mark.parametrize("shape", [(2, 24, 24), (2, 40, 24), (2, 24, 40)])
def test_the_iteration_multiplies_by_what_was_chosen(shape: tuple[int, ...]) -> None:
    calls = list[int]()

    def counted(x: Tensor, *, add: Tensor | None = None, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
        calls.append(x.size(-2))
        return multiply_by_torch(x, add=add, alpha=alpha, beta=beta)

    stacked = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(orthogonalise(stacked, product=counted), orthogonalise(stacked))
    assert calls == [24] * 10
