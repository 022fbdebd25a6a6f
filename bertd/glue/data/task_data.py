"""The examples of a finetuning, wherever they come from: GLUE's own files, a copy of nyu-mll/glue, or a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bertd.glue.data.diagnostic import find_diagnostic, read_diagnostic
from bertd.glue.data.examples import Split, read_dev, read_train
from bertd.glue.data.hub_layout import is_hub_layout, read_hub_diagnostic, read_hub_task
from bertd.glue.data.own_task import read_own_task
from bertd.glue.tasks import DIAGNOSTIC_SUFFIX, Task, find_task
from bertd.records import FinetuneSpec


@dataclass(frozen=True)
class TaskData:
    """A task with its examples."""

    task: Task
    train: Split
    dev: dict[str, Split]
    """By suffix of the metrics' names; the first decides which epoch is kept."""
    dev_description: str
    """The first development set, for people."""
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """Code and message of what a person should know of the data."""


def read_task_data(spec: FinetuneSpec) -> TaskData:
    """Read what the finetuning needs.

    Raises:
        CorpusError: a file, a column or a label is missing or wrong, or there is no example.
    """
    if spec.own is not None:
        own = read_own_task(spec.task, spec.own)
        return TaskData(own.task, own.train, {"": own.dev}, own.dev_description, own.warnings)
    task = find_task(spec.task)
    data_dir = Path(spec.data_dir)
    is_hub = is_hub_layout(task, data_dir=data_dir)
    if is_hub:
        train, (dev, absent) = read_hub_task(task, data_dir=data_dir)
    else:
        train, (dev, absent) = read_train(task, data_dir=data_dir), read_dev(task, data_dir=data_dir)
    if task.has_diagnostic:
        found = read_hub_diagnostic(task, data_dir=data_dir) if is_hub else _read_diagnostic(task, data_dir=data_dir)
        if found is not None:
            dev[DIAGNOSTIC_SUFFIX] = found
    data = TaskData(task, train, dev, str(next(iter(dev.values())).path))
    data.warnings.extend(_gaps([train, *dev.values()], absent))
    return data


def _read_diagnostic(task: Task, *, data_dir: Path) -> Split | None:
    path = find_diagnostic(task, data_dir=data_dir)
    return None if path is None else read_diagnostic(task, path=path)


def _gaps(splits: list[Split], absent: list[Path]) -> list[tuple[str, str]]:
    skipped = [
        ("lines_skipped", f"{split.path}: {split.skipped_lines} lines have too few fields and are skipped")
        for split in splits
        if split.skipped_lines
    ]
    return skipped + [
        ("dev_set_absent", f"{path}: missing; only the other development set is scored") for path in absent
    ]
