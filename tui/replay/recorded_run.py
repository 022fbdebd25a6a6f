"""A run's folder as it was recorded: where its journal is, and from when to when it goes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import RunFolderError
from bertd.records import StepRecord, journal_record_adapter
from bertd.run.bounded_read import open_regular
from bertd.run.journal import JournalReader
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe
from bertd.run.recipe.schema import Recipe

_TAIL_BYTES = 1 << 16
"""Of the journal, in which its newest record is looked for."""
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class RecordedRun:
    """What is known of a run before its journal is read."""

    folder: Path
    journal: Path
    recipe: Recipe
    begin_t: float
    """Of its first record, in Unix seconds."""

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def job_id(self) -> int:
        """The number that its name begins with, as the daemon gave it; 1 if it has none."""
        number = re.match(r"(\d{1,9})-", self.id)
        return int(number[1]) if number else 1


def open_recorded_run(path: Path) -> RecordedRun:
    """Find a run by its folder or its journal.

    Raises:
        RunFolderError: there is no journal, it cannot be read, or it has no step.
        RecipeError: the recipe next to it is missing or damaged.
    """
    path = path.resolve()  # Its name is the run's, also where `path` is `.`.
    journal = RunPaths(path).journal if path.is_dir() else path
    if not journal.exists():
        what = "this folder has no journal.jsonl" if path.is_dir() else "there is no such folder or file"
        raise RunFolderError(f"{path}: {what}; give the folder of a run, such as STATE/runs/7-first")
    begin_t = _find_begin(journal)
    return RecordedRun(journal.parent, journal, read_recipe(RunPaths(journal.parent).recipe), begin_t)


def find_end(journal: Path) -> float | None:
    """When the newest record was written; None if the end of the journal is damaged.

    Raises:
        RunFolderError: it cannot be read.
    """
    try:
        with os.fdopen(open_regular(journal), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError as error:
        raise RunFolderError(f"{journal}: cannot read the journal: {error.strerror}") from error
    for line in reversed(lines[:-1]):
        try:
            return journal_record_adapter.validate_json(line).t
        except ValidationError:
            continue
    return None


def _find_begin(journal: Path) -> float:
    """When the first record was written, of a journal that has a step.

    Raises:
        RunFolderError: it has none, or cannot be read.
    """
    reader = JournalReader(journal)
    begin_t: float | None = None
    offset = -1
    while reader.offset != offset:
        offset = reader.offset
        for record in reader.read_piece(limit_bytes=_PIECE_BYTES):
            begin_t = record.t if begin_t is None else begin_t
            if isinstance(record, StepRecord):
                return begin_t
    if begin_t is None and reader.num_damaged_lines:
        raise RunFolderError(
            f"{journal}: none of its {reader.num_damaged_lines} lines is a record: it is damaged, or no journal; "
            "take another copy of it, such as that of `bertd backup`"
        )
    raise RunFolderError(f"{journal}: it has no step, so there is nothing to play; give a run that has trained")
