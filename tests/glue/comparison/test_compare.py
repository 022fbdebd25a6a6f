"""bertd.glue.comparison.compare: differences of two exports' scores, from files of predictions."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from bertd.errors import RecipeError
from bertd.glue.comparison import compare as program
from bertd.glue.comparison.compare import compare
from bertd.glue.kinds.entities import score_entities
from bertd.glue.metrics import Values, compute_metric
from bertd.glue.training.dev_predictions import SetPredictions, pack_predictions
from bertd.records import ComparisonRequest, NotCompared, ScoreComparison, ScoredTrial, TaskTrials

DRAW = np.random.default_rng(5)
LABELS = DRAW.integers(2, size=400).astype(float)


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "NUM_RESAMPLES", 200)


def write_trial(
    folder: Path, *, right: float, seed: int, metric: str = "accuracy", labels: Values = LABELS, suffix: str = ""
) -> ScoredTrial:
    """A trial that is right on a share of the examples."""
    predicted = np.where(np.random.default_rng(seed).random(labels.size) < right, labels, 1 - labels)
    path = folder / f"{right}-{seed}-{metric}{suffix}.npz"
    path.write_bytes(pack_predictions({suffix: SetPredictions(predicted, labels)}))
    return ScoredTrial(seed=seed, score=compute_metric(metric, predicted, labels), predictions=str(path))


def write_task(
    folder: Path, *, first: float, second: float, task: str = "rte", metric: str = "accuracy", num_seeds: int = 5
) -> TaskTrials:
    return TaskTrials(
        task=task,
        metric=metric,
        is_in_mean=True,
        first=[write_trial(folder, right=first, seed=seed, metric=metric) for seed in range(num_seeds)],
        second=[write_trial(folder, right=second, seed=100 + seed, metric=metric) for seed in range(num_seeds)],
    )


def compare_tasks(*tasks: TaskTrials, not_compared: tuple[NotCompared, ...] = ()) -> ScoreComparison:
    return compare(ComparisonRequest(first="a", second="b", tasks=list(tasks), not_compared=list(not_compared)))


def test_a_better_export_is_shown_and_an_equal_one_is_not(tmp_path: Path) -> None:
    better = write_task(tmp_path, first=0.6, second=0.9, task="rte")
    equal = write_task(tmp_path, first=0.75, second=0.75, task="cola", metric="matthews")

    compared = compare_tasks(better, equal)

    rte, cola = compared.tasks
    assert rte.difference == pytest.approx(0.3, abs=0.06) and 0.2 < rte.low < rte.difference < rte.high < 0.4
    assert not rte.covers_zero and rte.has_enough_seeds and rte.num_examples == 400
    assert cola.covers_zero and cola.low < cola.difference < cola.high
    assert compared.mean is not None and compared.mean.tasks == ["rte", "cola"]
    assert compared.mean.difference == pytest.approx((rte.difference + cola.difference) / 2)
    assert compared.mean.low < compared.mean.difference < compared.mean.high
    assert compare_tasks(better, equal) == compared, "the same files give the same intervals"


def test_seeds_that_differ_widen_the_interval(tmp_path: Path) -> None:
    def of(shares: list[float]) -> TaskTrials:
        second = [write_trial(tmp_path, right=0.7, seed=seed) for seed in range(3)]
        first = [write_trial(tmp_path, right=share, seed=20 + seed) for seed, share in enumerate(shares)]
        return TaskTrials(task="rte", metric="accuracy", is_in_mean=True, first=first, second=second)

    even, uneven = (compare_tasks(of(shares)).tasks[0] for shares in ([0.7, 0.7, 0.7], [0.5, 0.7, 0.9]))
    assert uneven.high - uneven.low > 2 * (even.high - even.low)


def test_a_single_seed_is_not_enough(tmp_path: Path) -> None:
    compared = compare_tasks(write_task(tmp_path, first=0.6, second=0.9, num_seeds=1))
    assert not compared.tasks[0].covers_zero and not compared.tasks[0].has_enough_seeds
    assert compared.mean is None, "one task has no mean"


def test_a_second_set_is_found_by_the_metrics_suffix(tmp_path: Path) -> None:
    trial = write_trial(tmp_path, right=0.8, seed=1, suffix="_mismatched")
    task = TaskTrials(task="mnli-mm", metric="accuracy_mismatched", is_in_mean=False, first=[trial], second=[trial])
    assert compare_tasks(task).tasks[0].difference == 0.0


def test_other_development_sets_are_refused_with_what_differs(tmp_path: Path) -> None:
    one = write_trial(tmp_path, right=0.7, seed=1)
    fewer = write_trial(tmp_path, right=0.7, seed=2, labels=LABELS[:399])
    changed = LABELS.copy()
    changed[12] = 1 - changed[12]
    other = write_trial(tmp_path, right=0.7, seed=3, labels=changed)
    gone = one.model_copy(update={"predictions": str(tmp_path / "gone.npz")})
    stale = one.model_copy(update={"score": 0.1})
    cases = [
        (fewer, "400 and 399 examples"),
        (other, "1 of 400 labels differ, the first that of example 13"),
        (gone, "No such file"),
        (stale, "but the journal has 0.100000"),
    ]
    tasks = [
        TaskTrials(task=f"t{number}", metric="accuracy", is_in_mean=True, first=[one], second=[trial])
        for number, (trial, _) in enumerate(cases)
    ]

    compared = compare_tasks(*tasks, not_compared=(NotCompared(task="qqp", reason="a has no score of it"),))

    assert not compared.tasks and compared.mean is None
    assert [each.task for each in compared.not_compared] == ["qqp", "t0", "t1", "t2", "t3"]
    for (_, reason), each in zip(cases, compared.not_compared[1:], strict=True):
        assert reason in each.reason


def test_the_program_answers_on_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ComparisonRequest(
        first="a", second="b", tasks=[write_task(tmp_path, first=0.6, second=0.9)], not_compared=[]
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(request.model_dump_json().encode())))
    assert program.main() == 0
    assert ScoreComparison.model_validate_json(capsys.readouterr().out) == compare(request)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
    assert program.main() == RecipeError.exit_code


def write_tagged(folder: Path, *, right: float, seed: int, names: tuple[str, ...] = ("B-X", "I-X", "O")) -> ScoredTrial:
    """A trial that tags a share of the words right."""
    lengths = np.random.default_rng(3).integers(1, 9, size=150)
    true = np.random.default_rng(4).integers(3, size=int(lengths.sum()))
    draw = np.random.default_rng(seed)
    predicted = np.where(draw.random(true.size) < right, true, draw.integers(3, size=true.size))
    details = {"names": np.array(names), "lengths": lengths}
    path = folder / f"tags-{right}-{seed}-{names[0]}.npz"
    path.write_bytes(pack_predictions({"_words": SetPredictions(predicted, true, details)}))
    ends = np.cumsum(lengths)[:-1]
    tags = [[[names[tag] for tag in part] for part in np.split(ids, ends)] for ids in (predicted, true)]
    return ScoredTrial(seed=seed, score=score_entities(*tags)["f1"], predictions=str(path))


def test_tags_are_compared_by_the_f1_of_entities_in_drawn_sentences(tmp_path: Path) -> None:
    def task(first: float, second: float) -> TaskTrials:
        sides = ([write_tagged(tmp_path, right=r, seed=s + k) for s in range(3)] for r, k in ((first, 0), (second, 9)))
        return TaskTrials(task="ner", metric="f1", is_in_mean=False, first=next(sides), second=next(sides))

    better, equal = compare_tasks(task(0.5, 0.9), task(0.8, 0.8)).tasks
    assert not better.covers_zero and better.low < better.difference < better.high and better.num_examples == 150
    assert equal.covers_zero

    other = write_tagged(tmp_path, right=0.5, seed=1, names=("B-Y", "I-Y", "O"))
    differs = task(0.5, 0.9).model_copy(update={"second": [other]})
    (refused,) = compare_tasks(differs).not_compared
    assert "the tags or the sentences differ" in refused.reason


def test_answers_are_compared_by_f1_and_by_exact_match_of_drawn_questions(tmp_path: Path) -> None:
    def trial(right: float, seed: int, metric: str) -> ScoredTrial:
        is_right = np.random.default_rng(seed).random(200) < right
        texts = np.where(is_right, "Paris", "Rome")
        details = {"exact_match": is_right.astype(float), "f1": np.where(is_right, 1.0, 0.25)}
        path = tmp_path / f"answers-{right}-{seed}.npz"
        path.write_bytes(pack_predictions({"_questions": SetPredictions(texts, np.full(200, "Paris"), details)}))
        return ScoredTrial(seed=seed, score=float(details[metric].mean()), predictions=str(path))

    f1, exact = compare_tasks(
        *(
            TaskTrials(
                task="qa",
                metric=metric,
                is_in_mean=False,
                first=[trial(0.5, seed, metric) for seed in range(3)],
                second=[trial(0.7, 9 + seed, metric) for seed in range(3)],
            )
            for metric in ("f1", "exact_match")
        )
    ).tasks
    assert f1.num_examples == 200 and not exact.covers_zero
    assert f1.difference == pytest.approx(0.75 * exact.difference)
    assert f1.low == pytest.approx(0.75 * exact.low, abs=0.02)


def test_predictions_of_tags_by_an_older_version_are_refused_with_the_remedy(tmp_path: Path) -> None:
    trials = write_task(tmp_path, first=0.6, second=0.9, task="pets", metric="f1", num_seeds=1)
    for suffix, missing in (("_words", "names_words"), ("_questions", "f1_questions")):
        for trial in (*trials.first, *trials.second):
            Path(trial.predictions).write_bytes(pack_predictions({suffix: SetPredictions(LABELS, LABELS)}))
        (refused,) = compare_tasks(trials).not_compared
        assert f"has no {missing}: an older version wrote it; finetune again" in refused.reason
