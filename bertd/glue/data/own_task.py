"""A task of one's own: its labels found from the data, and a development set that is given or held out.

The class names are sorted, whole numbers by value, and are those of the training and the development set together. A
correlation of numbers, or labels with fractions, makes the label a number to predict.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bertd.errors import CorpusError
from bertd.glue.data.examples import Example, Split
from bertd.glue.data.label_warnings import warn_of_alike, warn_of_constant, warn_of_unseen
from bertd.glue.data.tables import Table, read_table
from bertd.glue.tasks import Task
from bertd.records import MetricName, OwnTask

K = TypeVar("K", bound=Hashable)

_CLASS_METRICS = (MetricName.ACCURACY, MetricName.F1, MetricName.MATTHEWS)
_FEW_ROWS = 20
"""In so few rows, any number of labels up to half of this is believed."""
_NUMBER_METRICS = (MetricName.SPEARMAN, MetricName.PEARSON)
_WHOLE = re.compile(r"-?\d+(\.0+)?")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_MIN_SCALE = 4
"""So many whole numbers as labels may be steps of a scale, and not names of classes."""


@dataclass(frozen=True)
class OwnTaskData:
    """A task of one's own with its examples."""

    task: Task
    train: Split
    dev: Split
    dev_description: str
    warnings: list[tuple[str, str]]
    """Code and message."""


def read_own_task(name: str, own: OwnTask) -> OwnTaskData:
    """Read the tables of a task.

    Raises:
        CorpusError: a table, a column or a label is missing or wrong, or there are too few rows.
    """
    columns = (*own.text, own.label)
    train_table = read_table(Path(own.train), columns)
    dev_table = None if own.dev is None else read_table(Path(own.dev), columns)
    tables = [train_table] if dev_table is None else [train_table, dev_table]
    texts = [read_texts(table, num_columns=len(own.text)) for table in tables]
    labels = [_read_labels(table) for table in tables]
    labels = _write_whole(labels)
    is_number = _is_number(own, [label for column in labels for label in column])
    if is_number:
        classes = None
        targets = [_numbers(table, column) for table, column in zip(tables, labels, strict=True)]
    else:
        classes = _find_classes(own, labels)
        ids = {label: float(number) for number, label in enumerate(classes)}
        targets = [[ids[label] for label in column] for column in labels]
    task = _make_task(name, own, classes=classes)
    splits = [
        Split(table.path, [_example(pair, target) for pair, target in zip(pairs, column, strict=True)], skipped_lines=0)
        for table, pairs, column in zip(tables, texts, targets, strict=True)
    ]
    warnings = [warning for table, pairs in zip(tables, texts, strict=True) for warning in _warn_of_empty(table, pairs)]
    if classes is not None:
        warnings += warn_of_alike(own.train, classes)
        warnings += _warn_of_numbers(own, classes)
    if dev_table is None:
        train, dev, described = _hold_out(splits[0], own)
        warnings.append(("dev_held_out", f"{task.name}: no development set is given; it is {described}"))
    else:
        train, dev, described = splits[0], splits[1], str(splits[1].path)
        warnings += _warn_of_overlap(train, dev)
    train_labels, dev_labels = (_name_targets(split, classes) for split in (train, dev))
    if classes is not None:
        warnings += warn_of_unseen(described, train_labels, dev_labels)
    warnings += warn_of_constant(described, dev_labels)
    return OwnTaskData(task, train, dev, described, warnings)


def read_texts(table: Table, *, num_columns: int) -> list[tuple[str, ...]]:
    """The first columns of each row, checked to be text.

    Raises:
        CorpusError: a cell is missing, or is not text.
    """
    texts = []
    for index, row in enumerate(table.rows):
        cells = row[:num_columns]
        for cell in cells:
            if not isinstance(cell, str):
                what = "is missing" if cell is None else f"is {cell!r:.40}"
                raise CorpusError(f"{table.place(index)}: a text {what}, and must be a string; fix the row")
            if any("\ud800" <= character <= "\udfff" for character in cell):
                raise CorpusError(f"{table.place(index)}: a text has half a surrogate pair; fix the row")
        texts.append(tuple(map(str, cells)))
    return texts


def _read_labels(table: Table) -> list[str]:
    """The last cell of each row as text: whole numbers without a fraction, booleans as JSON writes them.

    Raises:
        CorpusError: a row has no label.
    """
    labels = []
    for index, row in enumerate(table.rows):
        cell = row[-1]
        if isinstance(cell, bool):
            label = str(cell).lower()
        elif isinstance(cell, float) and cell.is_integer():
            label = str(int(cell))
        elif isinstance(cell, str | int | float) and not (isinstance(cell, float) and math.isnan(cell)):
            label = str(cell).strip()
        else:
            label = ""
        if not label:
            raise CorpusError(f"{table.place(index)}: no label ({cell!r:.40}); leave the row out or label it")
        labels.append(label)
    return labels


def _write_whole(columns: list[list[str]]) -> list[list[str]]:
    """Whole numbers without a fraction, if all labels are whole numbers: programs write a column with gaps as 1.0."""
    if not all(_WHOLE.fullmatch(label) for column in columns for label in column):
        return columns
    return [[label.partition(".")[0] for label in column] for column in columns]


