"""The bench of what pretraining buys: its encoders, and its tables."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertd.bench.glue import encoders
from bertd.bench.glue.encoders import ARMS, BERTD, STOCK, UNTRAINED, PretrainedEncoder, pretrain_encoders
from bertd.bench.glue.pretraining import format_encoders, format_scores
from bertd.bench.quality.arms import build_small_recipe
from bertd.bench.quality.evaluate import Mean
from bertd.bench.quality.stock import SpentBudget
from bertd.run.recipe.load import find_recipe, read_recipe
from tests.glue.tiny_export import save_tiny_export


def test_both_pretrained_encoders_have_the_shape_of_the_demo(tmp_path: Path) -> None:
    demo = read_recipe(find_recipe("demo")).model
    for arm in ARMS:
        shape = build_small_recipe(shards=str(tmp_path), budget_s=60.0, keys=arm.keys).model
        assert (shape.layers, shape.width, shape.heads, shape.ffn) == (demo.layers, demo.width, demo.heads, demo.ffn)


def test_the_encoder_without_pretraining_differs_in_its_weights_alone(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export")
    trained = AutoModelForMaskedLM.from_pretrained(export, local_files_only=True)
    with torch.no_grad():
        for weight in trained.parameters():
            weight += 1
    trained.save_pretrained(export)
    untrained = encoders._save_untrained(tmp_path / "untrained", like=export)

    trained_state, state = (
        AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True).state_dict()
        for folder in (export, untrained)
    )
    assert {name: tensor.shape for name, tensor in trained_state.items()} == {
        name: tensor.shape for name, tensor in state.items()
    }
    assert not any(torch.equal(trained_state[name], state[name]) for name in state)
    texts = ["a text", "and another one"]
    assert (
        AutoTokenizer.from_pretrained(untrained, local_files_only=True)(texts)["input_ids"]
        == AutoTokenizer.from_pretrained(export, local_files_only=True)(texts)["input_ids"]
    )


def test_encoders_of_an_earlier_call_are_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def train_all(*_: object, folder: Path, **__: object) -> list[tuple[Path, SpentBudget]]:
        calls.append(folder)
        return [(save_tiny_export(folder / str(number)), SpentBudget(1, 16, 1.0)) for number in range(2)]

    class Judge:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def evaluate(self, _: Path) -> Judge:
            return self

        mean = Mean(7.0, 0.1)

    monkeypatch.setattr(encoders, "train_all", train_all)
    monkeypatch.setattr(encoders, "Evaluator", Judge)
    shards = str(tmp_path)
    first = pretrain_encoders(tmp_path / "encoders", shards=shards, budget_s=60.0)

    assert pretrain_encoders(tmp_path / "encoders", shards=shards, budget_s=60.0) == first
    assert len(calls) == 1
    assert [(each.name, each.sequences) for each in first] == [(BERTD, 16), (STOCK, 16), (UNTRAINED, 0)]


def test_the_scores_say_where_the_seeds_do_not_overlap() -> None:
    scores = {
        "cola": {BERTD: [0.2, 0.3], STOCK: [0.1, 0.25], UNTRAINED: [0.0, 0.0]},
        "sst-2": {BERTD: [0.8, 0.9], STOCK: [0.7, 0.75], UNTRAINED: [0.95, 0.95]},
        "demo": {BERTD: [0.6, 0.6], STOCK: [0.0, 0.0], UNTRAINED: [0.0, 0.0]},
    }
    lines = format_scores(scores).splitlines()

    assert "0.250 (0.200-0.300)" in lines[1] and lines[1].endswith("0.550 (0.500-0.600)"), "the mean is without demo"
    assert "+0.075 overlapping" in lines[5] and "+0.125 apart" in lines[5]
    assert "+0.250 apart" in lines[7] and "-0.100 apart" in lines[7]


def test_encoders_are_described_by_their_loss() -> None:
    encoder = PretrainedEncoder(BERTD, Path("export"), 12_345, Mean(6.5, 0.02))
    header, line = format_encoders([encoder], budget_s=600.0).splitlines()
    assert header.startswith("10m 00s")
    assert line.split() == [BERTD, "12,345", "6.500", "+-", "0.020"]
