"""Weight decay of the three optimizers, and the fused AdamW."""

from __future__ import annotations

import pytest
import torch

from bertd.run.recipe.schema import OptimizerSection
from bertd.train.optim.optimizer import build_optimizers
from tests.model.test_export import TINY, trained_like


@pytest.mark.parametrize(("kind", "decay"), [("adamw", 0.1 * 0.5), ("muon", 0.1 * 0.5), ("lamb", 0.1)])
def test_without_a_gradient_matrices_decay_and_biases_and_norms_stay(kind: str, decay: float) -> None:
    # LAMB scales every update, here only the decay, to the norm of the weights.
    model = trained_like(TINY)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    section = OptimizerSection.model_validate({"kind": kind, "weight_decay": 0.5})
    optimizers = build_optimizers(model, section)
    optimizers.set_learning_rate(0.1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)

    optimizers.combined.step()

    after = dict(model.named_parameters())
    still = {name for name in before if name.endswith("bias") or "norm" in name}
    assert 0 < len(still) < len(before)
    assert all(torch.equal(after[name], before[name]) for name in still)
    assert all(torch.allclose(after[name], before[name] * (1 - decay)) for name in before.keys() - still)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_adamw_steps_in_one_fused_kernel(kind: str) -> None:
    optimizers = build_optimizers(trained_like(TINY), OptimizerSection.model_validate({"kind": kind}))

    *_, adamw = optimizers.optimizers
    assert isinstance(adamw, torch.optim.AdamW)
    assert [group["fused"] for group in adamw.param_groups] == [True, True]
