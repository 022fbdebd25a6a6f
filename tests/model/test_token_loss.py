"""token_loss equals torch's cross-entropy, in value and in gradient."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bertd.model.token_loss import token_loss


class Parts(NamedTuple):
    """Hidden states, weights and bias that logits are computed from."""

    hidden_ND: Tensor
    tokens_VD: Tensor
    bias_V: Tensor


def parts(*, rows: int = 40, entries: int = 96, width: int = 8, dtype: torch.dtype = torch.float64) -> Parts:
    """With large logits; more rows than one block has."""
    generator = torch.Generator().manual_seed(3)
    shapes = [(rows, width), (entries, width), (entries,)]
    drawn = [3 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return Parts(*(each.to(dtype).requires_grad_() for each in drawn))


def labels(*, rows: int = 40, entries: int = 96) -> Tensor:
    """Some of them unused."""
    drawn_N = torch.randint(0, entries, (rows,), generator=torch.Generator().manual_seed(4))
    drawn_N[::7] = -100
    return drawn_N


def plain(hidden_ND: Tensor, tokens_VD: Tensor, bias_V: Tensor, labels_N: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden_ND, tokens_VD, bias_V).float(), labels_N, reduction="sum")


def test_value_and_gradients_are_those_of_cross_entropy() -> None:
    ours, theirs = parts(), parts()
    loss = token_loss(*ours, labels())
    expected = F.cross_entropy(F.linear(*theirs), labels(), reduction="sum")
    # A factor after the loss, as the mean over a batch and a loss scale are.
    torch.autograd.backward([0.37 * loss, 0.37 * expected])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for name, mine, other in zip(Parts._fields, ours, theirs, strict=True):
        assert mine.grad is not None and other.grad is not None
        # The softmax is taken in fp32.
        assert torch.allclose(mine.grad, other.grad, rtol=1e-5, atol=1e-5), name


def test_without_a_gradient_the_loss_is_the_same() -> None:
    given = parts(dtype=torch.float32)
    with torch.no_grad():
        alone = token_loss(*given, labels())
    assert alone.item() == pytest.approx(token_loss(*given, labels()).item(), rel=1e-6)


def test_slots_without_a_label_change_nothing() -> None:
    given, used_N = parts(dtype=torch.float32), labels() != -100
    (hidden_grad,) = torch.autograd.grad(token_loss(*given, labels()), given.hidden_ND)
    assert torch.equal(hidden_grad[~used_N], torch.zeros_like(hidden_grad[~used_N]))
    kept = given._replace(hidden_ND=given.hidden_ND[used_N])
    assert token_loss(*kept, labels()[used_N]).item() == pytest.approx(token_loss(*given, labels()).item(), rel=1e-6)


@pytest.mark.parametrize("certainty", [0.0, 4.0, 10.0, 14.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_it_is_as_near_as_autograd(dtype: torch.dtype, certainty: float) -> None:
    """Compared with fp32: hardly less exact than torch's cross-entropy, however sure the model is of its labels."""
    exact = sure_parts(certainty)
    torch.autograd.backward(plain(*exact, labels()))
    errors = {}
    for name, loss_of in (("ours", token_loss), ("autograd", plain)):
        given = sure_parts(certainty)
        with torch.autocast("cpu", dtype=dtype):
            loss = loss_of(*given, labels())
        assert loss.dtype is torch.float32
        torch.autograd.backward(loss)
        errors[name] = [
            float((mine.grad - other.grad).norm() / other.grad.norm())
            for mine, other in zip(given, exact, strict=True)
            if mine.grad is not None and other.grad is not None
        ]
    assert len(errors["ours"]) == 3
    for ours, theirs in zip(errors["ours"], errors["autograd"], strict=True):
        assert ours <= 1.5 * theirs + 1e-3


def sure_parts(certainty: float) -> Parts:
    """Inputs where each label's logit is about `certainty` above the others'."""
    generator = torch.Generator().manual_seed(6)
    tokens_VD = F.normalize(torch.randn(96, 64, generator=generator), dim=1)
    hidden_ND = certainty * tokens_VD[labels().clamp(min=0)] + 0.1 * torch.randn(40, 64, generator=generator)
    drawn = (hidden_ND, tokens_VD, torch.zeros(96))
    return Parts(*(each.requires_grad_() for each in drawn))


def test_a_label_of_no_probability_at_all_costs_what_it_costs() -> None:
    hidden_ND = torch.tensor([[300.0]], requires_grad=True)
    tokens_VD = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = token_loss(hidden_ND, tokens_VD, torch.zeros(2), torch.tensor([1]))
    (grad,) = torch.autograd.grad(loss, hidden_ND)
    assert (loss.item(), grad.item()) == (600.0, 2.0)


def test_what_is_not_finite_is_not_hidden() -> None:
    hidden_ND = torch.full((2, 1), torch.nan, requires_grad=True)
    loss = token_loss(hidden_ND, torch.ones(3, 1), torch.zeros(3), torch.tensor([1, -100]))
    assert loss.isnan()
