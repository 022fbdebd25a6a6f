"""apex is used feature by feature, only where the recipe says so, and only where it computes what torch does."""

from __future__ import annotations

import functools
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import torch

from bertd.errors import DeviceError
from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.records import AlertRecord, EndRecord, StartRecord
from bertd.run.paths import newest_first
from bertd.run.recipe.schema import OptimizerSection, Recipe
from bertd.train.autotune import kernels as kernels_module
from bertd.train.autotune.attention_backend import AttentionChoice
from bertd.train.autotune.kernels import choose_kernels
from bertd.train.backends.apex.check import Feature
from bertd.train.backends.apex.detect import Apex, detect_apex, use_fused_modules
from bertd.train.backends.apex.modules import FusedLinear
from bertd.train.backends.precision import Precision
from bertd.train.checkpoint.format import load_checkpoint, save_checkpoint
from bertd.train.distributed.process_group import Ranks
from bertd.train.optim.optimizer import Optimizers, build_optimizers
from tests.model.test_encoder import batch
from tests.model.test_export import FAMILIES, TINY, trained_like
from tests.train.backends import apex_installs as installs
from tests.train.backends.apex_installs import DENSE, GOOD, LAYER_NORM, OPTIMIZERS, WRONG, install, install_pypis, site
from tests.train.checkpoint.test_format import on_host, state_at
from tests.train.loop.test_train_step import recipe, setup_for, train_step_for
from tests.train.loop.test_trainer import ALONE, attempt, final_weights, kind_of, make_run, run_to_end

__all__ = ["site"]  # a fixture

CPU = torch.device("cpu")
on_cpu = functools.partial(detect_apex, device=CPU, dtype=None, runs_on=frozenset({"cpu"}))
"""detect_apex for the stand-in, which has kernels for the CPU, unlike NVIDIA's apex."""


def the_stand_in(site: Path) -> Apex:
    install(site, GOOD)
    apex = on_cpu(Feature)
    assert apex.classes.keys() == set(Feature), apex.faults
    return apex


# ---- Detection -------------------------------------------------------------------------------------


def test_without_apex_every_feature_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    apex = on_cpu(Feature)

    assert not apex.classes
    assert {fault.partition(";")[0] for fault in apex.faults.values()} == {"apex is not installed"}
    assert apex.describe_faults().count("not installed") == 1


def test_pypis_project_of_that_name_is_recognised_without_running_it(site: Path) -> None:
    install_pypis(site)

    apex = on_cpu([Feature.ADAM])

    assert f"{site}/apex/__init__.py is not NVIDIA's apex, PyPI has another" in apex.faults[Feature.ADAM]
    assert "apex" not in sys.modules


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        ({}, "apex was built without {extension}; build it from https://github.com/NVIDIA/apex with APEX_CPP_EXT=1"),
        (
            dict.fromkeys(GOOD, installs.ANOTHER_ABI),
            "{extension} was built for another PyTorch than {torch}: /x/y.so: undefined symbol: _ZN3c104cuda",
        ),
        (dict.fromkeys(GOOD, installs.NO_LIBRARY), "{extension} cannot be loaded: libcudart.so.12: cannot open"),
        (
            dict.fromkeys(GOOD, installs.NO_IMAGE),
            "{feature} does not run here: CUDA error: no kernel image is available for execution on the device; build",
        ),
        (WRONG, "{feature} does not compute what PyTorch does: off by"),
    ],
    ids=["Python only", "another ABI", "a library missing", "no kernels for this GPU", "wrong results"],
)
@pytest.mark.parametrize("feature", Feature)
def test_a_broken_build_gives_its_reason(feature: Feature, extensions: dict[str, str], reason: str, site: Path) -> None:
    install(site, extensions)
    extension = {Feature.LAYER_NORM: LAYER_NORM, Feature.DENSE: DENSE}.get(feature, OPTIMIZERS)

    apex = on_cpu([feature])

    assert not apex.classes
    expected = reason.format(extension=extension, feature=feature, torch=torch.__version__)
    assert apex.faults[feature].startswith(expected), apex.faults
    assert "\n" not in apex.faults[feature]


def test_an_apex_older_than_its_torch_gives_its_reason(site: Path) -> None:
    install(site, GOOD)
    (site / "apex" / "normalization" / "fused_layer_norm.py").write_text("from torch import _six\n")

    fault = on_cpu([Feature.LAYER_NORM]).faults[Feature.LAYER_NORM]

    assert fault.startswith(f"apex.normalization cannot be imported with PyTorch {torch.__version__}: cannot import")


def test_a_class_with_another_signature_gives_its_reason(site: Path) -> None:
    install(site, GOOD)
    optimizers = site / "apex" / "optimizers" / "__init__.py"
    optimizers.write_text("def FusedAdam(params): ...\n")

    fault = on_cpu([Feature.ADAM]).faults[Feature.ADAM]

    assert fault.startswith("FusedAdam has another signature than bertd expects:")


