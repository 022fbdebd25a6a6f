"""All contenders do the same work, and the bench reports each of them."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from bertd.bench import __main__ as command
from bertd.bench import compare_speed, models, timing
from bertd.bench.models import (
    BASELINE_KEEPING_PAGES,
    BASELINES,
    BF16_RESIDUAL_RUNG,
    BY_LAYER_ROW,
    EAGER_TOP,
    FLOAT8_ROWS,
    LADDER,
    OURS,
    PRODUCT_SEARCH_ROW,
    Contender,
    build_contender,
    build_model_and_loss,
    eager_twin,
    is_own_twin,
    select_contenders,
)
from bertd.bench.timing import run_bench
from bertd.bench.turn_log import TurnLog
from bertd.bench.workload import Workload, make_synthetic_batch, pad_batch, plan_workload
from bertd.errors import DeviceError, RecipeError
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe
from bertd.train.autotune.attention_backend import AttentionChoice
from bertd.train.backends.apex.check import Feature
from bertd.train.backends.apex.detect import Apex
from bertd.train.backends.precision import Precision
from tests.tiny_data import make_tiny_dataset

TEXT = """
[run]
name = "bench"
[budget]
steps = 1
[data]
shards = "none"
sequence_length = 32
[model]
layers = 1
width = 32
heads = 2
ffn = 64
dropout = 0.0
attention_dropout = 0.0
[batch]
sequences = 4
micro = 4
[devices]
kind = "cpu"
count = 1
"""


@pytest.fixture
def workload() -> Workload:
    recipe = parse_recipe(TEXT, name="bench")
    return plan_workload(recipe, device=torch.device("cpu"), num_sequences=4, is_synthetic=True)


def test_synthetic_tokens_follow_zipfs_law_and_are_the_same_every_time() -> None:
    batch = make_synthetic_batch(64, length=128, predictions=19, vocab_size=1000)
    again = make_synthetic_batch(64, length=128, predictions=19, vocab_size=1000)

    counts = torch.bincount(batch.inputs_NS.flatten(), minlength=1000)
    assert torch.equal(batch.inputs_NS, again.inputs_NS)
    assert int(counts[:5].sum()) == 0
    # Of 995 ranks the first has 1 / H(995) = 13.4 % of the tokens; the bound is six standard deviations wide.
    assert 0.111 < int(counts[5]) / batch.inputs_NS.numel() < 0.157
    assert torch.equal(batch.inputs_NS.gather(1, batch.positions_NM), batch.labels_NM)


def test_the_dense_and_the_sparse_head_have_the_same_loss(workload: Workload) -> None:
    losses = []
    for contender in (
        Contender("dense", "ours", compiled=False, head="dense", last_layer="whole"),
        Contender("sparse", "ours", compiled=False, last_layer="whole"),
        Contender("subset", "ours", compiled=False, gradient="by autograd"),
        Contender("fused", "ours", compiled=False),
    ):
        _, loss_of = build_model_and_loss(contender, workload)
        losses.append(loss_of(workload.batch).item())

    assert losses == pytest.approx([losses[0]] * 4, abs=1e-5)


@pytest.mark.parametrize("contender", [c for c in (*OURS, *BASELINES) if not c.compiled], ids=lambda c: c.name)
def test_micro_batches_add_up_to_the_same_update(contender: Contender, workload: Workload) -> None:
    losses = []
    for micro in (2, 4):
        torch.manual_seed(0)
        update = build_contender(contender, workload, micro=micro).update
        losses.append([update().item(), update().item()])

    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0][1] < losses[0][0]


def test_padded_rows_hold_what_fits_and_predict_as_much(workload: Workload) -> None:
    batch = make_synthetic_batch(400, length=128, predictions=20, vocab_size=1000)
    padded = pad_batch(batch)

    assert padded.attention_mask_NS is not None and torch.equal(padded.inputs_NS == 0, ~padded.attention_mask_NS)
    assert padded.attention_mask_NS.gather(1, padded.positions_NM).all()
    assert torch.equal(padded.labels_NM, padded.inputs_NS.gather(1, padded.positions_NM))
    # 0.9 x (128 - 12.5) + 0.1 x (128 - 54) of 128.
    assert padded.text_share == pytest.approx(0.87, abs=0.02) and batch.text_share == 1.0
    first, *_ = LADDER
    assert first.packing == "sentences" and build_contender(first, workload, micro=4).update().isfinite()


def test_apex_and_measured_attention_are_benched_where_there_is_a_choice(workload: Workload) -> None:
    assert select_contenders(workload, is_ladder=True) == [*LADDER, EAGER_TOP]
    assert select_contenders(workload, is_ladder=False) == [*OURS, *BASELINES, BASELINE_KEEPING_PAGES]
    on_gpu = replace(
        workload, attention=AttentionChoice(("math",)), apex=Apex(classes={Feature.LAYER_NORM: torch.nn.LayerNorm})
    )
    measured, eager, _ = select_contenders(on_gpu, is_ladder=True)[-3:]
    assert measured.attention == "measured" and replace(measured, name=eager.name, compiled=False) == eager
    apex = select_contenders(on_gpu, is_ladder=False)[2]
    chosen = replace(measured, compiled=False)
    assert apex.apex and build_contender(apex, on_gpu, micro=4).update().item() == pytest.approx(
        build_contender(chosen, on_gpu, micro=4).update().item()
    )


def test_a_bf16_residual_is_benched_where_products_are_in_bf16(workload: Workload) -> None:
    bf16 = replace(workload, precision=Precision(mode="bf16", dtype=torch.bfloat16, needs_scaler=False))
    rung = select_contenders(bf16, is_ladder=True)[-2]
    assert rung == BF16_RESIDUAL_RUNG
    narrow, wide = replace(rung, compiled=False), replace(rung, compiled=False, residual="recipe's")

    losses = [build_contender(each, bf16, micro=4).update().item() for each in (narrow, wide)]
    assert losses[0] == pytest.approx(losses[1], rel=5e-3) and losses[0] != losses[1]


def test_a_gpus_ladder_has_the_top_compiled_by_layer_which_computes_the_same(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    assert BY_LAYER_ROW not in select_contenders(workload, is_ladder=True)
    monkeypatch.setattr(models, "require_float8", lambda device: None)
    on_gpu = replace(workload, device=torch.device("cuda"))
    assert BY_LAYER_ROW in select_contenders(on_gpu, is_ladder=True)

    eager = replace(BY_LAYER_ROW, compiled=False)
    losses = [build_contender(each, workload, micro=4).update().item() for each in (BY_LAYER_ROW, eager)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_a_gpus_ladder_ends_with_8_bit_products_where_there_are_any_and_with_the_search_for_kernels(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu = replace(workload, device=torch.device("cuda"))
    monkeypatch.setattr(models, "require_float8", lambda device: None)
    assert select_contenders(on_gpu, is_ladder=True)[-3:] == [*FLOAT8_ROWS, PRODUCT_SEARCH_ROW]

    def refuse(device: torch.device) -> None:
        raise DeviceError("torchao is not installed")

    monkeypatch.setattr(models, "require_float8", refuse)
    assert select_contenders(on_gpu, is_ladder=True)[-2:] == [BY_LAYER_ROW, PRODUCT_SEARCH_ROW]
    assert PRODUCT_SEARCH_ROW not in select_contenders(workload, is_ladder=True)


def test_rows_of_8_bits_and_of_searched_products_are_built_so(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[str] = []
    monkeypatch.setattr(models, "use_float8", lambda model, products: converted.append(products))
    given: list[object] = []

    def compile_with(function: Callable[..., object], *, options: object, **others: object) -> object:
        given.append(options)
        return function

    monkeypatch.setattr(torch, "compile", compile_with)
    for row in (*FLOAT8_ROWS, PRODUCT_SEARCH_ROW):
        build_contender(row, workload, micro=4)
    assert converted == ["large", "all"]
    assert given == [None, None, {"max_autotune_gemm": True}]


def test_a_contender_continues_unchanged_after_it_was_moved(workload: Workload) -> None:
    losses = []
    for moves in (False, True):
        torch.manual_seed(0)
        built = build_contender(OURS[0], workload, micro=4)
        losses.append(built.update().item())
        if moves:
            built.move(torch.device("cpu"))
            assert all(parameter.grad is None for parameter in built.model.parameters())
        losses.append(built.update().item())

    assert losses[:2] == losses[2:]


@pytest.mark.long
def test_a_bench_measures_each_contender_as_often_as_asked(workload: Workload) -> None:
    eager = [contender for contender in (*LADDER, *BASELINES) if not contender.compiled]

    results = run_bench(eager, workload, micros=[2, 4], repeats=2, seconds=0.01, log_line=lambda _: None)

    assert [each.contender.name for each in results.measured] == [contender.name for contender in eager]
    assert all(len(each.sequences_per_s) == 2 and each.median > 0 for each in results.measured)
    assert results.ceiling_flops > 0 and not results.failures


def test_the_command_prints_what_it_measured_and_writes_it_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "bench.jsonl"
    small = ["model.layers=1", "model.width=32", "model.heads=2", "model.ffn=64", "data.sequence_length=32"]
    options = [option for override in small for option in ("--set", override)]
    turns = ["--sequences", "4", "--micro", "4", "--seconds", "0.01", "--repeats", "1"]
    eager = [contender for contender in LADDER if not contender.compiled]
    # Compiling takes half a minute; tests/train/loop/test_train_step.py checks its graphs.
    monkeypatch.setattr(models, "LADDER", eager)
    monkeypatch.setattr(
        sys, "argv", ["bench", "demo", "--synthetic", "--ladder", "--json", "--out", str(out), *turns, *options]
    )

    assert command.main() == 0

    output = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in output["contenders"]] == [contender.name for contender in (*eager, EAGER_TOP)]
    # What is printed at the end was on the disk before.
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["ready"] * 7 + ["ceiling"] + ["turn"] * 7
    speeds = {line["name"]: line["sequences_per_s"] for line in lines if line["kind"] == "turn"}
    assert {each["name"]: each["sequences_per_s"] for each in output["contenders"]} == {
        name: [speed] for name, speed in speeds.items()
    }
    assert not output["loss_faults"]
    assert all(abs(each["first_loss"] / each["eager_loss"] - 1) < 1e-4 for each in output["contenders"])
    assert (output["recipe"], output["precision"]) == ("demo", "fp32")
    assert output["device"] and output["ceiling_flops"] > 0


def test_a_data_set_is_found_by_name_and_a_whole_run_is_measured_on_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dataset = make_tiny_dataset(tmp_path)
    monkeypatch.setenv("BERTD_DATA", str(dataset.parent))
    small = [f"data.shards={dataset.name}", "model.layers=1", "model.width=32", "model.heads=2", "model.ffn=64"]
    small += ["data.sequence_length=32", "data.packing=sentences"]
    # BERT has no such layer, so the table must show the sizes of both.
    small += ["model.positions=rotary", "model.activation=geglu", "model.embedding_norm=true"]
    options = [option for override in small for option in ("--set", override)]
    turns = ["--sequences", "4", "--micro", "2", "4", "--seconds", "0.01", "--repeats", "1"]
    monkeypatch.setattr(models, "OURS", OURS[:1])
    monkeypatch.setattr(models, "BASELINES", BASELINES[:1])
    monkeypatch.setattr(models, "BASELINE_KEEPING_PAGES", BASELINES[0])
    monkeypatch.setattr(sys, "argv", ["bench", "demo", *turns, *options])

    assert command.main() == 0

    output = capsys.readouterr().out
    rows = [line for line in output.splitlines() if line.startswith("bertd, ")]
    assert [row[:18].rstrip() for row in rows] == ["bertd, eager", "bertd, a whole run"]
    assert "demo: 1 layers x 32" in output and "parameters: bertd " in output
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]


@pytest.mark.parametrize(("has_gpu", "name"), [(True, "fast"), (False, "demo")])
def test_without_a_recipe_the_machine_decides(
    has_gpu: bool, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requested: list[str] = []

    def plan(recipe: Recipe, **_: object) -> Workload:
        requested.append(recipe.run.name)
        raise RecipeError("enough")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(has_gpu))
    monkeypatch.setattr(compare_speed, "plan_workload", plan)
    monkeypatch.setattr(sys, "argv", ["bench", "--synthetic"])

    assert command.main() == RecipeError.exit_code and requested == [name]
    if not has_gpu:
        monkeypatch.setattr(sys, "argv", ["bench", "fast", "--synthetic"])
        assert command.main() == DeviceError.exit_code
        assert "fast needs a GPU, and this machine has none; --set devices.kind=cpu" in capsys.readouterr().err


def test_ctrl_c_prints_a_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compare_speed, "run_bench", interrupted)
    monkeypatch.setattr(sys, "argv", ["bench", "demo", "--synthetic", "--sequences", "8"])

    assert command.main() == 130
    assert capsys.readouterr().err == "bertd: interrupted; no measurement was completed\n"


def test_a_contender_is_compiled_for_its_own_attention_kernel(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    counts = []
    for names in ((), ("math",)):
        attention = replace(workload, attention=AttentionChoice(names))
        update = build_contender(OURS[1], attention, micro=2).update
        losses = [update(), update()]
        assert losses[1] < losses[0]
        counts.append(counter.frame_count)

    assert counts == [1, 2]


def test_a_contender_that_does_not_fit_in_memory_is_reported_in_a_line(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(*_: object, **__: object) -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr(timing, "build_contender", hungry)
    results = run_bench([OURS[0]], workload, micros=[2, 4], repeats=1, seconds=0.01, log_line=lambda _: None)

    (reason,) = results.failures.values()
    assert reason.startswith("not even a micro-batch of 2 fits: the machine's memory is too small: ")
    assert not results.measured


def test_a_contender_that_cannot_run_leaves_the_others_their_rows(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_ours_alone(contender: Contender, *rest: Any, **options: Any) -> Any:
        if contender.model != "ours":
            raise RuntimeError("no C compiler\nand more")
        return build_contender(contender, *rest, **options)

    monkeypatch.setattr(timing, "build_contender", build_ours_alone)
    results = run_bench([BASELINES[0], OURS[0]], workload, micros=[2], repeats=1, seconds=0.01, log_line=lambda _: None)

    assert results.failures == {BASELINES[0].name: "no C compiler"}
    assert [each.contender.name for each in results.measured] == [OURS[0].name]


def test_a_contender_that_computes_something_else_is_not_called_fast(
    workload: Workload, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kernel that is off by a tenth, and one that overflows after the first update."""
    wrong, overflowing, right = (replace(OURS[0], name=name) for name in ("wrong", "overflowing", "right"))

    def build(contender: Contender, *rest: Any, **options: Any) -> Any:
        built = build_contender(contender, *rest, **options)
        calls: list[torch.Tensor] = []

        def update() -> torch.Tensor:
            calls.append(built.update())
            if contender is wrong:
                return calls[-1] * 1.1
            return calls[-1] * torch.nan if contender is overflowing and len(calls) > 1 else calls[-1]

        return replace(built, update=update)

    monkeypatch.setattr(timing, "build_contender", build)
    results = run_bench(
        [wrong, overflowing, right], workload, micros=[4], repeats=1, seconds=0.01, log_line=lambda _: None
    )

    assert list(results.loss_faults) == ["wrong", "overflowing"]
    assert "eager twin's" in results.loss_faults["wrong"] and "nan at the last" in results.loss_faults["overflowing"]
    table = compare_speed._as_table(results, workload)
    assert "WRONG: wrong: its first loss is" in table and "WRONG: right" not in table


