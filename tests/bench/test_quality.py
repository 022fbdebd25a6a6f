"""The quality bench trains each arm with the real programs and evaluates all on the same tokens."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from threading import Barrier

import pytest
import torch

from bertd.bench.quality import ours, stock, train_arms
from bertd.bench.quality.__main__ import ResultRow, format_table
from bertd.bench.quality.arms import ABLATIONS, OURS, OurArm, build_small_recipe
from bertd.bench.quality.evaluate import Evaluation, Evaluator
from bertd.bench.quality.stock import SpentBudget
from bertd.data.dataset.shards import DataSet
from bertd.model.encoder import MaskedLanguageModel
from bertd.model.export import write_export
from bertd.run.recipe.schema import BudgetSection, Recipe
from bertd.train.run_inputs import encoder_config
from tests.tiny_data import make_tiny_dataset
from tests.waiting import PATIENCE_S

TINY = (
    "model.layers=1",
    "model.width=32",
    "model.heads=2",
    "model.ffn=64",
    "data.sequence_length=32",
    "batch.sequences=4",
    "batch.micro=4",
    "devices.count=1",
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_dataset(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def recipe(shards: Path) -> Recipe:
    return build_small_recipe(shards=str(shards), budget_s=1.0, keys=TINY)


@pytest.mark.parametrize("arm", [OURS, *ABLATIONS], ids=lambda arm: arm.name)
def test_every_arm_is_a_recipe_that_differs_from_the_first(arm: OurArm, shards: Path) -> None:
    recipe = build_small_recipe(shards=str(shards), budget_s=240.0, keys=arm.keys)

    assert recipe.granted.total_s == pytest.approx(240.0)
    assert (recipe == build_small_recipe(shards=str(shards), budget_s=240.0, keys=OURS.keys)) == (arm is OURS)


def test_the_judge_gives_an_export_the_loss_of_the_model_it_came_from(recipe: Recipe, tmp_path: Path) -> None:
    dataset = DataSet.open(Path(recipe.data.shards_text))
    model = MaskedLanguageModel(encoder_config(recipe, vocab_size=dataset.vocabulary.size), seed=3).eval()
    write_export(model, tmp_path / "export", tokenizer_dir=dataset.tokenizer_dir, model_card="")
    evaluator = Evaluator(recipe, max_sequences=24)

    evaluation = evaluator.evaluate(tmp_path / "export")

    with torch.no_grad():
        sums = [float(model(batch.inputs_BS, batch.positions_BM, batch.labels_BM)) for batch in evaluator.batches]
    assert evaluation.mean.value == pytest.approx(sum(sums) / evaluator.num_tokens, abs=1e-4)
    assert 0.0 < evaluator.unigram_loss < evaluator.uniform_loss


def test_stock_training_lowers_the_loss_of_a_model_that_transformers_loads(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A step reads the clock once.
    readings = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: next(readings) / 100)
    evaluator = Evaluator(recipe, max_sequences=24)
    untrained, _ = stock.train(recipe, peak_lr=1e-9, budget_s=0.01)
    model, spent = stock.train(recipe, peak_lr=5e-3, budget_s=0.7)
    untrained.save_pretrained(tmp_path / "untrained")
    model.save_pretrained(tmp_path / "trained")

    assert (spent.steps, spent.sequences) == (70, 4 * 70)
    assert spent.seconds == pytest.approx(0.7)
    assert evaluator.evaluate(tmp_path / "trained").mean.value < evaluator.evaluate(tmp_path / "untrained").mean.value


@pytest.mark.long
def test_one_of_our_arms_runs_to_the_end_of_its_budget(recipe: Recipe, tmp_path: Path) -> None:
    timed = build_small_recipe(shards=recipe.data.shards_text, budget_s=1.0, keys=TINY)
    steps = timed.model_copy(update={"budget": BudgetSection(steps=2)})

    export, spent = ours.train(steps, tmp_path / "run")

    assert (spent.steps, spent.sequences) == (2, 8)
    assert (export / "model.safetensors").is_file()


def test_the_table_compares_with_the_best_stock_arm(recipe: Recipe) -> None:
    spent = SpentBudget(steps=10, sequences=160, seconds=240.0)
    rows = [
        ResultRow("stock, slow", True, (spent,), (Evaluation((7.0, 8.0)),)),
        ResultRow("stock, fast", True, (spent,), (Evaluation((6.5, 7.5)),)),
        ResultRow("bertd", False, (spent,), (Evaluation((5.5, 7.0)),)),
    ]

    lines = format_table(rows, Evaluator(recipe, max_sequences=8), budget_s=240.0, at_once=1).splitlines()

    # Both stock arms find the second sequence a nat harder, so their difference is certain though their means are not.
    assert [line.split("  ")[-1].strip() for line in lines[4:7]] == [
        "+0.500 +- 0.000",
        "7.000 +- 0.500",
        "-0.750 +- 0.250",
    ]


def test_of_several_seeds_the_errors_over_sequences_and_over_seeds_are_joined() -> None:
    spent = SpentBudget(steps=10, sequences=160, seconds=240.0)
    stock = ResultRow("stock", True, (spent, spent), (Evaluation((7.0, 8.0)), Evaluation((7.4, 8.4))))
    ours = ResultRow("bertd", False, (spent, spent), (Evaluation((6.0, 7.0)), Evaluation((6.0, 7.0))))

    # Paired by seed the differences are -1.0 and -1.4 in every sequence: their standard error is 0.2.
    difference = ours.minus(stock)
    assert difference.value == pytest.approx(-1.2) and difference.standard_error == pytest.approx(0.2)
    # The mean of stock has 0.5 over the two sequences, and 0.2 over the two seeds.
    assert stock.mean.value == pytest.approx(7.7)
    assert stock.mean.standard_error == pytest.approx((0.5**2 + 0.2**2) ** 0.5)


def test_arms_at_once_share_the_cores_and_keep_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cores, both_are_here = os.sched_getaffinity(0), Barrier(2)
    if len(cores) < 2:
        pytest.skip("one core")

    def train(arm: OurArm, *, shards: str, budget_s: float, folder: Path) -> tuple[str, set[int]]:
        both_are_here.wait(timeout=PATIENCE_S)
        return arm.name, os.sched_getaffinity(0)

    monkeypatch.setattr(train_arms, "_train", train)
    trained = train_arms.train_all([OurArm(name) for name in "abcd"], shards="", budget_s=1, folder=tmp_path, at_once=2)

    names, shares = zip(*trained, strict=True)
    assert names == ("a", "b", "c", "d")
    first, second = {frozenset(share) for share in shares}
    assert not first & second and first | second == cores
    assert os.sched_getaffinity(0) == cores
