"""precision.mode = "fp8" with the real torchao, on CPU: PyTorch has 8-bit products there, although slow ones."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertd.bench.models import OURS, build_model_and_loss
from bertd.bench.workload import plan_workload
from bertd.errors import DeviceError, RecipeError
from bertd.run.recipe.schema import PrecisionSection
from bertd.train.autotune.speed_probe import build_model
from bertd.train.backends import float8
from bertd.train.backends.apex.detect import Apex
from bertd.train.backends.float8 import load_torchao, use_float8
from bertd.train.backends.precision import Precision, choose_precision
from tests.model.test_export import TINY, trained_like
from tests.train.loop.test_train_step import recipe, setup_for

APART = Path(sys.prefix) / "apart" / "site-packages"
"""Where `make install` puts torchao."""


@pytest.fixture
def torchao(monkeypatch: pytest.MonkeyPatch) -> None:
    if not APART.is_dir():
        pytest.skip(f"no torchao in {APART}: `make install` puts it there")
    monkeypatch.syspath_prepend(APART)


@pytest.fixture
def gains_everywhere(monkeypatch: pytest.MonkeyPatch, torchao: None) -> None:
    """Convert products of any size: models that run within seconds are far too small to gain."""
    monkeypatch.setattr(float8, "_SMALL_OUT", 0)


@pytest.mark.usefixtures("gains_everywhere")
def test_the_encoders_linear_layers_are_replaced_but_for_the_last_layers_and_the_head() -> None:
    model = trained_like(TINY)
    names, weights = list(model.state_dict()), dict(model.named_parameters())
    ids_BS = torch.arange(64).view(4, 16) % 100
    before = model.logits(ids_BS)

    use_float8(model)

    swapped = {path for path, module in model.named_modules() if type(module).__name__ == "Float8Linear"}
    parts = ("attention.qkv", "attention.out", "feed_forward.up", "feed_forward.down")
    assert swapped == {f"encoder.layers.{layer}.{part}" for layer in range(TINY.layers - 1) for part in parts}
    # Checkpoints and optimizers see the same parameters under the same names.
    assert list(model.state_dict()) == names and dict(model.named_parameters()).keys() == weights.keys()
    assert all(parameter is weights[name] for name, parameter in model.named_parameters())
    difference = (model.logits(ids_BS) - before).abs().max()
    assert 0 < difference < 0.3 * before.abs().max()


@pytest.mark.usefixtures("torchao")
def test_products_that_would_lose_stay_as_they_are() -> None:
    model = trained_like(replace(TINY, width=352, heads=11, ffn=1056))

    use_float8(model)

    swapped = {path for path, module in model.named_modules() if type(module).__name__ == "Float8Linear"}
    parts = ("attention.qkv", "feed_forward.up")
    assert swapped == {f"encoder.layers.{layer}.{part}" for layer in range(TINY.layers - 1) for part in parts}


@pytest.mark.usefixtures("torchao")
def test_all_products_are_in_8_bits_if_the_recipe_says_so() -> None:
    made = recipe(8, "precision.mode=fp8", "precision.fp8_products=all")
    setup = replace(setup_for(made), precision=Precision(mode="fp8", dtype=None, needs_scaler=False))

    model = build_model(setup, Apex())

    swapped = {path for path, module in model.named_modules() if type(module).__name__ == "Float8Linear"}
    parts = ("attention.qkv", "attention.out", "feed_forward.up", "feed_forward.down")
    assert swapped == {f"encoder.layers.{layer}.{part}" for layer in range(TINY.layers - 1) for part in parts}


@pytest.mark.usefixtures("torchao")
def test_a_model_that_has_only_such_products_is_refused() -> None:
    with pytest.raises(DeviceError, match=r'mode = "fp8": no product of this model is large enough to gain; or use'):
        use_float8(trained_like(TINY))


@pytest.mark.usefixtures("gains_everywhere")
def test_a_runs_model_in_fp8_learns() -> None:
    setup = replace(setup_for(recipe(8)), precision=Precision(mode="fp8", dtype=None, needs_scaler=False))
    model = build_model(setup, Apex())
    ids_BS = torch.arange(64).view(4, 16) % 100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(ids_BS, ids_BS[:, :3] % 16, ids_BS[:, :3])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.usefixtures("gains_everywhere")
def test_it_compiles_to_one_graph_that_computes_the_same() -> None:
    model = trained_like(TINY)
    use_float8(model)
    counters = torch._dynamo.utils.counters
    torch._dynamo.reset()
    counters.clear()
    compiled = torch.compile(model, fullgraph=True, dynamic=False, backend="aot_eager")
    ids_BS = torch.arange(64).view(4, 16) % 100
    arguments = (ids_BS, ids_BS[:, :3] % 16, ids_BS[:, :3])

    eager = model(*arguments)
    weight = model.get_parameter("encoder.layers.0.attention.qkv.weight")
    (eager_gradient,) = torch.autograd.grad(eager, weight)
    loss = compiled(*arguments)
    (gradient,) = torch.autograd.grad(loss, weight)

    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]
    assert torch.allclose(loss, eager, rtol=1e-5) and torch.allclose(gradient, eager_gradient, rtol=1e-3, atol=1e-4)


def test_without_torchao_or_a_gpu_it_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match=r'mode = "fp8": needs a GPU, and this run is on cpu; or use .* "bf16"'):
        choose_precision(PrecisionSection(mode="fp8"), torch.device("cpu"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DeviceError, match="torchao is not installed; pip install torchao, or use"):
        load_torchao()


@pytest.mark.usefixtures("gains_everywhere")
def test_a_bench_in_fp8_multiplies_in_8_bits() -> None:
    made = recipe(8, "model.layers=2", "model.width=32", "model.heads=2", "model.ffn=64")
    workload = plan_workload(made, device=torch.device("cpu"), num_sequences=4, is_synthetic=True)
    workload = replace(workload, precision=Precision(mode="fp8", dtype=None, needs_scaler=False))

    model, _ = build_model_and_loss(OURS[0], workload)

    assert any(type(module).__name__ == "Float8Linear" for module in model.modules())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.sequence_length=24", r'mode = "fp8": sequence_length = 24 is not a multiple of 16; change one'),
        ("model.layers=1", r'mode = "fp8": leaves the last layer in bf16, and there is one; use "bf16"'),
    ],
)
def test_shapes_that_8_bit_products_cannot_have_are_refused(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe(8, "precision.mode=fp8", override)


def test_apex_cannot_take_the_place_of_its_layers() -> None:
    with pytest.raises(RecipeError, match=r'\[precision\]: kernels = "apex" would replace the layers'):
        recipe(8, "precision.mode=fp8", "precision.kernels=apex")
