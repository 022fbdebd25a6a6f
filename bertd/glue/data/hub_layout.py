"""GLUE as a folder in the form of the hub's nyu-mll/glue: Parquet files by task and split, read by `datasets`.

Labels are numbers there, and -1 in test sets, which hide them. Their words are those of the files' own description if
they have one, else those of the official conversion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bertd.data.sources.glue_tsv import GLUE_TABLES, GlueTable
from bertd.errors import CorpusError
from bertd.glue.data.examples import Example, Split
from bertd.glue.tasks import Task
from bertd.records import GLUE_FILES

_SPLITS = {
    "dev.tsv": "validation",
    "dev_matched.tsv": "validation_matched",
    "dev_mismatched.tsv": "validation_mismatched",
}
"""Splits by the development sets' files in GLUE's own layout."""
_DIAGNOSTIC = "ax"


def is_hub_layout(task: Task, *, data_dir: Path) -> bool:
    """Whether the task is there as Parquet, and not in GLUE's own files."""
    return not (data_dir / task.folder).is_dir() and (data_dir / GLUE_FILES[task.name].hub_folder).is_dir()


def read_hub_task(task: Task, *, data_dir: Path) -> tuple[Split, tuple[dict[str, Split], list[Path]]]:
    """Read the training set, and the development sets by suffix with the paths of missing ones but the first.

    Raises:
        CorpusError: a file, a column or a label is missing or wrong, or there is no example.
    """
    table = next(table for table in GLUE_TABLES if table.folder == task.folder)
    train = _read_split(task, table, data_dir=data_dir, split="train")
    dev: dict[str, Split] = {}
    absent: list[Path] = []
    for suffix, name in task.dev_files.items():
        split = _SPLITS[name]
        if dev and not find_files(data_dir / table.config, split):
            absent.append(files_pattern(data_dir / table.config, split))
        else:
            dev[suffix] = _read_split(task, table, data_dir=data_dir, split=split)
    return train, (dev, absent)


def read_hub_diagnostic(task: Task, *, data_dir: Path) -> Split | None:
    """Read the diagnostic set; None if it is not there or has no labels, and the task does not need it.

    Raises:
        CorpusError: the task is the diagnostic, and the set is missing or has no labels.
    """
    mnli = next(table for table in GLUE_TABLES if table.folder == task.folder)
    folder = data_dir / _DIAGNOSTIC
    path = files_pattern(folder, "test")
    if not find_files(folder, "test"):
        if task.is_diagnostic:
            raise CorpusError(f"{path}: does not exist; put the diagnostic set with labels there")
        return None
    rows, names = load_rows(folder, "test")
    if all(row.get("label") in (-1, None) for row in rows):
        if task.is_diagnostic:
            raise CorpusError(f"{path}: has no labels to score; put the diagnostic set with labels there")
        return None
    return Split(path, _make_examples(task, mnli, rows, names, path=path), skipped_lines=0)


def _read_split(task: Task, table: GlueTable, *, data_dir: Path, split: str) -> Split:
    folder = data_dir / table.config
    path = files_pattern(folder, split)
    if not find_files(folder, split):
        raise CorpusError(
            f"{path}: does not exist, and {task.name} needs it; fetch nyu-mll/glue with all files of {table.config}/"
        )
    rows, names = load_rows(folder, split)
    examples = _make_examples(task, table, rows, names, path=path)
    if not examples:
        raise CorpusError(f"{path}: no example in it; fetch nyu-mll/glue again")
    return Split(path, examples, skipped_lines=0)


def files_pattern(folder: Path, split: str) -> Path:
    """The files of a split, for messages."""
    return folder / f"{split}-*.parquet"


def find_files(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split; none if it is not there."""
    return sorted(folder.glob(f"{split}-*.parquet"))


def load_rows(folder: Path, split: str) -> tuple[list[dict[str, Any]], list[str] | None]:
    """The rows of a split, and the words of its labels if its files have them.

    Raises:
        CorpusError: `datasets` cannot load them.
    """
    import datasets

    files = [str(path) for path in find_files(folder, split)]
    try:
        # Streamed: else `datasets` would copy the files into its cache.
        loaded = datasets.load_dataset("parquet", data_files={split: files}, split=split, streaming=True)
        rows = list(loaded)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).split("\n", 1)[0]
        raise CorpusError(f"{files_pattern(folder, split)}: cannot load: {reason}; fetch nyu-mll/glue again") from error
    return rows, getattr((loaded.features or {}).get("label"), "names", None)


def _make_examples(
    task: Task, table: GlueTable, rows: Iterable[dict[str, Any]], names: list[str] | None, *, path: Path
) -> list[Example]:
    words = names if names is not None and task.labels is not None and set(names) == set(task.labels) else table.labels
    examples = []
    for number, row in enumerate(rows, start=1):
        missing = [column for column in (*table.texts, "label") if row.get(column) is None]
        if missing:
            raise CorpusError(f"{path}: row {number}: no {missing[0]!r}; fetch nyu-mll/glue again")
        texts = [str(row[column]) for column in table.texts]
        target = _read_target(task, words, row["label"], place=f"{path}: row {number}")
        examples.append(Example(texts[0], texts[1] if len(texts) > 1 else None, target))
    return examples


def _read_target(task: Task, words: Iterable[str] | None, label: object, *, place: str) -> float:
    if task.labels is None:
        if not isinstance(label, int | float) or not math.isfinite(label):
            raise CorpusError(f"{place}: label {label!r:.40} is not a number; fetch nyu-mll/glue again")
        return float(label)
    words = tuple(words or ())
    if not isinstance(label, int) or not 0 <= label < len(words):
        hidden = " (a hidden one, as in a test set)" if label == -1 else ""
        raise CorpusError(f"{place}: label {label!r:.40}{hidden} is not 0 to {len(words) - 1}; use a set with labels")
    return float(task.labels.index(words[label]))
