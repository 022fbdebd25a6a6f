"""bertd.bench.glue: its inputs, its own side over a tiny task, and its tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.bench.glue import ours
from bertd.bench.glue.compare_sides import ARMS, BERTD, QUALITY_ARMS, format_quality, format_speed
from bertd.bench.glue.grid import GridFigures, format_grid
from bertd.bench.glue.inputs import BENCH_TASKS, SST2_ROWS, make_spec, prepare_data
from bertd.bench.glue.side_protocol import Answer, Order
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


def test_ratios_are_of_the_same_turn() -> None:
    def answers(seconds: list[float]) -> list[Answer]:
        return [Answer(num_examples=100, wall_s=2 * each, cpu_s=each) for each in seconds]

    turns = {"rte": {arm: answers([3.0, 12.0, 8.0]) for arm in ARMS} | {BERTD: answers([2.0, 4.0, 4.0])}}
    text = format_speed(turns)
    assert "25 (25-50)" in text, "examples in a second of processor time"
    assert text.count("2.00 (1.50-3.00)   mean 2.00") == 4


def test_scores_are_compared_with_the_spread_of_the_seeds() -> None:
    ours_arm, stock_arm = QUALITY_ARMS
    scores = {
        "cola": {ours_arm: [0.10, 0.12, 0.14], stock_arm: [0.11, 0.13, 0.12]},
        "rte": {ours_arm: [0.70, 0.71, 0.72], stock_arm: [0.50, 0.51, 0.52]},
        "mrpc": {ours_arm: [0.7], stock_arm: [0.8]},
    }
    cola, rte, mrpc = format_quality(scores).splitlines()[1:]
    assert "+0.000  within twice the spread 0.020" in cola
    assert "+0.200  more than twice the spread 0.010" in rte
    assert mrpc.endswith("-0.100"), "one seed has no spread"


def test_the_grids_shares_add_up() -> None:
    figures = GridFigures(num_trials=20, num_workers=2, wall_s=100.0, training_s=170.0, trial_s=190.0)
    assert figures.training_share == pytest.approx(0.85)
    shares = [float(line.split()[-1].rstrip("%")) for line in format_grid(figures).splitlines()[1:]]
    assert shares == [85.0, 10.0, 5.0]
