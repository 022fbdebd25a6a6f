"""GLUE's nine tasks and its diagnostic set as a table: folder, files, columns, labels and metrics.

Source: the official download of gluebenchmark.com and the format descriptions in it. `bertd.glue.data.examples`
reads the files by this table. The headline metric is the one number on the screen: F1 for MRPC and QQP, rank
correlation for STS-B, Matthews for CoLA, else accuracy, as in the 24hBERT code.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bertd.errors import CorpusError
from bertd.glue.model.head import Head, HeadKind
from bertd.records import GLUE_FILES

DIAGNOSTIC_SUFFIX = "_diagnostic"
"""Ends the names of the diagnostic set's metrics."""
DIAGNOSTIC_METRICS = ("matthews",)


@dataclass(frozen=True)
class Task:
    """A task: one of GLUE's, or one's own."""

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
    """Suffix of the metric's name to file; the first file must exist, and decides which epoch is kept."""
    chosen_by: str | None = None
    """Metric on the first development set that decides which epoch is kept; None: the headline."""
    has_diagnostic: bool = False
    """Whether the diagnostic set is scored, too, where it has labels."""

    @property
    def selection_metric(self) -> str:
        """The metric, on the first development set, of which the best epoch is kept."""
        return self.chosen_by or self.headline

    @property
    def is_diagnostic(self) -> bool:
        """Whether the score is that of the diagnostic set, which then must be there."""
        return self.headline.endswith(DIAGNOSTIC_SUFFIX)

    def metrics_of(self, suffix: str) -> tuple[str, ...]:
        """Metrics of one development set."""
        return DIAGNOSTIC_METRICS if suffix == DIAGNOSTIC_SUFFIX else self.metrics

    @property
    def folder(self) -> str:
        """Under the data folder, spelt as in GLUE's archive."""
        return GLUE_FILES[self.name].folder

    @property
    def head(self) -> Head:
        """The classifier: an output for each class, or one number."""
        return Head(HeadKind.SEQUENCE, self.labels or (self.label,), is_number=self.labels is None)


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
            has_diagnostic=True,
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
"""By name, in the order of the GLUE paper; then the diagnostic set."""
# The best epoch is chosen on MNLI: a choice on the diagnostic set would raise its own score.
TASKS["ax"] = replace(
    TASKS["mnli"], name="ax", headline=f"matthews{DIAGNOSTIC_SUFFIX}", chosen_by=TASKS["mnli"].headline
)


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
        CorpusError: there is none; the message lists them.
    """
    try:
        return TASKS[name]
    except KeyError:
        raise CorpusError(f"task {name!r}: not a GLUE task; those are: {', '.join(TASKS)}") from None