@pytest.mark.parametrize("extension", GOOD)
def test_each_feature_is_tested_separately(extension: str, site: Path) -> None:
    install(site, {extension: GOOD[extension]})

    apex = on_cpu(Feature)

    by_extension = {LAYER_NORM: {Feature.LAYER_NORM}, DENSE: {Feature.DENSE}, OPTIMIZERS: {Feature.ADAM, Feature.LAMB}}
    assert apex.classes.keys() == by_extension[extension]
    assert apex.faults.keys() == set(Feature) - by_extension[extension]


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_a_complete_apex_passes_its_checks_in_every_precision(dtype: torch.dtype | None, site: Path) -> None:
    install(site, GOOD)

    apex = detect_apex(Feature, device=CPU, dtype=dtype, runs_on=frozenset({"cpu"}))

    assert apex.classes.keys() == set(Feature), apex.faults


def test_on_a_cpu_nvidias_apex_is_not_used(site: Path) -> None:
    install(site, GOOD)

    apex = detect_apex([Feature.ADAM], device=CPU, dtype=None)

    assert apex.faults == {Feature.ADAM: "its kernels run on cuda, and this run on cpu"}
    assert "apex" not in sys.modules


# ---- Choice in a run -------------------------------------------------------------------------------


def choose(monkeypatch: pytest.MonkeyPatch, *overrides: str, made: Recipe | None = None) -> kernels_module.KernelChoice:
    monkeypatch.setattr(kernels_module, "detect_apex", _on_cpu_too)
    made = made or recipe(8, "precision.kernels=apex", *overrides)
    return choose_kernels(setup_for(made), attention=AttentionChoice(), micros=[4], ranks=ALONE)


def _on_cpu_too(wanted: list[Feature], *, device: torch.device, dtype: torch.dtype | None) -> Apex:
    return detect_apex(wanted, device=device, dtype=dtype, runs_on=frozenset({"cpu"}))


def test_a_recipe_that_insists_on_apex_where_there_is_none_is_refused_with_the_reason(site: Path) -> None:
    install(site, GOOD)
    with pytest.raises(DeviceError, match='kernels = "apex": no part of it can be used: not .*its kernels run on cuda'):
        choose_kernels(
            setup_for(recipe(8, "precision.kernels=apex")), attention=AttentionChoice(), micros=[4], ranks=ALONE
        )


def test_what_is_there_is_used_and_what_is_not_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, {LAYER_NORM: GOOD[LAYER_NORM], OPTIMIZERS: installs.ANOTHER_ABI})

    kernels = choose(monkeypatch)

    assert kernels.name == "apex"
    assert kernels.reason.startswith("the recipe says so; in use: FusedLayerNorm; not FusedDense: apex was built")
    assert "not FusedAdam: amp_C was built for another PyTorch" in kernels.reason


@pytest.mark.parametrize(
    ("overrides", "features"),
    [
        ([], {Feature.LAYER_NORM, Feature.DENSE, Feature.ADAM}),
        (["optimizer.kind=muon"], {Feature.LAYER_NORM, Feature.DENSE, Feature.ADAM}),
        (["optimizer.kind=lamb", "model.bias=false"], {Feature.LAYER_NORM, Feature.LAMB}),
        (["optimizer.kind=lamb", "optimizer.weight_decay=0"], {Feature.LAYER_NORM, Feature.DENSE}),
    ],
)
def test_only_what_the_recipe_has_a_use_for_is_taken(
    overrides: list[str], features: set[Feature], site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, GOOD)
    assert choose(monkeypatch, *overrides).apex.classes.keys() == features


def test_what_another_rank_cannot_use_no_rank_uses(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, GOOD)
    monkeypatch.setattr(kernels_module, "detect_apex", _on_cpu_too)

    class TwoRanks(Ranks):
        """The other rank has only FusedLayerNorm, the last of three features sorted by name."""

        def all_reduce_sum(self, tensor: torch.Tensor) -> torch.Tensor:
            return tensor + torch.tensor([0.0, 0.0, 1.0])

    two = TwoRanks(rank=0, world_size=2, device=CPU, control=None)
    kernels = choose_kernels(
        setup_for(recipe(8, "precision.kernels=apex")), attention=AttentionChoice(), micros=[4], ranks=two
    )

    assert kernels.apex.classes.keys() == {Feature.LAYER_NORM}
    assert "not FusedAdam, FusedDense: another rank cannot use it; give the run GPUs of one kind" in kernels.reason


@pytest.mark.parametrize("kernels", ["auto", "eager", "compile"])
def test_other_kernels_never_import_apex(kernels: str, site: Path) -> None:
    install(site, GOOD)

    chosen = choose_kernels(
        setup_for(recipe(8, f"precision.kernels={kernels}")), attention=AttentionChoice(), micros=[4], ranks=ALONE
    )

    assert chosen.apex == Apex() and "apex" not in sys.modules


# ---- Numerical results -----------------------------------------------------------------------------


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_a_model_with_fused_modules_has_the_same_names_loss_and_gradients(config: EncoderConfig, site: Path) -> None:
    config = replace(config, bias=True)
    stock, fused = trained_like(config), trained_like(config)
    use_fused_modules(fused, the_stand_in(site))
    kinds = {type(module).__name__ for module in fused.modules()}
    assert "FusedLayerNorm" in kinds and "FusedLinear" in kinds
    assert not kinds & {"LayerNorm", "Linear"}

    losses = [model(*batch()) for model in (stock, fused)]
    for loss in losses:
        loss.backward()

    assert torch.allclose(losses[0], losses[1], rtol=1e-5)
    assert list(stock.state_dict()) == list(fused.state_dict())
    for ours, theirs in zip(fused.parameters(), stock.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-4, rtol=1e-4)


