"""bertd.bench.glue: its inputs, its own side over a tiny task, and its tables."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from bertd.bench.glue import ours
from bertd.bench.glue.compare_sides import ARMS, BERTD, QUALITY_ARMS, format_quality, format_speed
from bertd.bench.glue.grid import GridFigures, format_grid
from bertd.bench.glue.inputs import BENCH_TASKS, SST2_ROWS, make_spec, prepare_data
from bertd.bench.glue.side_protocol import Answer, Order
from bertd.bench.glue.sides import OURS, STOCK, share_cores, split_cores
from bertd.errors import CorpusError
from bertd.glue.tasks import TASKS
from tests.glue.glue_jobs import write_cola
from tests.glue.tiny_export import save_tiny_export


def test_sst2_is_cut_and_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in BENCH_TASKS:
        folder = tmp_path / "glue" / TASKS[name].folder
        folder.mkdir(parents=True)
        for file in ("train.tsv", "dev.tsv"):
            (folder / file).write_text("sentence\tlabel\n" + "a\t1\n" * (SST2_ROWS + 7))
    data = prepare_data(tmp_path / "glue", tmp_path / "data")
    assert (data / "SST-2" / "train.tsv").read_text().count("\n") == SST2_ROWS + 1
    assert (data / "MRPC" / "train.tsv").read_text().count("\n") == SST2_ROWS + 8
    all_rows = prepare_data(tmp_path / "glue", tmp_path / "all", max_rows=SST2_ROWS + 7)
    assert (all_rows / "SST-2" / "train.tsv").read_text().endswith("a\t1\n"), "no empty line after the last"
    few = prepare_data(tmp_path / "glue", tmp_path / "few", max_rows=10)
    assert (few / "MRPC" / "train.tsv").read_text().count("\n") == 11, "with the header"
    assert (few / "CoLA" / "train.tsv").read_text().count("\n") == 10, "it has none"
    (tmp_path / "glue" / "RTE" / "dev.tsv").unlink()
    with pytest.raises(CorpusError, match=r"RTE/dev\.tsv: does not exist"):
        prepare_data(tmp_path / "glue", tmp_path / "other")


@pytest.mark.parametrize("is_evaluated", [False, True])
def test_bertds_side_trains_what_it_is_asked_for(tmp_path: Path, is_evaluated: bool) -> None:
    spec = make_spec(
        "cola",
        encoder=save_tiny_export(tmp_path / "e"),
        data=write_cola(tmp_path / "d", num_train=64),
        seed=1,
        epochs=2,
    )
    answer = ours.carry_out(Order(spec=spec, max_rows=None if is_evaluated else 48, is_evaluated=is_evaluated))
    assert answer.num_examples == (128 if is_evaluated else 96)
    assert answer.wall_s > 0 and answer.cpu_s > 0
    assert (answer.score is None) is not is_evaluated
    if is_evaluated:
        assert answer.loss == pytest.approx(math.log(2), abs=0.3), "of two classes, by weights that were not trained"


def test_ratios_are_of_the_same_turn() -> None:
    def answers(seconds: list[float]) -> list[Answer]:
        return [Answer(num_examples=100, wall_s=2 * each, cpu_s=each) for each in seconds]

    turns = {"rte": {arm: answers([3.0, 12.0, 8.0]) for arm in ARMS} | {BERTD: answers([2.0, 4.0, 4.0])}}
    text = format_speed(turns)
    assert "25 (25-50)" in text, "examples in a second of processor time"
    assert text.count("2.00 (1.50-3.00)   mean 2.00") == 4


def test_scores_and_losses_are_compared_with_the_spread_of_the_seeds() -> None:
    ours_arm, stock_arm = QUALITY_ARMS

    def answers(scores: list[float], losses: list[float]) -> list[Answer]:
        return [
            Answer(num_examples=1, wall_s=1.0, cpu_s=1.0, score=score, loss=loss)
            for score, loss in zip(scores, losses, strict=True)
        ]

    finetunings = {
        "cola": {
            ours_arm: answers([0.10, 0.12, 0.14], [0.61, 0.62, 0.63]),
            stock_arm: answers([0.11, 0.13, 0.12], [0.81, 0.82, 0.83]),
        },
        "rte": {
            ours_arm: answers([0.1, 0.1, 0.1], [0.7, 0.7, 0.7]),
            stock_arm: answers([0.1 + 1e-17, 0.1, 0.1], [0.7, 0.7 + 1e-16, 0.7 - 1e-16]),
        },
        "mrpc": {ours_arm: answers([0.7], [0.6]), stock_arm: answers([0.8], [0.6])},
    }
    cola_score, cola_loss, rte_score, rte_loss, mrpc_score, mrpc_loss = format_quality(finetunings).splitlines()[1:]
    assert "0.120 (0.100-0.140)" in cola_score
    assert cola_score.endswith("+0.0000, within twice the spread 0.0200")
    assert cola_loss.endswith("-0.2000, more than twice the spread 0.0100")
    assert ", within" in rte_score and ", within" in rte_loss, "rounding is no difference"
    assert mrpc_score.endswith("-0.100") and mrpc_loss.endswith("+0.000"), "one seed has no spread"


def test_the_sides_share_cores_for_speed_and_split_them_for_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    assert share_cores(2) == {OURS: [3, 5], STOCK: [3, 5]}
    assert split_cores(1) == {OURS: [3], STOCK: [5]}
    assert split_cores(2) == {OURS: [3, 5], STOCK: [3, 5]}, "too few cores for two each"


def test_the_grids_shares_add_up() -> None:
    figures = GridFigures(num_trials=20, num_workers=2, wall_s=100.0, training_s=170.0, trial_s=190.0)
    assert figures.training_share == pytest.approx(0.85)
    shares = [float(line.split()[-1].rstrip("%")) for line in format_grid(figures).splitlines()[1:]]
    assert shares == [85.0, 10.0, 5.0]