def test_a_turn_that_fails_takes_its_contender_out_and_leaves_the_others_theirs(
    workload: Workload, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing, other = OURS[0], replace(OURS[0], name="other")
    turns: list[str] = []
    real_turn = timing._take_turn

    def take_turn(measured: timing.Measurement, *rest: Any, **options: Any) -> Any:
        turns.append(measured.contender.name)
        if measured.contender is failing and options["repeat"] == 2:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nand more")
        return real_turn(measured, *rest, **options)

    monkeypatch.setattr(timing, "_take_turn", take_turn)
    results = run_bench(
        [failing, other],
        workload,
        micros=[4],
        repeats=3,
        seconds=0.01,
        log_line=lambda _: None,
        turn_log=TurnLog(tmp_path / "bench.jsonl"),
    )

    assert turns == [failing.name, "other", failing.name, "other", "other"]
    assert [len(each.sequences_per_s) for each in results.measured] == [3]
    assert results.failures == {failing.name: "CUDA error: an illegal memory access was encountered"}
    written = [json.loads(line) for line in (tmp_path / "bench.jsonl").read_text().splitlines()]
    assert [line["name"] for line in written if line["kind"] == "turn"] == [failing.name, "other", "other", "other"]


def test_no_contender_learns_at_a_rate_that_could_diverge(workload: Workload) -> None:
    for contender in (OURS[0], BASELINES[0]):
        for optimizer in build_contender(contender, workload, micro=4).optimizers:
            assert [group["lr"] for group in optimizer.param_groups] == [1e-6]


def test_contenders_for_which_no_time_is_left_get_no_turn_and_say_so(workload: Workload) -> None:
    results = run_bench(
        [OURS[0]], workload, micros=[4], repeats=1, seconds=0.01, log_line=lambda _: None, prepare_until_s=0.0
    )
    assert not results.measured and results.failures == {OURS[0].name: "no time was left to prepare it"}


def test_a_plain_eager_contender_is_its_own_twin_and_no_other_is() -> None:
    contenders = [*OURS, *BASELINES, *LADDER]
    assert [each.name for each in contenders if is_own_twin(each)] == [
        "BertForMaskedLM, eager",
        *(rung.name for rung in LADDER if not rung.compiled),
    ]
    # One twin for all that compute the same.
    by_layer, whole = BY_LAYER_ROW, replace(BY_LAYER_ROW, name="whole", compile_unit="recipe's")
    assert eager_twin(by_layer) == eager_twin(whole) and is_own_twin(eager_twin(by_layer))
    assert eager_twin(OURS[0]) == eager_twin(OURS[1]) == eager_twin(LADDER[4])
