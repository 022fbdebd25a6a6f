"""The nine GLUE tasks as a table: folder, files, columns, labels and metrics.

Source: the official download of gluebenchmark.com and the format descriptions in it. `bertd.glue.examples` reads the
files by this table. The headline metric is the one number on the screen: F1 for MRPC and QQP, rank correlation for
STS-B, Matthews for CoLA, else accuracy, as in the 24hBERT code.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bertd.errors import CorpusError
from bertd.records import GLUE_FILES


@dataclass(frozen=True)
class Task:
    """One GLUE task."""

    name: str
    """As in FinetuneSpec.task."""
    sentences: tuple[str, ...]
    """Columns of the text: one, or the two of a pair."""
    label: str
    """Column of the label, in train and dev; test files do not have it."""
    labels: tuple[str, ...] | None
    """The classes in the order of their ids; None if the label is a number."""
    headline: str
    """The task's main metric."""
    metrics: tuple[str, ...]
    """All metrics that GLUE reports for the task, by their names in `bertd.glue.metrics`."""
    columns: tuple[str, ...] | None = None
    """Column names if train and dev have no header line; None if the first line has them."""
    dev_files: dict[str, str] = field(default_factory=lambda: {"": "dev.tsv"})
    """Suffix of the metric's name to file; the first file gives the headline and must exist."""

    @property
    def folder(self) -> str:
        """Under the data folder, spelt as in GLUE's archive."""
        return GLUE_FILES[self.name].folder

    @property
    def num_outputs(self) -> int:
        """Width of the classifier: one per class, or one number."""
        return 1 if self.labels is None else len(self.labels)


_ENTAILMENT = ("entailment", "not_entailment")
_YES_NO = ("0", "1")

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="cola",
            sentences=("sentence",),
            label="label",
            labels=_YES_NO,
            headline="matthews",
            metrics=("matthews", "accuracy"),
            columns=("source", "label", "original", "sentence"),
        ),
        Task(
            name="sst-2",
            sentences=("sentence",),
            label="label",
            labels=_YES_NO,
            headline="accuracy",
            metrics=("accuracy",),
        ),
        Task(
            name="mrpc",
            sentences=("#1 String", "#2 String"),
            label="Quality",
            labels=_YES_NO,
            headline="f1",
            metrics=("f1", "accuracy"),
        ),
        Task(
            name="sts-b",
            sentences=("sentence1", "sentence2"),
            label="score",
            labels=None,
            headline="spearman",
            metrics=("spearman", "pearson"),
        ),
        Task(
            name="qqp",
            sentences=("question1", "question2"),
            label="is_duplicate",
            labels=_YES_NO,
            headline="f1",
            metrics=("f1", "accuracy"),
        ),
        Task(
            name="mnli",
            sentences=("sentence1", "sentence2"),
            label="gold_label",
            labels=("contradiction", "entailment", "neutral"),
            headline="accuracy",
            metrics=("accuracy",),
            dev_files={"": "dev_matched.tsv", "_mismatched": "dev_mismatched.tsv"},
        ),
        Task(
            name="qnli",
            sentences=("question", "sentence"),
            label="label",
            labels=_ENTAILMENT,
            headline="accuracy",
            metrics=("accuracy",),
        ),
        Task(
            name="rte",
            sentences=("sentence1", "sentence2"),
            label="label",
            labels=_ENTAILMENT,
            headline="accuracy",
            metrics=("accuracy",),
        ),
        Task(
            name="wnli",
            sentences=("sentence1", "sentence2"),
            label="label",
            labels=_YES_NO,
            headline="accuracy",
            metrics=("accuracy",),
        ),
    )
}
"""By name, in the order of the GLUE paper."""


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
        CorpusError: there is none; the message lists them.
    """
    try:
        return TASKS[name]
    except KeyError:
        raise CorpusError(f"task {name!r}: not a GLUE task; those are: {', '.join(TASKS)}") from None
