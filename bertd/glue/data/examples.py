"""Read a task's examples from GLUE's tab-separated files.

The files are not CSV: a `"` is an ordinary character (MRPC and CoLA have unpaired ones), a tab always ends a field,
only a line feed ends a line. Some files start with a byte order mark, and the last line may lack its newline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import CorpusError
from bertd.glue.tasks import Task

_QQP_FIELDS = 6
"""QQP's official train.tsv has a few lines with fewer fields; like other readers, this one skips them."""


@dataclass(frozen=True)
class Example:
    """One labelled text or pair."""

    first: str
    second: str | None
    target: float
    """The id of the class, or the number to predict."""


@dataclass(frozen=True)
class Split:
    """The examples of one file."""

    path: Path
    examples: list[Example]
    skipped_lines: int
    """Skipped lines of QQP with too few fields; 0 for every other task."""


def read_train(task: Task, *, data_dir: Path) -> Split:
    """Read the training examples.

    Raises:
        CorpusError: a file, a column or a label is missing or wrong, or there is no example.
    """
    return read_split(task, path=data_dir / task.folder / "train.tsv")


def read_dev(task: Task, *, data_dir: Path) -> tuple[dict[str, Split], list[Path]]:
    """Read the development sets; returns them by suffix, and the paths of missing ones other than the first.

    Raises:
        CorpusError: the first set is missing, or any is wrong or empty.
    """
    splits: dict[str, Split] = {}
    absent: list[Path] = []
    for suffix, name in task.dev_files.items():
        path = data_dir / task.folder / name
        if splits and not path.exists():
            absent.append(path)
        else:
            splits[suffix] = read_split(task, path=path)
    return splits, absent


def read_split(task: Task, *, path: Path) -> Split:
    """Read the labelled examples of one file in GLUE's layout.

    Raises:
        CorpusError: the file, a column or a label is missing or wrong, or there is no example.
    """
    lines = read_lines(path)
    if task.columns is None:
        header, rows, first_line = (lines[0].split("\t") if lines else []), lines[1:], 2
    else:
        header, rows, first_line = list(task.columns), lines, 1
    column_indices = _find_columns(task, path=path, header=header)
    examples: list[Example] = []
    skipped = 0
    for number, row in enumerate(rows, start=first_line):
        fields = row.split("\t")
        if task.name == "qqp" and len(fields) < _QQP_FIELDS:
            skipped += 1
            continue
        if len(fields) != len(header):
            raise CorpusError(
                f"{path}: line {number}: {len(fields)} fields, but {len(header)} columns "
                f"({', '.join(header)}); fix the line or download {task.folder} again"
            )
        texts = [fields[place] for place in column_indices[:-1]]
        target = _read_label(task, text=fields[column_indices[-1]], place=f"{path}: line {number}")
        examples.append(Example(first=texts[0], second=texts[1] if len(texts) > 1 else None, target=target))
    if not examples:
        raise CorpusError(f"{path}: no example in it; download {task.folder} again")
    return Split(path=path, examples=examples, skipped_lines=skipped)


def read_header(path: Path) -> list[str]:
    """The column names in the first line of a file.

    Raises:
        CorpusError: the file cannot be read.
    """
    lines = read_lines(path)
    return lines[0].split("\t") if lines else []


def read_lines(path: Path) -> list[str]:
    """The lines of a file, without their ends.

    Raises:
        CorpusError: the file cannot be read or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot read: {error.strerror}; --data must name the folder that holds {path.parent.name}/"
        ) from error
    try:
        # Only a line feed ends a line: str.splitlines would also split at U+0085 and U+2028, which occur in web text.
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CorpusError(f"{path}: line {line}: not UTF-8 ({error.reason}); convert the file to UTF-8") from error
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _find_columns(task: Task, *, path: Path, header: list[str]) -> list[int]:
    """Column indices of the sentences, then of the label.

    Raises:
        CorpusError: the header lacks one of them.
    """
    required = [*task.sentences, task.label]
    missing = [name for name in required if name not in header]
    if missing:
        raise CorpusError(
            f"{path}: line 1: no column {', '.join(map(repr, missing))} in "
            f"{[name[:30] for name in header[:20]]}; {task.folder} must be in GLUE's official TSV layout"
        )
    return [header.index(name) for name in required]


def _read_label(task: Task, *, text: str, place: str) -> float:
    if task.labels is not None:
        if text not in task.labels:
            raise CorpusError(f"{place}: label {text[:40]!r} is not one of {', '.join(task.labels)}; fix the line")
        return float(task.labels.index(text))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CorpusError(f"{place}: {task.label} {text[:40]!r} is not a number; fix the line")
    return value
