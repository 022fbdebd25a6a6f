"""The spec of a finetune job: `finetune.json` in its folder."""

from __future__ import annotations

from bertd.records.record import Record

GLUE_TASKS = ("cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli")
"""Names of the tasks of bertd.glue.tasks, for modules that may not import it."""


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
