"""The format of the residual under autocast."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertd.model.encoder import MaskedLanguageModel
from tests.model.test_encoder import batch
from tests.model.test_export import FAMILIES


def norm_as_under_autocast_on_a_gpu(self: nn.LayerNorm, x: Tensor) -> Tensor:
    """On a GPU autocast computes norms in fp32 and returns fp32; on CPU it leaves them alone."""
    return F.layer_norm(x.float(), self.normalized_shape, self.weight, self.bias, self.eps)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("has_bf16_residual", [False, True])
def test_between_the_layers_it_has_the_format_that_was_asked_for(
    family: str, has_bf16_residual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.LayerNorm, "forward", norm_as_under_autocast_on_a_gpu)
    config = replace(FAMILIES[family], has_bf16_residual=has_bf16_residual)
    model, formats = MaskedLanguageModel(config, seed=1), set[torch.dtype]()
    for layer in model.encoder.layers:
        layer.register_forward_hook(lambda _, given, made: formats.update((given[0].dtype, made.dtype)))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(*batch())
    loss.backward()

    assert formats == {torch.bfloat16 if has_bf16_residual else torch.float32}
    assert loss.dtype is torch.float32
    assert all(each.grad is not None and each.grad.dtype is torch.float32 for each in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_in_bf16_it_changes_the_loss_by_rounding_alone_and_without_autocast_not_at_all(family: str) -> None:
    plain = MaskedLanguageModel(FAMILIES[family], seed=1).eval()
    narrow = MaskedLanguageModel(replace(FAMILIES[family], has_bf16_residual=True), seed=1).eval()

    assert torch.equal(plain(*batch()), narrow(*batch()))
    exact = plain(*batch()).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert narrow(*batch()).item() == pytest.approx(exact, rel=5e-3)
