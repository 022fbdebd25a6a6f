"""`python -m bertd.program bertd.glue.comparison.compare`: a ComparisonRequest on the input, a ScoreComparison on the
output.

An export's score on a task is the median over the seeds of its best setting. The difference of two scores gets a
confidence interval from a bootstrap (Efron 1979, percentiles) over both sources of chance: each resample draws the
development set's examples with replacement, the same for every trial, and the seeds of either export. Tags are drawn
by whole sentences, answers by questions. The intervals leave out that settings, epochs and the threshold of no answer
were chosen on the same set.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from bertd.errors import CheckpointError, RecipeError
from bertd.glue.comparison.resampled_metrics import resample_ratios, resample_scores
from bertd.glue.comparison.unit_sums import METRICS_OF_UNITS, read_unit_sums
from bertd.glue.metrics import METRICS, Values, compute_metric
from bertd.glue.training.dev_predictions import SENTENCE_LENGTHS, TAG_NAMES, SetPredictions, unpack_predictions
from bertd.program import run_main
from bertd.records import (
    ComparisonRequest,
    MeanDifference,
    NotCompared,
    ScoreComparison,
    ScoredTrial,
    TaskDifference,
    TaskTrials,
)

CONFIDENCE = 0.95
NUM_RESAMPLES = 5_000
_SEED = 42
"""The same files give the same intervals."""
_SAME_SCORE = 1e-9
"""The journal's score and that of the predictions come from the same numbers."""
_OF_THE_SET = {TAG_NAMES, SENTENCE_LENGTHS}
"""Details that trials on the same development set have in common."""


@dataclass(frozen=True)
class _Result:
    difference: TaskDifference
    resampled_R: Values
    """The second score minus the first in each resample."""


def main() -> int:
    """Answer the request on the input."""
    return run_main(_main)


def _main() -> None:
    try:
        request = ComparisonRequest.model_validate_json(sys.stdin.buffer.read())
    except ValidationError as error:
        raise RecipeError(
            "standard input: not a comparison's request; `bertd scores A B --compare` writes it"
        ) from error
    print(compare(request).model_dump_json())


def compare(request: ComparisonRequest) -> ScoreComparison:
    """Compare every task that can be; the others are in `not_compared`, with the reason."""
    generator = np.random.default_rng(_SEED)
    results: list[_Result] = []
    averaged: list[_Result] = []
    refused = list(request.not_compared)
    for task in request.tasks:
        try:
            result = _compare_task(task, generator=generator)
        except CheckpointError as error:
            refused.append(NotCompared(task=task.task, reason=str(error)))
            continue
        results.append(result)
        if task.is_in_mean:
            averaged.append(result)
    return ScoreComparison(
        first=request.first,
        second=request.second,
        confidence=CONFIDENCE,
        num_resamples=NUM_RESAMPLES,
        tasks=[result.difference for result in results],
        mean=_compare_means(averaged) if len(averaged) > 1 else None,
        not_compared=refused,
    )


def _compare_task(task: TaskTrials, *, generator: np.random.Generator) -> _Result:
    """Compare one task.

    Raises:
        CheckpointError: predictions cannot be read, are of other sets, or are not those that were scored.
    """
    metric, suffix, sets = _read_sets(task)
    trials = [*task.first, *task.second]
    for trial, one in zip(trials, sets, strict=True):
        _require_same_set(trials[0], sets[0], trial, one)
    if suffix in METRICS_OF_UNITS:
        sums = [
            read_unit_sums(metric, suffix, one, place=trial.predictions)
            for trial, one in zip(trials, sets, strict=True)
        ]
        scores = [one.score for one in sums]
    else:
        scores = [compute_metric(metric, one.predicted, one.true) for one in sets]
    for trial, score in zip(trials, scores, strict=True):
        _require_own_score(trial, score)
    if suffix in METRICS_OF_UNITS:
        num_examples = sums[0].numerator_U.size
        scores_RT = resample_ratios(
            np.stack([one.numerator_U for one in sums]),
            np.stack([one.denominator_U for one in sums]),
            num_resamples=NUM_RESAMPLES,
            generator=generator,
        )
    else:
        num_examples = sets[0].true.size
        scores_RT = resample_scores(
            metric,
            np.stack([one.predicted for one in sets]),
            sets[0].true,
            num_resamples=NUM_RESAMPLES,
            generator=generator,
        )
    num_first = len(task.first)
    first_R = _median_of_drawn_seeds(scores_RT[:, :num_first], generator=generator)
    second_R = _median_of_drawn_seeds(scores_RT[:, num_first:], generator=generator)
    resampled_R = second_R - first_R
    first, second = (statistics.median(trial.score for trial in side) for side in (task.first, task.second))
    low, high = _interval(resampled_R)
    difference = TaskDifference(
        task=task.task,
        metric=task.metric,
        num_examples=num_examples,
        first=first,
        second=second,
        difference=second - first,
        low=low,
        high=high,
        num_first_seeds=num_first,
        num_second_seeds=len(task.second),
    )
    return _Result(difference, resampled_R)


