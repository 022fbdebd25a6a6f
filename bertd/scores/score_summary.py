"""Scores of many finetunings as one number a task: the median over seeds of the best setting. Pure.

A setting is a learning rate, a batch size and a number of epochs; its trials differ in the seed. The best setting is
the one whose median is highest: chosen on the development set that the score is of, as papers do. The spread is that
of its seeds. Source of the rule: Izsak et al. 2021, table 7. A setting that halving has dropped is not the best one,
whatever its few seeds score: it was beaten on equal ones.

Scores of different metrics, or of different development sets of a task of one's own, are not summarized together.
"""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from bertd.api.models import RunView, ScoreView
from bertd.records import GLUE_TASKS, Via
from bertd.records.record import Record

GLUE_COLUMNS = ("mnli", "qnli", "qqp", "rte", "sst-2", "mrpc", "cola", "sts-b")
"""In the order of Izsak et al. 2021, table 4; WNLI is in no published mean."""
_MISMATCHED = "accuracy_mismatched"


@dataclass(frozen=True)
class Setting:
    """What the trials of one setting have in common."""

    lr: float
    batch_size: int
    epochs: int


@dataclass(frozen=True)
class SettingSummary:
    """The scores of one setting."""

    setting: Setting
    scores: tuple[float, ...]
    """Of its seeds, from the lowest to the highest."""
    dropped_after: int | None
    """Seeds after which halving dropped it; None if it did not."""


@dataclass(frozen=True)
class TaskSummary:
    """The best setting of one export on one task."""

    source: str
    """The export: run/step, or a path."""
    task: str
    via: Via | None
    """The task on which the model was finetuned before; None for a start from the export itself."""
    metric: str
    setting: Setting
    scores: tuple[float, ...]
    """Of the setting's seeds, from the lowest to the highest."""
    mismatched: float | None
    """MNLI's second development set: the median of the same trials."""
    majority_score: float
    trials: tuple[ScoreView, ...]
    """Of the setting, in the order of `scores`."""
    every_trial: tuple[ScoreView, ...]
    """Of all settings."""
    num_settings: int
    settings: tuple[SettingSummary, ...]
    """All with a score: those that halving has not dropped first, the best one first of each."""

    @property
    def num_trials(self) -> int:
        """Of all settings."""
        return len(self.every_trial)

    @property
    def median(self) -> float:
        """Of the setting's seeds."""
        return statistics.median(self.scores)


class PublishedRow(Record):
    """A row of published_scores.toml; scores in percent, as papers print them."""

    model: str
    split: Literal["dev", "test"]
    mnli_start: bool | None = None
    """Whether RTE, MRPC and STS-B were finetuned from the model of MNLI; None where the source does not say."""
    hardware: str = ""
    """Devices and hours; empty where the source does not say."""
    gpu_hours: float | None = None
    scores: dict[str, float]
    """By task; mnli_mismatched is MNLI's second set."""
    accuracy: list[str] = []
    """Tasks whose number is the accuracy and not F1."""
    mean: float
    mean_of: str
    source: str


def summarize_scores(views: Iterable[ScoreView]) -> list[TaskSummary]:
    """One summary for each export, task and start, in the order of the exports' first scores and of the tasks' table.

    A trial that was repeated with the same seed and setting counts once, by its newest score.
    """
    trials: dict[tuple[str, str, Via | None, str, object], dict[tuple[Setting, int], ScoreView]] = {}
    for view in sorted(views, key=lambda view: view.score.t):
        score = view.score
        # Of GLUE's tasks the same set may be in several folders.
        dev = None if score.task in GLUE_TASKS else (score.dev, score.num_dev)
        key = score.source, score.task, score.via, score.metric, dev
        trials.setdefault(key, {})[setting_of(view), score.seed] = view
    exports = list(dict.fromkeys(source for source, *_ in trials))
    summaries = [_summarize(source, task, via, by_trial) for (source, task, via, *_), by_trial in trials.items()]

    def place(each: TaskSummary) -> tuple[int, int, str, bool]:
        return exports.index(each.source), _column(each.task), each.task, each.via is not None

    return sorted(summaries, key=place)


def setting_of(view: ScoreView) -> Setting:
    """The setting of a trial."""
    return Setting(view.score.lr, view.score.batch_size, view.score.epochs)


def _column(task: str) -> int:
    return GLUE_COLUMNS.index(task) if task in GLUE_COLUMNS else len(GLUE_COLUMNS)


def _summarize(source: str, task: str, via: Via | None, trials: dict[tuple[Setting, int], ScoreView]) -> TaskSummary:
    by_setting: dict[Setting, list[ScoreView]] = {}
    for (setting, _), view in trials.items():
        by_setting.setdefault(setting, []).append(view)

    def merit(setting: Setting) -> tuple[float, int, float]:
        # Of equal medians the one with more seeds, then the gentler rate.
        scores = [view.score.score for view in by_setting[setting]]
        return statistics.median(scores), len(scores), -setting.lr

    kept = [setting for setting, views in by_setting.items() if all(view.dropped_after is None for view in views)]
    best = max(kept or by_setting, key=merit)
    ordered = sorted(by_setting[best], key=lambda view: view.score.score)
    records = [view.score for view in ordered]
    second = [score.metrics[_MISMATCHED] for score in records if _MISMATCHED in score.metrics]
    return TaskSummary(
        source=source,
        task=task,
        via=via,
        metric=records[0].metric,
        setting=best,
        scores=tuple(score.score for score in records),
        mismatched=statistics.median(second) if second else None,
        majority_score=records[0].majority_score,
        trials=tuple(ordered),
        every_trial=tuple(trials.values()),
        num_settings=len(by_setting),
        settings=tuple(
            SettingSummary(
                setting=setting,
                scores=tuple(sorted(view.score.score for view in by_setting[setting])),
                dropped_after=max((view.dropped_after or 0 for view in by_setting[setting]), default=0) or None,
            )
            for setting in sorted(by_setting, key=lambda each: (each in kept, *merit(each)), reverse=True)
        ),
    )


def choose_start(summaries: Iterable[TaskSummary], *, via: Via | None) -> dict[str, TaskSummary]:
    """One export's summaries by task: with the start `via` where there is one, else from the export itself."""
    chosen = [each for each in summaries if each.via in (None, via)]
    return {each.task: each for each in sorted(chosen, key=lambda each: each.via is not None)}


def glue_mean(summaries: Iterable[TaskSummary]) -> float | None:
    """Mean of the medians over the eight tasks, MNLI by its matched set; None if one is missing.

    Args:
        summaries: of one export, one for each task.
    """
    by_task = {each.task: each.median for each in summaries}
    if any(task not in by_task for task in GLUE_COLUMNS):
        return None
    return statistics.fmean(by_task[task] for task in GLUE_COLUMNS)


def export_shares(runs: Iterable[RunView]) -> dict[str, float]:
    """The share of its run's budget, 0..1, at which each export was made whose checkpoint is kept."""
    return {f"{run.id}/{kept.name}": kept.progress for run in runs for kept in run.kept}


def read_published() -> list[PublishedRow]:
    """The published rows, in the file's order."""
    text = files("bertd.scores").joinpath("published_scores.toml").read_text(encoding="utf-8")
    return [PublishedRow.model_validate(row) for row in tomllib.loads(text)["row"]]
