"""The spec of a finetune job: `finetune.json` in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Literal

from pydantic import Field

from bertd.records.record import Record


@dataclass(frozen=True)
class GlueFiles:
    """Where a task's examples are below the data folder, spelt as in GLUE's archive."""

    folder: str
    hub_folder: str
    """Its folder in the hub's nyu-mll/glue, which has Parquet files."""
    train: str = "train.tsv"
    dev: str = "dev.tsv"
    """The development set on which the best epoch is chosen."""
    hub_dev: str = "validation"
    """That set's split in nyu-mll/glue."""


_MNLI = GlueFiles("MNLI", "mnli", dev="dev_matched.tsv", hub_dev="validation_matched")
GLUE_FILES = {
    "cola": GlueFiles("CoLA", "cola"),
    "sst-2": GlueFiles("SST-2", "sst2"),
    "mrpc": GlueFiles("MRPC", "mrpc"),
    "sts-b": GlueFiles("STS-B", "stsb"),
    "qqp": GlueFiles("QQP", "qqp"),
    "mnli": _MNLI,
    "qnli": GlueFiles("QNLI", "qnli"),
    "rte": GlueFiles("RTE", "rte"),
    "wnli": GlueFiles("WNLI", "wnli"),
    # The diagnostic set has no training set: its examples are classified by a model of MNLI.
    "ax": _MNLI,
}
"""By the names of the tasks of bertd.glue.tasks, for modules that may not import it, and in the same order."""
GLUE_TASKS = tuple(GLUE_FILES)


Via = Literal["mnli"]
"""A task whose finetuned model others can start from."""
VIA_TASKS = ("mrpc", "sts-b", "rte")
"""Those that published scores finetune from MNLI. Source: Izsak et al. 2021; Warner et al. 2024."""


class MetricName(StrEnum):
    """Metrics of a task of one's own."""

    ACCURACY = "accuracy"
    F1 = "f1"
    """Of the second of two labels; of more labels the mean of each label's, `macro_f1`."""
    MATTHEWS = "matthews"
    PEARSON = "pearson"
    SPEARMAN = "spearman"


class Keep(StrEnum):
    """What a finetuning keeps besides its score."""

    NOTHING = "nothing"
    BEST = "best"
    """The model of the best epoch."""


TAGGED_SUFFIXES = (".conll", ".iob", ".iob2", ".bio", ".txt")
"""Files of tagged words end in one of these."""
TAGGED_METRICS = (MetricName.F1, MetricName.ACCURACY)
LAST_COLUMN = "last"
SQUAD_TEXT = ("question", "context")
SQUAD_LABEL = "answers"
"""SQuAD's own names of what is read and what is learnt."""
SQUAD_METRICS = (MetricName.F1,)
MAX_LENGTH = 128
_SQUAD_MAX_LENGTH = 384
"""Tokens of a question with a window of its context. Source: the BERT repository's SQuAD settings."""


class OwnTask(Record):
    """A task of one's own from a table (CSV, TSV, JSON lines, a JSON array or Parquet), a file of tagged words, or
    SQuAD's JSON."""

    train: str
    """Absolute path of the training table."""
    dev: str | None = None
    """Absolute path of the development table; None: `dev_share` of the training rows are held out."""
    is_squad: bool = False
    """Whether the files have questions with answers that are parts of a context, as SQuAD 1.1 and 2.0 write them."""
    dev_share: float = Field(default=0.1, gt=0, lt=1)
    dev_seed: int = Field(default=42, ge=0, lt=2**31)
    """Decides which rows are held out. Not the trial's seed, so that all trials are scored on the same rows."""
    text: tuple[str, ...] = Field(min_length=1, max_length=2)
    """Columns of the text: one, or the two of a pair; of tagged words the column's number, from 1; of questions
    SQUAD_TEXT."""
    label: str
    """Column of the label: a class, or a number to predict if the metric is a correlation of numbers; of tagged words
    the column's number, or LAST_COLUMN; of questions SQUAD_LABEL."""
    metric: MetricName | None = None
    """None: Spearman if the labels are fractional numbers, F1 of questions and if the tags mark entities, else
    accuracy."""

    @property
    def is_tagged(self) -> bool:
        """Whether the training file has tagged words, by its name."""
        return is_tagged_file(self.train)

    @property
    def max_length(self) -> int:
        """Tokens in one input at most."""
        return _SQUAD_MAX_LENGTH if self.is_squad else MAX_LENGTH


def is_tagged_file(path: str) -> bool:
    """Whether a file of that name has tagged words."""
    return PurePath(path).suffix.lower() in TAGGED_SUFFIXES


class FinetuneSpec(Record):
    """Content of `finetune.json`: task, data, export and hyperparameters."""

    task: str
    """One of GLUE_TASKS, or the name of a task of one's own."""
    data_dir: str
    """Absolute path of a folder in GLUE's TSV layout (DATA/CoLA/train.tsv ...), or of a copy of nyu-mll/glue; the
    folder of the table, for a task of one's own."""
    own: OwnTask | None = None
    """The task, if it is not one of GLUE's."""
    keep: Keep = Keep.NOTHING
    source: str
    """Absolute path of the export folder to start from."""
    via: Via | None = None
    """The task on which the model in `source` was finetuned; its output layer is replaced."""
    source_name: str
    """The export as shown to the user: run/step."""
    seed: int = 42
    lr: float = 5e-5
    batch_size: int = 32
    epochs: int = 3
    weight_decay: float = 0.1
    warmup: float = 0.06
    max_length: int = MAX_LENGTH
    """Tokens in one input at most."""


class TaskDescription(Record):
    """What a finetuning would learn from, as far as its data says."""

    task: str
    kind: str
    """What it would predict, in transformers' words: question answering."""
    num_train: int
    num_dev: int
    """Examples of the first development set."""
    dev: str
    """That set, for people."""
    metric: str
    """The main one."""
    chosen_by: str
    """The metric, on the first development set, of which the best epoch is kept."""
    baseline: float
    """The main metric of the best constant guess."""
    warnings: list[str]
    """What a person should know of the data."""