def _median_of_drawn_seeds(scores_RS: Values, *, generator: np.random.Generator) -> Values:
    num_seeds = scores_RS.shape[1]
    drawn_RS = generator.integers(num_seeds, size=scores_RS.shape)
    return np.median(np.take_along_axis(scores_RS, drawn_RS, axis=1), axis=1)


def _interval(resampled_R: Values) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled_R, [tail, 1 - tail])
    return float(low), float(high)


def _compare_means(results: list[_Result]) -> MeanDifference:
    differences = [result.difference for result in results]
    first, second = (
        statistics.fmean(scores) for scores in zip(*((d.first, d.second) for d in differences), strict=True)
    )
    # Each task has its own examples and trials, so the resamples of one say nothing about those of another.
    low, high = _interval(np.mean([result.resampled_R for result in results], axis=0))
    return MeanDifference(
        metric="mean",
        tasks=[each.task for each in differences],
        first=first,
        second=second,
        difference=second - first,
        low=low,
        high=high,
        num_first_seeds=min(each.num_first_seeds for each in differences),
        num_second_seeds=min(each.num_second_seeds for each in differences),
    )


def _read_sets(task: TaskTrials) -> tuple[str, str, list[SetPredictions]]:
    """The metric's name without the set's suffix, that suffix, and each trial's predictions of that set.

    Raises:
        CheckpointError: they cannot be read.
    """
    sets: list[SetPredictions] = []
    suffixes: list[str] = []
    for trial in (*task.first, *task.second):
        path = Path(trial.predictions)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot read: {error.strerror}; finetune again to keep predictions"
            ) from error
        by_suffix = unpack_predictions(content, place=str(path))
        found = [suffix for suffix in by_suffix if _is_metric_of(suffix, task.metric)]
        if not found:
            raise CheckpointError(f"{path}: has no predictions that {task.metric} is of; finetune again")
        suffixes.append(found[0])
        sets.append(by_suffix[found[0]])
    if len(set(suffixes)) > 1:
        places = f"({task.first[0].predictions}, {task.second[0].predictions})"
        raise CheckpointError(
            f"the development sets are not the same: their predictions are of two kinds {places}; finetune both on the "
            "same data"
        )
    return task.metric.removesuffix(suffixes[0]), suffixes[0], sets


def _is_metric_of(suffix: str, metric: str) -> bool:
    if suffix in METRICS_OF_UNITS:
        return metric in METRICS_OF_UNITS[suffix]
    return metric.endswith(suffix) and metric.removesuffix(suffix) in METRICS


def _require_same_set(one: ScoredTrial, first: SetPredictions, other: ScoredTrial, second: SetPredictions) -> None:
    places = f"({one.predictions}, {other.predictions})"
    true_N, other_true_N = first.true, second.true
    if true_N.shape != other_true_N.shape:
        raise CheckpointError(
            f"the development sets are not the same: {true_N.size} and {other_true_N.size} examples {places}; "
            "finetune both on the same data"
        )
    in_both = first.details.keys() & second.details.keys() & _OF_THE_SET
    if any(not np.array_equal(first.details[name], second.details[name]) for name in in_both):
        raise CheckpointError(
            f"the development sets are not the same: the tags or the sentences differ {places}; finetune both on the "
            "same data"
        )
    differs = true_N != other_true_N
    if differs.any():
        raise CheckpointError(
            f"the development sets are not the same: {differs.sum()} of {true_N.size} labels differ, the first that of "
            f"example {int(np.argmax(differs)) + 1} {places}; finetune both on the same data"
        )


def _require_own_score(trial: ScoredTrial, score: float) -> None:
    if abs(score - trial.score) > _SAME_SCORE:
        raise CheckpointError(
            f"{trial.predictions}: its predictions score {score:.6f}, but the journal has {trial.score:.6f}: they are "
            "of another attempt; finetune again"
        )
