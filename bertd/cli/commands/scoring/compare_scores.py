"""`bertd scores A B --compare`: which trials of two exports are compared, by a program that reads their predictions."""

from __future__ import annotations

from collections.abc import Sequence

from bertd.api.client import Client
from bertd.cli.commands.programs import answer_of_module
from bertd.cli.commands.scoring.scored_export import JobFolders, find_scores
from bertd.records import ComparisonRequest, NotCompared, ScoreComparison, ScoredTrial, TaskTrials
from bertd.scores.score_summary import GLUE_COLUMNS, TaskSummary, choose_start, summarize_scores

PROGRAM = "bertd.glue.comparison.compare"
_SECOND_SETS = {"mnli": ("mnli-mm", "accuracy_mismatched")}
"""Tasks with a second development set: its name in the table, and its metric."""
_EXACT_MATCH = "exact_match"
"""The second metric of answers to questions."""


def compare_scores(client: Client, first: str, second: str) -> ScoreComparison:
    """Compare two exports on the tasks that both were finetuned on.

    Args:
        client: of the daemon.
        first: an export, as `find_scores` takes it.
        second: another.

    Raises:
        CheckpointError: an export has no score, or a name is that of several.
        ClientError: there is no such run.
        Exit: the program that compares failed.
    """
    summaries = [summarize_scores(find_scores(client, name)) for name in (first, second)]
    request = build_request(*summaries, folders=JobFolders(client))
    return ScoreComparison.model_validate_json(answer_of_module(PROGRAM, request.model_dump_json()))


def build_request(
    first: Sequence[TaskSummary], second: Sequence[TaskSummary], *, folders: JobFolders
) -> ComparisonRequest:
    """What the program is asked, of the tasks' summaries of either export.

    Args:
        first: of one export, not empty.
        second: of another.
        folders: of the finetunings.
    """
    names = (first[0].source, second[0].source)
    # Models that were finetuned before on MNLI are not compared: the other export may have none.
    by_task = [choose_start(side, via=None) for side in (first, second)]
    tasks: list[TaskTrials] = []
    refused: list[NotCompared] = []
    for task in dict.fromkeys([*by_task[0], *by_task[1]]):
        pair = [side.get(task) for side in by_task]
        if pair[0] is None or pair[1] is None:
            missing = names[0] if pair[0] is None else names[1]
            refused.append(NotCompared(task=task, reason=f"{missing} has no score of it"))
        elif pair[0].metric != pair[1].metric:
            reason = f"one is scored by {pair[0].metric}, the other by {pair[1].metric}"
            refused.append(NotCompared(task=task, reason=reason))
        else:
            tasks += _task_trials(pair[0], pair[1], folders=folders)
    return ComparisonRequest(first=names[0], second=names[1], tasks=tasks, not_compared=refused)


def _task_trials(first: TaskSummary, second: TaskSummary, *, folders: JobFolders) -> list[TaskTrials]:
    """One, or two of a task that both scored on a second set, or by a second metric."""

    def trials(summary: TaskSummary, metric: str) -> list[ScoredTrial]:
        return [
            ScoredTrial(
                seed=view.score.seed,
                score=view.score.metrics[metric],
                predictions=str(folders.of(view).dev_predictions),
            )
            for view in summary.trials
        ]

    def compared(task: str, metric: str, *, is_in_mean: bool) -> TaskTrials:
        return TaskTrials(
            task=task,
            metric=metric,
            is_in_mean=is_in_mean,
            first=trials(first, metric),
            second=trials(second, metric),
        )

    each = [compared(first.task, first.metric, is_in_mean=first.task in GLUE_COLUMNS)]
    name, metric = _SECOND_SETS.get(first.task, (first.task, _EXACT_MATCH))
    if all(metric in view.score.metrics for view in (*first.trials, *second.trials)):
        each.append(compared(name, metric, is_in_mean=False))
    return each
