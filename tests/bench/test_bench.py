"""Contenders do the same work, and a bench reports each of them."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from bertd.bench import __main__ as command
from bertd.bench import contenders, measuring
from bertd.bench.contenders import (
    EAGER_TOP,
    LADDER,
    OURS,
    RIVAL_WITH_PAGES,
    RIVALS,
    Contender,
    build,
    contenders_for,
    model_and_loss,
)
from bertd.bench.measuring import run_bench
from bertd.bench.work import Work, padded_batch, plan_work, synthetic_batch
from bertd.errors import DeviceError, RecipeError
from bertd.run.recipe import Recipe
from bertd.run.recipe_file import parse_recipe
from bertd.train.apex import Apex
from bertd.train.apex_probes import Feature
from bertd.train.attention import Attention
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
def work() -> Work:
    recipe = parse_recipe(TEXT, name="bench")
    return plan_work(recipe, device=torch.device("cpu"), num_sequences=4, is_synthetic=True)


def test_synthetic_tokens_follow_zipfs_law_and_are_the_same_every_time() -> None:
    batch = synthetic_batch(64, length=128, predictions=19, vocab_size=1000)
    again = synthetic_batch(64, length=128, predictions=19, vocab_size=1000)

    counts = torch.bincount(batch.inputs_NS.flatten(), minlength=1000)
    assert torch.equal(batch.inputs_NS, again.inputs_NS)
    assert int(counts[:5].sum()) == 0
    # Of 995 ranks the first has 1 / H(995) = 13.4 % of the tokens; the bound is six standard deviations wide.
    assert 0.111 < int(counts[5]) / batch.inputs_NS.numel() < 0.157
    assert torch.equal(batch.inputs_NS.gather(1, batch.positions_NM), batch.labels_NM)


def test_the_dense_and_the_sparse_head_have_the_same_loss(work: Work) -> None:
    losses = []
    for contender in (
        Contender("dense", "ours", compiled=False, head="dense", last_layer="whole"),
        Contender("sparse", "ours", compiled=False, last_layer="whole"),
        Contender("subset", "ours", compiled=False, gradient="by autograd"),
        Contender("fused", "ours", compiled=False),
    ):
        _, loss_of = model_and_loss(contender, work)
        losses.append(loss_of(work.batch).item())

    assert losses == pytest.approx([losses[0]] * 4, abs=1e-5)


@pytest.mark.parametrize("contender", [c for c in (*OURS, *RIVALS) if not c.compiled], ids=lambda c: c.name)
def test_micro_batches_add_up_to_the_same_update(contender: Contender, work: Work) -> None:
    losses = []
    for micro in (2, 4):
        torch.manual_seed(0)
        update = build(contender, work, micro=micro).update
        losses.append([update().item(), update().item()])

    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0][1] < losses[0][0]


def test_padded_rows_hold_what_fits_and_predict_as_much(work: Work) -> None:
    batch = synthetic_batch(400, length=128, predictions=20, vocab_size=1000)
    padded = padded_batch(batch)

    assert padded.keep_NS is not None and torch.equal(padded.inputs_NS == 0, ~padded.keep_NS)
    assert padded.keep_NS.gather(1, padded.positions_NM).all()
    assert torch.equal(padded.labels_NM, padded.inputs_NS.gather(1, padded.positions_NM))
    # 0.9 x (128 - 12.5) + 0.1 x (128 - 54) of 128.
    assert padded.fill == pytest.approx(0.87, abs=0.02) and batch.fill == 1.0
    first, *_ = LADDER
    assert first.packing == "sentences" and build(first, work, micro=4).update().isfinite()


def test_apex_and_measured_attention_are_benched_where_there_is_a_choice(work: Work) -> None:
    assert contenders_for(work, is_ladder=True) == [*LADDER, EAGER_TOP]
    assert contenders_for(work, is_ladder=False) == [*OURS, *RIVALS, RIVAL_WITH_PAGES]
    on_gpu = replace(work, attention=Attention(("math",)), apex=Apex(parts={Feature.LAYER_NORM: torch.nn.LayerNorm}))
    measured, eager, _ = contenders_for(on_gpu, is_ladder=True)[-3:]
    assert measured.attention == "measured" and replace(measured, name=eager.name, compiled=False) == eager
    apex = contenders_for(on_gpu, is_ladder=False)[2]
    chosen = replace(measured, compiled=False)
    assert apex.apex and build(apex, on_gpu, micro=4).update().item() == pytest.approx(
        build(chosen, on_gpu, micro=4).update().item()
    )


def test_a_contender_that_made_room_goes_on_where_it_was(work: Work) -> None:
    losses = []
    for moves in (False, True):
        torch.manual_seed(0)
        built = build(OURS[0], work, micro=4)
        losses.append(built.update().item())
        if moves:
            built.move(torch.device("cpu"))
            assert all(parameter.grad is None for parameter in built.model.parameters())
        losses.append(built.update().item())

    assert losses[:2] == losses[2:]


@pytest.mark.long
def test_a_bench_measures_each_contender_as_often_as_asked(work: Work) -> None:
    eager = [contender for contender in (*LADDER, *RIVALS) if not contender.compiled]

    results = run_bench(eager, work, micros=[2, 4], repeats=2, seconds=0.01, say=lambda _: None)

    assert [each.contender.name for each in results.measured] == [contender.name for contender in eager]
    assert all(len(each.sequences_per_s) == 2 and each.median > 0 for each in results.measured)
    assert results.ceiling_flops > 0 and not results.failures


def test_the_command_prints_what_it_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["model.layers=1", "model.width=32", "model.heads=2", "model.ffn=64", "data.sequence_length=32"]
    options = [option for override in small for option in ("--set", override)]
    turns = ["--sequences", "4", "--micro", "4", "--seconds", "0.01", "--repeats", "1"]
    eager = [contender for contender in LADDER if not contender.compiled]
    # Compiling takes half a minute and is held to its graphs by tests/train/test_update.py.
    monkeypatch.setattr(contenders, "LADDER", eager)
    monkeypatch.setattr(sys, "argv", ["bench", "demo", "--synthetic", "--ladder", "--json", *turns, *options])

    assert command.main() == 0

    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told["contenders"]] == [contender.name for contender in (*eager, EAGER_TOP)]
    assert (told["recipe"], told["precision"]) == ("demo", "fp32")
    assert told["device"] and told["ceiling_flops"] > 0


def test_a_data_set_is_found_by_name_and_a_whole_run_is_measured_on_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dataset = make_tiny_dataset(tmp_path)
    monkeypatch.setenv("BERTD_DATA", str(dataset.parent))
    small = [f"data.shards={dataset.name}", "model.layers=1", "model.width=32", "model.heads=2", "model.ffn=64"]
    small += ["data.sequence_length=32", "data.packing=sentences"]
    # As BERT has no such layer, the table must say how large each is.
    small += ["model.positions=rotary", "model.activation=geglu", "model.embedding_norm=true"]
    options = [option for override in small for option in ("--set", override)]
    turns = ["--sequences", "4", "--micro", "2", "4", "--seconds", "0.01", "--repeats", "1"]
    monkeypatch.setattr(contenders, "OURS", OURS[:1])
    monkeypatch.setattr(contenders, "RIVALS", RIVALS[:1])
    monkeypatch.setattr(contenders, "RIVAL_WITH_PAGES", RIVALS[0])
    monkeypatch.setattr(sys, "argv", ["bench", "demo", *turns, *options])

    assert command.main() == 0

    told = capsys.readouterr().out
    rows = [line for line in told.splitlines() if line.startswith("bertd, ")]
    assert [row[:18].rstrip() for row in rows] == ["bertd, eager", "bertd, a whole run"]
    assert "demo: 1 layers x 32" in told and "parameters: bertd " in told
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]


@pytest.mark.parametrize(("has_gpu", "name"), [(True, "fast"), (False, "demo")])
def test_where_no_recipe_is_named_the_machine_decides(
    has_gpu: bool, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def plan(recipe: Recipe, **_: object) -> Work:
        asked.append(recipe.run.name)
        raise RecipeError("enough")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(has_gpu))
    monkeypatch.setattr(command, "plan_work", plan)
    monkeypatch.setattr(sys, "argv", ["bench", "--synthetic"])

    assert command.main() == RecipeError.exit_code and asked == [name]
    if not has_gpu:
        monkeypatch.setattr(sys, "argv", ["bench", "fast", "--synthetic"])
        assert command.main() == DeviceError.exit_code
        assert "fast is for GPUs, and this machine shows none; --set devices.kind=cpu" in capsys.readouterr().err


def test_ctrl_c_is_a_line_and_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_bench", interrupted)
    monkeypatch.setattr(sys, "argv", ["bench", "demo", "--synthetic", "--sequences", "8"])

    assert command.main() == 130
    assert capsys.readouterr().err == "bertd: interrupted; nothing was measured to its end\n"


def test_a_contender_is_compiled_for_its_own_attention_kernel(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    counts = []
    for names in ((), ("math",)):
        attention = replace(work, attention=Attention(names))
        update = build(OURS[1], attention, micro=2).update
        losses = [update(), update()]
        assert losses[1] < losses[0]
        counts.append(counter.frame_count)

    assert counts == [1, 2]


def test_a_contender_that_no_memory_holds_is_told_in_a_line(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*_: object, **__: object) -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr(measuring, "build", hungry)
    results = run_bench([OURS[0]], work, micros=[2, 4], repeats=1, seconds=0.01, say=lambda _: None)

    (reason,) = results.failures.values()
    assert reason.startswith("not even a micro-batch of 2 fits: the machine's memory is too small: ")
    assert not results.measured


def test_a_contender_that_cannot_run_leaves_the_others_their_rows(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_ours_alone(contender: Contender, *rest: Any, **options: Any) -> Any:
        if contender.model != "ours":
            raise RuntimeError("no C compiler\nand more")
        return build(contender, *rest, **options)

    monkeypatch.setattr(measuring, "build", build_ours_alone)
    results = run_bench([RIVALS[0], OURS[0]], work, micros=[2], repeats=1, seconds=0.01, say=lambda _: None)

    assert results.failures == {RIVALS[0].name: "no C compiler"}
    assert [each.contender.name for each in results.measured] == [OURS[0].name]
