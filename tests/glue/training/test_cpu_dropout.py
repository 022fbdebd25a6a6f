"""bertd.glue.training.cpu_dropout: dropout with masks that are cheap to draw, and the same mathematics."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bertd.glue.training.cpu_dropout import cheap_dropout

CPU = torch.device("cpu")


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_is_dropped_and_the_rest_scaled_up_to_the_same_mean(share: float) -> None:
    torch.manual_seed(1)
    values = torch.ones(1_000_003, requires_grad=True)
    with cheap_dropout(CPU):
        dropped = nn.Dropout(share)(values)
    dropped.sum().backward()

    is_zero = dropped == 0
    assert is_zero.float().mean().item() == pytest.approx(share, abs=0.002)
    assert dropped[~is_zero].unique().tolist() == pytest.approx([1 / (1 - share)], rel=1e-4)
    assert values.grad is not None and torch.equal(values.grad, dropped.detach())
    neighbours = torch.stack([is_zero[:-1], is_zero[1:]]).float()
    assert torch.corrcoef(neighbours)[0, 1].abs() < 0.005, "the four elements of a word are independent"


def test_the_mask_follows_torchs_seed() -> None:
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        with cheap_dropout(CPU):
            return F.dropout(torch.ones(100), 0.3)

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def test_nothing_is_dropped_where_torch_drops_nothing() -> None:
    values = torch.randn(50)
    with cheap_dropout(CPU):
        assert torch.equal(nn.Dropout(0.5).eval()(values), values)
        assert torch.equal(F.dropout(values, 0.0), values)
        assert torch.equal(F.dropout(values, 1.0), torch.zeros(50))


@pytest.mark.parametrize("kind", ["none", "bool", "float"])
def test_attention_is_torchs_but_for_the_mask(kind: str) -> None:
    torch.manual_seed(1)
    query, key, value = (torch.randn(2, 3, 7, 8) for _ in range(3))
    sees = torch.arange(7) < torch.tensor([[7], [4]])
    additive = torch.zeros(2, 1, 1, 7).masked_fill(~sees[:, None, None], float("-inf"))
    mask = {"none": None, "bool": sees[:, None, None].expand(2, 1, 7, 7), "float": additive}[kind]
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3)

    with cheap_dropout(CPU):
        # So small a share drops nothing.
        same = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3, dropout_p=1e-9)
        drawn = [
            F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3, dropout_p=0.2)
            for _ in range(400)
        ]

    torch.testing.assert_close(same, expected)
    torch.testing.assert_close(torch.stack(drawn).mean(0), expected, atol=0.15, rtol=0)