def _parse_number(label: str) -> float | None:
    """The finite number that a label is, or None."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _is_number(own: OwnTask, labels: list[str]) -> bool:
    if own.metric is not None:
        return own.metric in _NUMBER_METRICS
    values = [_parse_number(label) for label in labels]
    return None not in values and any(value is not None and not value.is_integer() for value in values)


def _numbers(table: Table, labels: list[str]) -> list[float]:
    numbers = []
    for index, label in enumerate(labels):
        value = _parse_number(label)
        if value is None:
            remedy = (
                "write decimals with a point"
                if _DECIMAL_COMMA.fullmatch(label)
                else "fix it, or give --metric accuracy"
            )
            raise CorpusError(
                f"{table.place(index)}: label {label[:40]!r} is not a number, which pearson and spearman need; {remedy}"
            )
        numbers.append(value)
    return numbers


def _find_classes(own: OwnTask, labels: list[list[str]]) -> tuple[str, ...]:
    distinct = {label for column in labels for label in column}
    is_whole = all(label.removeprefix("-").isdecimal() and len(label) < 19 for label in distinct)
    classes = tuple(sorted(distinct, key=int) if is_whole else sorted(distinct))
    if len(classes) > max(_FEW_ROWS, len(labels[0])) / 2:
        raise CorpusError(
            f"{own.train}: column {own.label!r} has {len(classes)} different labels in {len(labels[0])} rows, such as "
            f"{classes[0]!r:.40}; name a column of classes, or predict a number with --metric spearman"
            + (", with a point in decimals" if any(map(_DECIMAL_COMMA.fullmatch, classes)) else "")
        )
    if len(set(labels[0])) < 2:
        raise CorpusError(
            f"{own.train}: column {own.label!r} has one label, {labels[0][0]!r:.40}; a task needs two or more"
        )
    return classes


def _make_task(name: str, own: OwnTask, *, classes: tuple[str, ...] | None) -> Task:
    if classes is None:
        metrics = [str(metric) for metric in _NUMBER_METRICS]
        headline = str(own.metric or MetricName.SPEARMAN)
    else:
        names = {MetricName.F1: "f1" if len(classes) == 2 else "macro_f1"}
        metrics = [names.get(metric, str(metric)) for metric in _CLASS_METRICS]
        chosen = own.metric or MetricName.ACCURACY
        headline = names.get(chosen, str(chosen))
    return Task(
        name=name,
        sentences=own.text,
        label=own.label,
        labels=classes,
        headline=headline,
        metrics=(headline, *(metric for metric in metrics if metric != headline)),
    )


def _example(texts: tuple[str, ...], target: float) -> Example:
    return Example(first=texts[0], second=texts[1] if len(texts) > 1 else None, target=target)


def draw_held_out(keys: Sequence[K], *, share: float, seed: int) -> set[K]:
    """The keys to hold out: about a share of them, equal ones together, and never all."""
    counts = Counter(keys)
    distinct = list(counts)
    random.Random(seed).shuffle(distinct)
    wanted = max(1, round(share * len(keys)))
    held: set[K] = set()
    num_held = 0
    for key in distinct[:-1]:
        if num_held >= wanted:
            break
        held.add(key)
        num_held += counts[key]
    return held


def _hold_out(split: Split, own: OwnTask) -> tuple[Split, Split, str]:
    """Training and development set, and what the latter is; rows with the same text stay together, so that none is in
    both.

    Raises:
        CorpusError: there are too few rows.
    """
    texts = [(example.first, example.second) for example in split.examples]
    held = draw_held_out(texts, share=own.dev_share, seed=own.dev_seed)
    dev = [example for example, text in zip(split.examples, texts, strict=True) if text in held]
    train = [example for example, text in zip(split.examples, texts, strict=True) if text not in held]
    if not dev or len({example.target for example in train}) < 2:
        num_texts = len(set(texts))
        raise CorpusError(
            f"{split.path}: {len(texts)} rows with {num_texts} different texts are too few to hold {own.dev_share:.2g} "
            "of them out and keep two labels; give --dev"
        )
    described = f"{len(dev)} of {len(split.examples)} rows of {split.path}, held out with seed {own.dev_seed}"
    return (
        Split(split.path, train, skipped_lines=0),
        Split(split.path, dev, skipped_lines=0),
        described,
    )


def _name_targets(split: Split, classes: tuple[str, ...] | None) -> list[str]:
    return [f"{example.target:g}" if classes is None else classes[int(example.target)] for example in split.examples]


def _warn_of_empty(table: Table, texts: list[tuple[str, ...]]) -> list[tuple[str, str]]:
    empty = [index for index, cells in enumerate(texts) if not any(map(str.strip, cells))]
    if not empty:
        return []
    message = f"{table.path}: {len(empty)} of {len(texts)} rows have no text, the first {table.unit} "
    return [("text_empty", f"{message}{table.numbers[empty[0]]}; leave them out if they say nothing")]


def _warn_of_numbers(own: OwnTask, classes: tuple[str, ...]) -> list[tuple[str, str]]:
    if own.metric is not None or len(classes) < _MIN_SCALE or not all(map(_WHOLE.fullmatch, classes)):
        return []
    message = (
        f"{own.train}: {len(classes)} whole numbers are taken as classes without an order; if they are steps of a "
        "scale, --metric spearman predicts a number"
    )
    return [("labels_are_numbers", message)]


def _warn_of_overlap(train: Split, dev: Split) -> list[tuple[str, str]]:
    seen = {(example.first, example.second) for example in train.examples}
    num_seen = sum((example.first, example.second) in seen for example in dev.examples)
    if not num_seen:
        return []
    message = f"{dev.path}: {num_seen} of {len(dev.examples)} texts are in {train.path}, too; the score is too high"
    return [("dev_overlap", message)]
