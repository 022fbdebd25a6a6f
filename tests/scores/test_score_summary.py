"""The median over seeds of the best setting, and the published rows."""

from __future__ import annotations

import re

import pytest

from bertd.api.models import ScoreView
from bertd.cli.output.score_tables import latex_table, markdown_table, summaries_text
from bertd.cli.output.setting_table import settings_text
from bertd.cli.output.tables import OutputStyle
from bertd.cli.output.views import scores_text
from bertd.records import Via
from bertd.scores.score_summary import GLUE_COLUMNS, Setting, glue_mean, read_published, summarize_scores
from tests.cli import samples

PLAIN = OutputStyle(width=None, has_color=False, has_unicode=True)


def trial(
    score: float,
    *,
    task: str = "cola",
    seed: int = 1,
    lr: float = 5e-5,
    source: str = "7-demo/step-000000100",
    t: float = 1.0,
    metrics: dict[str, float] | None = None,
    via: Via | None = None,
) -> ScoreView:
    one = samples.score()
    changes = {"score": score, "task": task, "seed": seed, "lr": lr, "source": source, "t": t, "metrics": metrics or {}}
    changes["via"] = via
    return one.model_copy(update={"score": one.score.model_copy(update=changes)})


def test_the_median_is_that_of_the_best_setting_over_its_seeds() -> None:
    good = [trial(score, seed=seed, lr=8e-5) for seed, score in enumerate([0.50, 0.58, 0.55])]
    # The best single trial is of a setting whose median is lower.
    uneven = [trial(score, seed=seed, lr=1e-5) for seed, score in enumerate([0.10, 0.90, 0.20])]

    (summary,) = summarize_scores([*uneven, *good])

    assert summary.setting == Setting(lr=8e-5, batch_size=32, epochs=3)
    assert (summary.median, summary.scores) == (0.55, (0.50, 0.55, 0.58))
    assert (summary.num_trials, summary.num_settings) == (6, 2)


def test_of_equal_medians_the_one_with_more_seeds_is_best() -> None:
    views = [trial(0.5, lr=1e-5, seed=1), trial(0.5, lr=3e-5, seed=1), trial(0.5, lr=3e-5, seed=2)]
    (summary,) = summarize_scores(views)
    assert summary.setting.lr == 3e-5


def test_a_setting_that_halving_dropped_is_not_the_best_whatever_its_few_seeds_score() -> None:
    lucky = [trial(0.9, lr=1e-5, seed=1)]
    dropped = [view.model_copy(update={"dropped_after": 1}) for view in lucky]
    kept = [trial(score, lr=8e-5, seed=seed) for seed, score in enumerate([0.95, 0.6, 0.7], start=1)]
    (summary,) = summarize_scores([*dropped, *kept])
    assert (summary.setting.lr, summary.median, summary.num_settings) == (8e-5, 0.7, 2)
    assert [(each.setting.lr, each.dropped_after) for each in summary.settings] == [(8e-5, None), (1e-5, 1)]
    lines = settings_text([summary], style=PLAIN).splitlines()
    assert len(lines) == 3 and "after 1 seed" in lines[2] and "0.9000" in lines[2] and "after" not in lines[1]
    # Where all that were not dropped have no score, the best of the dropped ones is shown.
    assert summarize_scores(dropped)[0].median == 0.9


def test_a_task_of_ones_own_with_another_metric_or_development_set_has_a_row_of_its_own() -> None:
    views = [trial(0.5, task="mine"), trial(0.9, task="mine", seed=2, t=2.0)]
    changes: list[dict[str, object]] = [{}, {"metric": "f1"}, {"dev": "/other.csv"}, {"num_dev": 9}]
    every = [
        view.model_copy(update={"score": view.score.model_copy(update=change)}) for change in changes for view in views
    ]
    summaries = summarize_scores(every)
    assert [each.num_trials for each in summaries] == [2, 2, 2, 2]
    text = summaries_text(summaries, costs={}, style=PLAIN)
    assert "mine, f1 0.7000: " in text and " examples, /other.csv" in text and "9 examples" in text
    moved = trial(0.6, seed=3)
    moved = moved.model_copy(update={"score": moved.score.model_copy(update={"dev": "/elsewhere/CoLA/dev.tsv"})})
    assert summarize_scores([trial(0.5), moved])[0].num_trials == 2, "GLUE's sets are the same in every folder"


