"""The spec of a finetune job: `finetune.json` in its folder."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.records.record import Record


@dataclass(frozen=True)
class GlueFiles:
    """Where a task's examples are below the data folder, spelt as in GLUE's archive."""

    folder: str
    train: str = "train.tsv"
    dev: str = "dev.tsv"
    """The development set that gives the headline."""


GLUE_FILES = {
    "cola": GlueFiles("CoLA"),
    "sst-2": GlueFiles("SST-2"),
    "mrpc": GlueFiles("MRPC"),
    "sts-b": GlueFiles("STS-B"),
    "qqp": GlueFiles("QQP"),
    "mnli": GlueFiles("MNLI", dev="dev_matched.tsv"),
    "qnli": GlueFiles("QNLI"),
    "rte": GlueFiles("RTE"),
    "wnli": GlueFiles("WNLI"),
}
"""By the names of the tasks of bertd.glue.tasks, for modules that may not import it, and in the same order."""
GLUE_TASKS = tuple(GLUE_FILES)


class FinetuneSpec(Record):
    """Content of `finetune.json`: task, data, export and hyperparameters."""

    task: str
    """One of GLUE_TASKS."""
    data_dir: str
    """Absolute path of a folder in GLUE's TSV layout (DATA/CoLA/train.tsv ...)."""
    source: str
    """Absolute path of the export folder to start from."""
    source_name: str
    """The export as shown to the user: run/step."""
    seed: int = 42
    lr: float = 5e-5
    batch_size: int = 32
    epochs: int = 3
    weight_decay: float = 0.1
    warmup: float = 0.06
    max_length: int = 128
