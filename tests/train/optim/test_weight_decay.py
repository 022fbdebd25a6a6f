from __future__ import annotations

from torch import nn

from bertd.train.optim.weight_decay import decay_groups


def test_matrices_decay_and_biases_and_norms_do_not() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3))
    decaying, others = decay_groups(model.parameters(), weight_decay=0.1)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert decaying["params"] == [model[0].weight, model[1].weight]
    assert others["params"] == [model[1].bias, model[2].weight, model[2].bias]
