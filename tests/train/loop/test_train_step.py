"""The same global batch gives the same update, however it is split; dropout depends only on the step and rank."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Literal, cast

import pytest
import torch
import torch._dynamo
from torch import Tensor
from torch.nn.attention import SDPBackend

from bertd.data.batches.batches import TrainBatches
from bertd.data.batches.masking import MaskedBatch
from bertd.errors import NumericsError
from bertd.model.encoder import EncoderConfig, MaskedLanguageModel, PackedAttention
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe
from bertd.train.autotune.speed_probe import ModelSetup
from bertd.train.backends.apex.detect import Apex
from bertd.train.backends.precision import Precision
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.loss_fn import ForwardPass
from bertd.train.loop.train_step import TrainStep, dropout_seed
from bertd.train.loop.validation import Validator
from bertd.train.optim.optimizer import build_optimizers
from bertd.train.state import ScalerState
from tests.model.test_export import FAMILIES, TINY
from tests.train.operations import Operations, SynchronisingCalls

ALONE = Ranks(rank=0, world_size=1, device=torch.device("cpu"), control=None)
FP32 = Precision(mode="fp32", dtype=None, needs_scaler=False)
FP16 = Precision(mode="fp16", dtype=torch.float16, needs_scaler=True)
BF16 = Precision(mode="bf16", dtype=torch.bfloat16, needs_scaler=False)


class FixedBatches:
    """Repeats eight sequences in micro-batches of the given size; some prediction slots are unused."""

    def __init__(self, micro: int, *, device: torch.device = ALONE.device) -> None:
        generator = torch.Generator().manual_seed(3)
        ids_BS = torch.randint(0, 100, (8, 16), generator=generator)
        positions_BM = torch.stack([torch.randperm(16, generator=generator)[:4] for _ in range(8)])
        labels_BM = torch.randint(0, 100, (8, 4), generator=generator)
        labels_BM[5:, 2:] = -100
        self._whole = MaskedBatch(ids_BS.to(device), positions_BM.to(device), labels_BM.to(device))
        self._micros = self._cut(micro)
        self.accumulation = 8 // micro

    def _cut(self, micro: int) -> Iterator[MaskedBatch]:
        while True:
            for start in range(0, 8, micro):
                rows = slice(start, start + micro)
                whole = self._whole
                yield MaskedBatch(whole.inputs_BS[rows], whole.positions_BM[rows], whole.labels_BM[rows])

    def next_micro_batch(self) -> MaskedBatch:
        return next(self._micros)


def recipe(micro: int, *overrides: str) -> Recipe:
    text = '[run]\nname = "r"\n[budget]\nsteps = 9\n[data]\nshards = "s"\nsequence_length = 16\n'
    text += '[devices]\nkind = "cpu"\ncount = 1\n'
    return parse_recipe(text, name="r", overrides=["batch.sequences=8", f"batch.micro={micro}", *overrides])


def setup_for(made: Recipe) -> ModelSetup:
    """The setup that speed probes share."""
    return ModelSetup(recipe=made, config=TINY, device=ALONE.device, precision=FP32, pad_id=None)


def train_step_for(
    micro: int,
    *overrides: str,
    config: EncoderConfig = TINY,
    pad_id: int | None = None,
    ranks: Ranks = ALONE,
    dropout: float = 0.0,
    precision: Precision = FP32,
    scaler: ScalerState | None = None,
    kernels: str = "eager",
    compile_unit: Literal["model", "layer"] = "model",
    searches_products: bool = False,
    attention: tuple[SDPBackend, ...] = (),
    packed_attention: PackedAttention | None = None,
    apex: Apex | None = None,
) -> tuple[TrainStep, MaskedLanguageModel]:
    torch.manual_seed(0)
    model = MaskedLanguageModel(replace(config, dropout=dropout, attention_dropout=dropout), seed=1).to(ranks.device)
    made = recipe(micro, *overrides)
    train_step = TrainStep(
        made,
        model=model,
        forward=ForwardPass(
            model,
            ranks=ranks,
            precision=precision,
            kernels=kernels,
            compile_unit=compile_unit,
            searches_products=searches_products,
            attention=attention,
            packed_attention=packed_attention,
            pad_id=pad_id,
        ),
        optimizers=build_optimizers(model, made.optimizer, apex=apex),
        batches=cast(TrainBatches, FixedBatches(micro, device=ranks.device)),
        ranks=ranks,
        precision=precision,
        scaler=scaler,
    )
    return train_step, model


def weights_after(steps: int, train_step: TrainStep, model: MaskedLanguageModel) -> dict[str, Tensor]:
    for step in range(steps):
        train_step.update(step=step, lr=1e-3, wants_norm=False)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_accumulation_gives_the_gradient_of_the_whole_batch() -> None:
    whole, whole_model = train_step_for(8)
    cut, cut_model = train_step_for(2)

    whole.update(step=0, lr=0.0, wants_norm=False)
    cut.update(step=0, lr=0.0, wants_norm=False)

    # Micro-batches hold different numbers of predictions, so a mean of their means would differ.
    for ours, theirs in zip(whole_model.parameters(), cut_model.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)
    assert whole.take_loss() == pytest.approx(cut.take_loss(), abs=1e-6)


def test_the_loss_is_the_mean_over_predicted_tokens_since_it_was_read() -> None:
    train_step, model = train_step_for(8)
    batch = FixedBatches(8).next_micro_batch()
    with torch.no_grad():
        expected = float(model(batch.inputs_BS, batch.positions_BM, batch.labels_BM)) / int(
            (batch.labels_BM >= 0).sum()
        )

    train_step.update(step=0, lr=0.0, wants_norm=False)
    train_step.update(step=1, lr=0.0, wants_norm=False)

    assert train_step.has_unread_loss
    assert train_step.take_loss() == pytest.approx(expected, abs=1e-6)
    assert not train_step.has_unread_loss


def test_a_step_done_again_with_dropout_is_the_same_step() -> None:
    first, first_model = train_step_for(4, dropout=0.3)
    uninterrupted = weights_after(3, first, first_model)
    second, second_model = train_step_for(4, dropout=0.3)
    torch.rand(100)

    assert all(
        torch.equal(uninterrupted[name], tensor) for name, tensor in weights_after(3, second, second_model).items()
    )


def test_dropout_differs_between_ranks_and_steps() -> None:
    seeds = {dropout_seed(42, rank=rank, step=step) for rank in range(8) for step in range(100)}

    assert len(seeds) == 800
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("overrides", [(), ("optimizer.clip=1.0",), ("optimizer.kind=muon",), ("optimizer.kind=lamb",)])
def test_an_update_with_its_report_never_waits_for_the_device(
    overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The device "meta" computes shapes alone: reading one of its values raises.
    monkeypatch.setattr(sys.modules["torch.optim.optimizer"], "_get_fused_kernels_supported_devices", lambda: ["meta"])
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    device = torch.device("meta")
    train_step, _ = train_step_for(4, *overrides, ranks=replace(ALONE, device=device))

    with SynchronisingCalls() as calls:
        for step in range(2):
            train_step.update(step=step, lr=1e-3, wants_norm=True)
            reading = train_step.begin_reading()
    assert not calls.seen
    with pytest.raises(RuntimeError, match="meta"), SynchronisingCalls():
        train_step.finish_reading(reading)


def test_the_count_of_waiting_calls_is_not_blind() -> None:
    flags = torch.tensor([True, False])
    with SynchronisingCalls() as calls:
        float(flags.sum())
        flags.nonzero()
        flags.to("meta").copy_(flags)

    assert calls.seen == {"_local_scalar_dense": 1, "nonzero": 1, "_to_copy": 1, "copy_": 1}


def test_the_norm_for_a_report_leaves_the_gradients_alone() -> None:
    train_step, model = train_step_for(8)
    with Operations() as operations:
        train_step.update(step=0, lr=0.0, wants_norm=True)

    assert not [name for name in operations.seen if "_foreach_mul_" in name]
    clipped_to_infinity = torch.nn.utils.clip_grad_norm_(model.parameters(), torch.inf)
    assert train_step.grad_norm is not None and torch.equal(train_step.grad_norm, clipped_to_infinity)


def test_clipping_bounds_the_gradient_and_reports_it_unclipped() -> None:
    free, free_model = train_step_for(8)
    free.update(step=0, lr=0.0, wants_norm=True)
    assert free.grad_norm is not None
    clipped, clipped_model = train_step_for(8, f"optimizer.clip={float(free.grad_norm) / 2}")

    clipped.update(step=0, lr=0.0, wants_norm=False)

    norm = torch.nn.utils.get_total_norm(p.grad for p in clipped_model.parameters() if p.grad is not None)
    assert clipped.grad_norm is not None
    assert float(clipped.grad_norm) == pytest.approx(float(free.grad_norm))
    assert float(norm) == pytest.approx(float(free.grad_norm) / 2, rel=1e-4)


def test_fp16_overflow_skips_the_step_halves_the_scale_and_counts() -> None:
    train_step, model = train_step_for(8, precision=FP16, scaler=ScalerState(scale=2.0**40, growth_tracker=5))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    train_step.update(step=0, lr=1e-3, wants_norm=False)

    assert train_step.scaler.get_scale() == 2.0**39
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert train_step.skipped_steps(1) == 1


@pytest.mark.parametrize("where", ["encoder.layers.0.attention.out.weight", "head.bias"])
def test_an_overflow_in_one_of_two_optimizers_skips_the_step_of_both(where: str) -> None:
    train_step, model = train_step_for(8, "optimizer.kind=muon", precision=FP16)
    is_broken = True
    parameter = model.get_parameter(where)
    parameter.register_hook(lambda gradient: gradient * torch.inf if is_broken else gradient)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    train_step.update(step=0, lr=1e-3, wants_norm=False)
    train_step.update(step=1, lr=1e-3, wants_norm=True)

    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert train_step.skipped_steps(2) == 2 and train_step.scaler.get_scale() == 2.0**14
    is_broken = False
    train_step.update(step=2, lr=1e-3, wants_norm=False)
    assert train_step.skipped_steps(3) == 2
    assert not any(torch.equal(before[name], tensor) for name, tensor in model.named_parameters())


def test_gradients_that_overflow_at_the_least_scale_end_the_run_after_a_hundred_skipped_updates() -> None:
    train_step, model = train_step_for(8, precision=FP16, scaler=ScalerState(scale=2.0, growth_tracker=0))
    is_broken = True
    model.head.bias.register_hook(lambda gradient: gradient * torch.inf if is_broken else gradient)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights_after(100, train_step, model)

    # One of them took the scale from 2 to 1.
    train_step.require_usable_scale(100)
    assert train_step.scaler.get_scale() == 1.0
    train_step.update(step=100, lr=1e-3, wants_norm=False)

    with pytest.raises(NumericsError, match=r'step 101: .* loss scale 1, .* 100 updates were skipped; .*"bf16"'):
        train_step.require_usable_scale(101)
    assert train_step.skipped_steps(101) == 101
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    is_broken = False
    train_step.update(step=101, lr=1e-3, wants_norm=False)
    train_step.require_usable_scale(102)


@pytest.mark.parametrize(
    ("config", "precision", "pad_id"),
    [
        pytest.param(TINY, FP32, None, id="fp32"),
        # Token 0 is among the batch's, so there is something to mask.
        pytest.param(TINY, BF16, 0, id="bf16 with padding", marks=pytest.mark.long),
        pytest.param(
            FAMILIES["ModernBertForMaskedLM that looks nearby"], FP32, None, id="modern", marks=pytest.mark.long
        ),
    ],
)
def test_compiled_updates_and_validations_are_one_graph_each_and_equal_eager_ones(
    config: EncoderConfig, precision: Precision, pad_id: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Graphs, breaks and recompilations do not depend on the backend; this one needs no C++ compiler.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    counters = torch._dynamo.utils.counters
    torch._dynamo.reset()
    counters.clear()
    make = partial(train_step_for, 4, config=config, precision=precision, pad_id=pad_id, dropout=0.3)
    eager, eager_model = make()
    compiled, compiled_model = make(kernels="compile")
    whole = FixedBatches(8).next_micro_batch()
    # Two of three sequences and the one that is left, whose other shape would need a second graph.
    cut = [
        MaskedBatch(whole.inputs_BS[rows], whole.positions_BM[rows], whole.labels_BM[rows])
        for rows in (slice(0, 2), slice(2, 3))
    ]
    validator = Validator(cut, shares_V=torch.full((100,), 0.01, dtype=torch.float64), ranks=ALONE)

    validator.warm_up(compiled.forward)
    assert counters["stats"]["unique_graphs"] == 1
    with torch._dynamo.config.patch(error_on_recompile=True):
        first, before = weights_after(1, compiled, compiled_model), validator.evaluate(compiled.forward)
        weights_after(2, compiled, compiled_model)
        after = validator.evaluate(compiled.forward)

    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["graph_break"]
    assert before.num_tokens == 3 * 4 and after.loss < before.loss
    assert before.unigram_loss == pytest.approx(math.log(100))
    # Dropout draws other numbers when compiled, so compare without it.
    eager_model.load_state_dict(first)
    assert validator.evaluate(eager.forward).loss == pytest.approx(before.loss, abs=1e-5)


def test_compiled_updates_equal_eager_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()
    eager, eager_model = train_step_for(4)
    compiled, compiled_model = train_step_for(4, kernels="compile")

    fast, slow = weights_after(3, compiled, compiled_model), weights_after(3, eager, eager_model)

    assert all(torch.allclose(fast[name], slow[name], atol=1e-5) for name in slow)


@pytest.mark.parametrize(
    ("config", "num_graphs"),
    [
        # Embeddings, all layers but the last, the last, the norm, the head.
        pytest.param(replace(TINY, layers=5), 5, id="learned"),
        # Layers: the first without norm, local, global, the last.
        pytest.param(
            replace(FAMILIES["ModernBertForMaskedLM that looks nearby"], layers=8),
            7,
            id="modern",
            marks=pytest.mark.long,
        ),
    ],
)
def test_compiled_by_layer_equal_layers_share_a_graph_and_updates_equal_those_of_one_graph(
    config: EncoderConfig, num_graphs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    counters = torch._dynamo.utils.counters
    torch._dynamo.reset()
    counters.clear()
    by_layer, by_layer_model = train_step_for(4, config=config, kernels="compile", compile_unit="layer")

    with torch._dynamo.config.patch(recompile_limit=16):
        weights = weights_after(2, by_layer, by_layer_model)
        assert counters["stats"]["unique_graphs"] == num_graphs and not counters["graph_break"]
        with by_layer.forward.evaluation() as loss_of:
            validation_loss = loss_of(FixedBatches(8).next_micro_batch())
            loss_of(FixedBatches(8).next_micro_batch())
        assert counters["stats"]["unique_graphs"] == 2 * num_graphs and not counters["graph_break"]

    torch._dynamo.reset()
    whole, whole_model = train_step_for(4, config=config, kernels="compile")
    expected = weights_after(2, whole, whole_model)
    assert expected.keys() == weights.keys()
    assert all(torch.allclose(weights[name], expected[name], atol=1e-6) for name in expected)
    with whole.forward.evaluation() as loss_of:
        assert torch.allclose(validation_loss, loss_of(FixedBatches(8).next_micro_batch()))


def test_compiled_by_layer_a_layers_gradients_are_there_before_the_backward_pass_of_the_layer_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))

    def mark(_: Tensor) -> None:
        torch.ones(3).cumsum(0)

    def products_after_the_first_gradient(unit: Literal["model", "layer"]) -> int:
        torch._dynamo.reset()
        train_step, model = train_step_for(8, config=replace(TINY, layers=3), kernels="compile", compile_unit=unit)
        train_step.update(step=0, lr=0.0, wants_norm=False)
        train_step.forward.loss(FixedBatches(8).next_micro_batch())
        last = model.get_parameter("encoder.layers.2.feed_forward.up.weight")
        last.register_post_accumulate_grad_hook(mark)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        with torch.profiler.profile() as profile:
            train_step.update(step=1, lr=0.0, wants_norm=False)
        names = [event.name for event in sorted(profile.events() or [], key=lambda event: event.time_range.start)]
        assert "aten::mm" in names
        return names[names.index("aten::cumsum") :].count("aten::mm")

    assert products_after_the_first_gradient("model") == 0
    assert products_after_the_first_gradient("layer") > 10