def test_a_gradient_that_is_not_contiguous_reaches_the_kernel_contiguous(site: Path) -> None:
    part, linear = the_stand_in(site).classes[Feature.DENSE], torch.nn.Linear(3, 4)

    # The gradient of a sum is one expanded number, with strides of 0.
    FusedLinear(part, linear)(torch.ones(2, 5, 3)).sum().backward()

    assert linear.weight.grad is not None and torch.equal(linear.weight.grad, torch.full((4, 3), 10.0))


def trained(kind: str, apex: Apex, *, steps: int) -> tuple[MaskedLanguageModel, Optimizers]:
    model = MaskedLanguageModel(TINY, seed=1).eval()
    optimizers = build_optimizers(model, OptimizerSection(kind=kind), apex=apex)  # type: ignore[arg-type]  # a literal, by parametrize
    train_on(model, optimizers, steps=steps)
    return model, optimizers


def train_on(model: MaskedLanguageModel, optimizers: Optimizers, *, steps: int) -> None:
    for _ in range(steps):
        optimizers.zero_grad()
        optimizers.set_learning_rate(1e-3)
        model(*batch()).backward()
        optimizers.combined.step()


@pytest.mark.parametrize("kind", ["adamw", "lamb", "muon"])
def test_its_optimizers_train_as_torchs_do(kind: str, site: Path) -> None:
    fused, optimizers = trained(kind, the_stand_in(site), steps=5)
    stock, _ = trained(kind, Apex(), steps=5)

    assert type(optimizers.optimizers[-1]).__name__ == ("FusedLAMB" if kind == "lamb" else "FusedAdam")
    assert optimizers.num_updates() == 5
    for ours, theirs in zip(fused.parameters(), stock.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("kind", ["adamw", "lamb", "muon"])
def test_their_state_goes_through_a_checkpoint_bit_for_bit(kind: str, site: Path, tmp_path: Path) -> None:
    apex = the_stand_in(site)
    model, optimizers = trained(kind, apex, steps=3)
    folder = save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(3))
    other, its_optimizers = trained(kind, apex, steps=1)

    load_checkpoint(folder, model=other, optimizers=its_optimizers)

    assert its_optimizers.num_updates() == 3
    train_on(model, optimizers, steps=2)
    train_on(other, its_optimizers, steps=2)
    ours, theirs = model.state_dict(), other.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_checkpoint_of_torchs_adamw_continues_under_apex(site: Path, tmp_path: Path) -> None:
    apex = the_stand_in(site)
    model, optimizers = trained("adamw", Apex(), steps=3)
    folder = save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(3))
    other, its_optimizers = trained("adamw", apex, steps=1)

    load_checkpoint(folder, model=other, optimizers=its_optimizers)
    train_on(model, optimizers, steps=2)
    train_on(other, its_optimizers, steps=2)

    assert all(torch.allclose(p, q, atol=1e-5) for p, q in zip(model.parameters(), other.parameters(), strict=True))


def test_fp16_overflow_skips_its_step_and_is_counted(site: Path) -> None:
    fp16 = Precision(mode="fp16", dtype=torch.float16, needs_scaler=True)
    train_step, model = train_step_for(8, precision=fp16, apex=the_stand_in(site))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train_step.scaler.load_state_dict(train_step.scaler.state_dict() | {"scale": 2.0**40})

    train_step.update(step=0, lr=1e-3, wants_norm=False)

    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert train_step.skipped_steps(1) == 1


# ---- A run -----------------------------------------------------------------------------------------


def test_a_run_under_apex_reports_it_and_continues_bit_for_bit(
    tmp_path: Path, dataset: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels_module, "detect_apex", _on_cpu_too)
    install(site, {name: GOOD[name] for name in (LAYER_NORM, OPTIMIZERS)})
    whole = make_run(tmp_path / "whole", dataset, "precision.kernels=apex")
    run_to_end(whole)
    resumed, stop_signal = make_run(tmp_path / "resumed", dataset, "precision.kernels=apex"), Event()
    with attempt(resumed, stop_signal=stop_signal) as trainer:
        while trainer.state.step < 5:
            trainer.execute_next_plan()
        stop_signal.set()
        trainer.run()

    run_to_end(resumed, number=2)

    start, _ = kind_of(resumed, StartRecord)
    assert start.kernels == "apex"
    assert "in use: FusedLayerNorm, FusedAdam; not FusedDense: apex was built without" in start.kernels_reason
    assert {alert.code for alert in kind_of(resumed, AlertRecord)} == {"apex_incomplete"}
    ours, theirs = final_weights(whole), final_weights(resumed)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert kind_of(resumed, EndRecord)[0].step == 12
    assert newest_first(resumed.exports)
