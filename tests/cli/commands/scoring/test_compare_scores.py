"""`bertd scores A B --compare`: the trials that are compared, and what is printed of the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertd.api.models import ScoreView
from bertd.cli.commands.scoring import compare_scores
from bertd.records import (
    ComparisonRequest,
    MeanDifference,
    NotCompared,
    ScoreComparison,
    TaskDifference,
)
from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon

FIRST, SECOND = "7-demo/step-000000100", "7-demo/step-000000200"


def trial(source: str, *, task: str = "cola", seed: int = 42, score: float = 0.5, **changes: object) -> ScoreView:
    one = samples.score()
    fields = {"source": source, "task": task, "seed": seed, "score": score, "metrics": {"matthews": score}} | changes
    return one.model_copy(update={"score": one.score.model_copy(update=fields)})


def difference(task: str, *, low: float, high: float, seeds: int = 5) -> TaskDifference:
    return TaskDifference(
        task=task,
        metric="accuracy",
        num_examples=277,
        first=0.6,
        second=0.6 + (low + high) / 2,
        difference=(low + high) / 2,
        low=low,
        high=high,
        num_first_seeds=seeds,
        num_second_seeds=5,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ComparisonRequest]:
    """What the program was asked; it answers with three kinds of difference."""
    requests: list[ComparisonRequest] = []

    def answer(module: str, request: str) -> str:
        assert module == "bertd.glue.comparison.compare"
        requests.append(ComparisonRequest.model_validate_json(request))
        tasks = [
            difference("rte", low=-0.02, high=0.04),
            difference("cola", low=-0.3, high=-0.2),
            difference("mrpc", low=0.2, high=0.3, seeds=1),
        ]
        fields = difference("", low=0.01, high=0.03).model_dump(exclude={"task", "num_examples", "metric"})
        mean = MeanDifference(metric="mean", tasks=["rte", "cola", "mrpc"], **fields)
        return ScoreComparison(
            first=requests[0].first,
            second=requests[0].second,
            confidence=0.95,
            num_resamples=5000,
            tasks=tasks if requests[0].tasks else [],
            mean=mean,
            not_compared=requests[0].not_compared,
        ).model_dump_json()

    monkeypatch.setattr(compare_scores, "answer_of_module", answer)
    return requests


def test_the_best_settings_trials_of_common_tasks_are_compared(
    bertd: Bertd, daemon: FakeDaemon, asked: list[ComparisonRequest]
) -> None:
    both_sets = {"accuracy": 0.5, "accuracy_mismatched": 0.4}
    daemon.scores = [
        *(trial(FIRST, seed=seed, lr=3e-5, score=0.6) for seed in (1, 2)),
        trial(FIRST, seed=1, lr=1e-5, score=0.2),
        trial(SECOND, seed=9, trial="cola-lr5e-05-seed9"),
        *(trial(source, task="mnli", metric="accuracy", metrics=both_sets) for source in (FIRST, SECOND)),
        trial(FIRST, task="qqp"),
        trial(FIRST, task="mine", metric="f1"),
        trial(SECOND, task="mine", metric="macro_f1"),
    ]

    said = bertd("scores", FIRST, "7-demo@200", "--compare")

    assert said.code == 0
    (request,) = asked
    assert (request.first, request.second) == (FIRST, SECOND)
    folder = next(Path(job.folder) for job in daemon.jobs if job.id == 8)
    by_task = {task.task: task for task in request.tasks}
    assert list(by_task) == ["mnli", "mnli-mm", "cola"]
    assert [(one.seed, one.score) for one in by_task["cola"].first] == [(1, 0.6), (2, 0.6)]
    assert by_task["cola"].first[0].predictions == str(folder / "dev-predictions.npz")
    of_grid = folder / "trials" / "cola-lr5e-05-seed9" / "dev-predictions.npz"
    assert by_task["cola"].second[0].predictions == str(of_grid)
    assert by_task["mnli-mm"].metric == "accuracy_mismatched" and not by_task["mnli-mm"].is_in_mean
    assert request.not_compared == [
        NotCompared(task="qqp", reason=f"{SECOND} has no score of it"),
        NotCompared(task="mine", reason="one is scored by f1, the other by macro_f1"),
    ]


def test_each_difference_is_said_in_words(bertd: Bertd, daemon: FakeDaemon, asked: list[ComparisonRequest]) -> None:
    daemon.scores = [trial(FIRST), trial(SECOND), trial(FIRST, task="qqp")]

    lines = bertd("scores", FIRST, SECOND, "--compare").out.splitlines()

    assert lines[:2] == [f"A: {FIRST}", f"B: {SECOND}"]
    said = {line.split()[0]: line for line in lines[3:7]}
    assert said["rte"].endswith("no difference shown") and "-0.0200 to +0.0400" in said["rte"]
    assert said["cola"].endswith("A is higher")
    assert said["mrpc"].endswith("needs 3 seeds of each")
    assert said["mean"].endswith("B is higher")
    assert lines[-1] == f"qqp: not compared: {SECOND} has no score of it"
    markdown = bertd("scores", FIRST, SECOND, "--compare", "--markdown").out
    assert "| rte | accuracy | 0.6000 | 0.6100 | +0.0100 | -0.0200 to +0.0400 | 5, 5 | no difference" in markdown

    answer = json.loads(bertd("scores", FIRST, SECOND, "--compare", "--json").out)
    assert answer["mean"]["tasks"] == ["rte", "cola", "mrpc"]


def test_what_cannot_be_compared_is_refused(bertd: Bertd, daemon: FakeDaemon, asked: list[ComparisonRequest]) -> None:
    daemon.scores = [trial(FIRST), trial(SECOND, task="rte")]
    several = bertd("scores", "7-demo", SECOND, "--compare")
    assert several.code == 65 and FIRST in several.err and SECOND in several.err
    assert "bertd finetune 7-demo@300" in bertd("scores", "7-demo@300", SECOND, "--compare").err
    for arguments in (["7-demo"], [FIRST, SECOND, "--latex"], [FIRST, SECOND, "--published"]):
        assert bertd("scores", *arguments, "--compare").code == 2
    assert not asked
    nothing = bertd("scores", FIRST, SECOND, "--compare")
    assert nothing.code == 65 and "no task could be compared" in nothing.err