def test_a_trial_that_was_repeated_counts_once_by_its_newest_score() -> None:
    (summary,) = summarize_scores([trial(0.7, t=2.0), trial(0.1, t=1.0)])
    assert (summary.scores, summary.num_trials) == ((0.7,), 1)


def test_exports_are_apart_and_a_mean_needs_all_eight_tasks() -> None:
    first = [trial(0.1 * number, task=task, t=number) for number, task in enumerate(GLUE_COLUMNS, start=1)]
    second = [trial(0.9, task="rte", source="8-other/step-000000200", t=99.0)]
    summaries = summarize_scores([*second, *first])
    assert [each.task for each in summaries] == [*GLUE_COLUMNS, "rte"]
    assert glue_mean(summaries[:8]) == pytest.approx(0.45)
    assert glue_mean(summaries[8:]) is None
    assert "7-demo/step-000000100: mean of 8 tasks: 45.0" in summaries_text(summaries, costs={}, style=PLAIN)


def test_scores_from_mnli_stand_beside_the_direct_ones_and_have_a_mean_and_a_row_of_their_own() -> None:
    views = [trial(0.5, task=task) for task in GLUE_COLUMNS]
    views += [trial(0.9, task="rte", via="mnli"), trial(0.8, task="rte", via="mnli", seed=2)]
    summaries = summarize_scores(views)
    assert [(each.task, each.via, each.median) for each in summaries if each.task == "rte"] == [
        ("rte", None, 0.5),
        ("rte", "mnli", pytest.approx(0.85)),
    ]
    text = summaries_text(summaries, costs={}, style=PLAIN)
    assert "rte from MNLI" in text and "rte from MNLI" in scores_text(views, style=PLAIN)
    assert "mean of 8 tasks: 50.0" in text
    assert "mean of 8 tasks, MRPC, STS-B, RTE from MNLI: 54.4" in text
    direct, via = markdown_table(summaries, [], costs={}).splitlines()[2:4]
    assert "85.0" not in direct and "from MNLI" not in direct
    assert "85.0 (80.0 to 90.0)" in via and "MRPC, STS-B, RTE from MNLI" in via


def test_mnli_shows_both_of_its_sets_and_a_task_of_ones_own_a_column() -> None:
    views = [
        trial(0.844, task="mnli", metrics={"accuracy": 0.844, "accuracy_mismatched": 0.838}),
        trial(0.5, task="my_task|x"),
    ]
    summaries = summarize_scores(views)
    table = markdown_table(summaries, [], costs={})
    assert "84.4/83.8" in table and "50.0" in table
    columns = [line.replace("\\|", "").count("|") for line in table.splitlines()[:3]]
    assert len(set(columns)) == 1, "a bar in a name begins no column"
    assert r"my\_task|x" in latex_table(summaries, [], costs={})


def test_published_rows_say_where_they_are_from_and_agree_with_their_own_means() -> None:
    rows = read_published()
    assert {row.split for row in rows} == {"dev", "test"}
    assert all(row.source for row in rows)
    for row in rows:
        if row.mean_of == "9 columns":
            assert len(row.scores) == 9 and row.mean == pytest.approx(sum(row.scores.values()) / 9, abs=0.06)
        elif len(row.scores) == 8:
            assert row.mean == pytest.approx(sum(row.scores.values()) / 8, abs=0.1), row.model
        if row.gpu_hours is not None:
            devices, hours = re.fullmatch(r"(\d+) x .*, ([\d.]+ [hd])", row.hardware).groups()  # type: ignore[union-attr]  # None fails, too.
            in_hours = float(hours[:-2]) * (24 if hours.endswith("d") else 1)
            assert row.gpu_hours == pytest.approx(int(devices) * in_hours, rel=0.01), row.model
        assert set(row.scores) <= {*GLUE_COLUMNS, "mnli_mismatched"}
