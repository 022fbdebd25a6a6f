"""The trials of a grid."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bertd.records import Preset
from bertd.run.grid.finetune_grid import (
    GRID_TASKS,
    longest_first,
    make_own_trials,
    make_trials,
    parse_tasks,
    require_own_settings,
)


def test_the_grid_of_the_paper_has_24_settings_for_small_tasks_and_4_for_large_ones() -> None:
    trials = make_trials([*GRID_TASKS], preset=Preset.PAPER)
    numbers = Counter(trial.task for trial in trials)
    assert {task: numbers[task] for task in ("cola", "sst-2", "wnli")} == {"cola": 120, "sst-2": 120, "wnli": 120}
    assert {task: numbers[task] for task in ("mnli", "qqp", "qnli")} == {"mnli": 20, "qqp": 20, "qnli": 20}
    assert len({trial.name for trial in trials}) == 780


def test_seeds_can_be_given_and_are_the_same_for_each_setting() -> None:
    trials = make_trials(["cola", "mnli"], preset=Preset.FAIR, num_seeds=2)
    assert [(trial.task, trial.seed) for trial in trials] == [("cola", 42), ("cola", 43), ("mnli", 42), ("mnli", 43)]


def test_the_small_tasks_are_finetuned_once_more_from_mnli_with_the_same_settings() -> None:
    trials = make_trials(["cola", "mrpc", "mnli"], preset=Preset.MODERN, num_seeds=1, via="mnli")
    assert [(trial.task, trial.via) for trial in trials] == [
        ("cola", None),
        ("mrpc", None),
        ("mnli", None),
        ("mrpc", "mnli"),
    ]
    direct, via = trials[1], trials[3]
    assert via.model_copy(update={"name": direct.name, "via": None}) == direct
    assert via.name == "mrpc-from-mnli-lr5e-05-batch64-epochs10-seed42"


def test_tasks_are_named_once_each_in_any_order_or_all_together() -> None:
    assert parse_tasks("rte, cola,rte", preset=Preset.QUICK) == ["cola", "rte"]
    assert parse_tasks("all", preset=Preset.QUICK) == [*GRID_TASKS]
    for text in ("cola,nope", ""):
        with pytest.raises(ValueError, match="is not a GLUE task; give all"):
            parse_tasks(text, preset=Preset.QUICK)


def test_modern_has_its_setting_of_each_task_and_none_of_wnli() -> None:
    tasks = parse_tasks("all", preset=Preset.MODERN)
    assert tasks == [task for task in GRID_TASKS if task != "wnli"]
    with pytest.raises(ValueError, match="modern has no published setting for wnli; leave it out"):
        parse_tasks("cola,wnli", preset=Preset.MODERN)
    trials = make_trials(tasks, preset=Preset.MODERN, num_seeds=1)
    assert {trial.batch_size for trial in trials} == {64}
    # Source: Warner et al. 2024, appendix.
    assert {trial.task: (trial.lr, trial.weight_decay, trial.epochs) for trial in trials} == {
        "cola": (8e-5, 1e-6, 5),
        "sst-2": (8e-5, 1e-5, 2),
        "mrpc": (5e-5, 5e-6, 10),
        "sts-b": (8e-5, 5e-6, 10),
        "qqp": (5e-5, 5e-6, 10),
        "mnli": (5e-5, 5e-6, 1),
        "qnli": (8e-5, 5e-6, 2),
        "rte": (5e-5, 1e-5, 3),
    }


def test_the_trial_that_reads_most_is_first_and_those_of_a_task_are_together(tmp_path: Path) -> None:
    for folder, num_bytes in (("CoLA", 100), ("RTE", 250)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.tsv").write_bytes(b"x" * num_bytes)
    (tmp_path / "wnli").mkdir()
    (tmp_path / "wnli" / "train-00000.parquet").write_bytes(b"x" * 9)
    trials = make_trials(["cola", "rte", "wnli"], preset=Preset.PAPER, num_seeds=1)
    ordered = [(trial.task, trial.epochs) for trial in longest_first(trials, data_dir=tmp_path)]
    assert list(dict.fromkeys(ordered)) == [(task, epochs) for task in ("rte", "cola", "wnli") for epochs in (10, 5, 3)]


def test_a_task_of_ones_own_has_the_settings_of_its_size_and_is_named_as_a_folder_can_be() -> None:
    small = make_own_trials("../my täsk " + 300 * "x", preset=Preset.PAPER, num_train=100_000)
    large = make_own_trials("reviews", preset=Preset.SEARCH, num_train=100_001, num_seeds=2)
    assert (len(small), len(large)) == (120, 8)
    assert len({trial.name for trial in small}) == 120
    assert all(trial.name.isascii() and "/" not in trial.name and len(trial.name) < 100 for trial in small)
    assert large[0].name == "reviews-lr5e-05-batch32-epochs3-seed42"
    (quick,) = make_own_trials("日本", preset=Preset.QUICK, num_train=9)
    assert quick.name == "own-lr5e-05-batch32-epochs3-seed42" and quick.task == "日本"
    assert [trial.epochs for trial in longest_first(small, data_dir=None)][::40] == [10, 5, 3]
    with pytest.raises(ValueError, match="none for data of your own; give fair, or search"):
        require_own_settings(Preset.MODERN)
