"""Read the texts of GLUE's test sets, which have no labels, from its own files or from a copy of nyu-mll/glue.

Unlike the training files each begins with a header, CoLA's too, and a column `index`, or `id` in QQP. Quotes are
ordinary characters. Every row must be answered, so none is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bertd.data.sources.glue_tsv import GLUE_TABLES
from bertd.errors import CorpusError
from bertd.glue.data.examples import Example, Split, read_lines
from bertd.glue.data.hub_layout import files_pattern, find_files, load_rows
from bertd.glue.tasks import Task

_INDEX_COLUMNS = ("index", "id")
_NO_TARGET = 0.0


@dataclass(frozen=True)
class UnlabelledSplit:
    """The texts of a test set."""

    split: Split
    """Its targets mean nothing."""
    indices: list[int]
    """Of the rows, as the file has them."""


def read_test_file(task: Task, *, path: Path) -> UnlabelledSplit:
    """Read a test set in GLUE's layout.

    Raises:
        CorpusError: the file or a column is missing, or a row is wrong.
    """
    lines = read_lines(path)
    header = lines[0].split("\t") if lines else []
    index_column = next((name for name in _INDEX_COLUMNS if name in header), None)
    missing = [name for name in task.sentences if name not in header]
    if index_column is None or missing:
        wanted = missing[0] if missing else _INDEX_COLUMNS[0]
        raise CorpusError(f"{path}: line 1: no column {wanted!r} in {[name[:30] for name in header[:20]]}")
    columns = [header.index(name) for name in task.sentences]
    examples: list[Example] = []
    indices: list[int] = []
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        index = fields[header.index(index_column)]
        if len(fields) != len(header) or not index.isdecimal():
            raise CorpusError(
                f"{path}: line {number}: {len(fields)} fields with index {index[:40]!r}, but {len(header)} columns "
                f"({', '.join(header)}); download the file again"
            )
        texts = [fields[column] for column in columns]
        examples.append(Example(texts[0], texts[1] if len(texts) > 1 else None, _NO_TARGET))
        indices.append(int(index))
    return _non_empty(path, examples, indices)


def read_hub_test(task: Task, *, folder: Path, split: str) -> UnlabelledSplit:
    """Read a test set of nyu-mll/glue.

    Raises:
        CorpusError: a file or a column is missing.
    """
    table = next(table for table in GLUE_TABLES if table.folder == task.folder)
    path = files_pattern(folder, split)
    if not find_files(folder, split):
        raise CorpusError(f"{path}: does not exist; fetch nyu-mll/glue with all files of {folder.name}/")
    rows, _ = load_rows(folder, split)
    examples: list[Example] = []
    indices: list[int] = []
    for number, row in enumerate(rows, start=1):
        missing = [column for column in (*table.texts, "idx") if row.get(column) is None]
        if missing:
            raise CorpusError(f"{path}: row {number}: no {missing[0]!r}; fetch nyu-mll/glue again")
        texts = [str(row[column]) for column in table.texts]
        examples.append(Example(texts[0], texts[1] if len(texts) > 1 else None, _NO_TARGET))
        indices.append(int(row["idx"]))
    return _non_empty(path, examples, indices)


def _non_empty(path: Path, examples: list[Example], indices: list[int]) -> UnlabelledSplit:
    if not examples:
        raise CorpusError(f"{path}: no example in it; download it again")
    return UnlabelledSplit(Split(path, examples, skipped_lines=0), indices)
