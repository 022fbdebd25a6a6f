"""Write the metrics of a whole journal at once, in a pass that keeps a line of it in memory.

A journal of ten million steps is more than a tracker shows: of the step records only every n-th is parsed and written,
as it was recorded. All validations are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import OutputExistsError, RunFolderError
from bertd.records import JournalRecord, Record, journal_record_adapter
from bertd.run.bounded_read import open_regular
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe
from bertd.trackers.metrics import PREFIXES, RowReader, repeated_after
from bertd.trackers.sinks.open_sink import MetricsFormat, open_sink
from bertd.trackers.sinks.sink import RunDescription, Sink

TRACKER_POINTS = 10_000
"""Step records that a tracker gets, unless more are asked for: its page draws a thousand or two of them."""
_CHUNK_BYTES = 1 << 22
_STEP_PREFIX = PREFIXES[0]


class ExportAnswer(Record):
    """What was written."""

    place: str
    """The file or folder."""
    format: MetricsFormat
    num_step_records: int
    """In the journal."""
    every: int
    """One of so many step records was written, and the newest; 1: all."""
    num_rows: int
    num_damaged_lines: int
    """Of the journal, which were left out."""


def describe_run(folder: Path) -> RunDescription:
    """The run's id and recipe.

    Raises:
        RecipeError: its recipe is missing or was changed by hand.
    """
    settings = read_recipe(RunPaths(folder).recipe).model_dump(mode="json", exclude_none=True)
    return RunDescription(name=folder.name, settings=settings)


def export_metrics(folder: Path, format: MetricsFormat, *, place: Path, points: int | None) -> ExportAnswer:
    """Write the metrics of a run, which may still be running.

    Args:
        folder: of the run.
        place: file of a table, folder of a tracker; a table's must not exist.
        points: about how many step records to write at most; None for all.

    Raises:
        RunFolderError: there is no journal, or it cannot be read.
        RecipeError: the recipe is missing or was changed by hand.
        OutputExistsError: the file of a table, or the folder of events, is there.
        MissingPackageError: the format's package is not installed.
        StorageError: the disk refused.
    """
    journal = RunPaths(folder).journal
    num_steps = count_step_records(journal)
    every = 1 if points is None else max(1, -(-num_steps // points))
    if format is MetricsFormat.TENSORBOARD and place.exists():
        raise OutputExistsError(f"{place}: exists already; give another with --out, or remove it")
    sink = open_sink(format, place, describe_run(folder))
    try:
        written = _Pass(journal, every=every, num_steps=num_steps).write_to(sink)
        sink.close()
    except BaseException:
        sink.abort()
        raise
    return ExportAnswer(
        place=str(sink.place.absolute()),
        format=format,
        num_step_records=num_steps,
        every=every,
        num_rows=written.num_rows,
        num_damaged_lines=written.num_damaged_lines,
    )


def count_step_records(journal: Path) -> int:
    """Step records of a journal, counted without parsing.

    Raises:
        RunFolderError: there is no journal, or it cannot be read.
    """
    count, tail = 0, b""
    try:
        with os.fdopen(open_regular(journal), "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                text = tail + chunk
                count += text.count(_STEP_PREFIX)
                # Shorter than the prefix, so that none is counted twice.
                tail = text[-(len(_STEP_PREFIX) - 1) :]
    except FileNotFoundError as error:
        raise RunFolderError(f"{journal.parent}: no journal there; name a run that has begun") from error
    except OSError as error:
        raise RunFolderError(f"{journal}: cannot read the journal: {error.strerror}") from error
    return count


@dataclass
class _Pass:
    """One pass over a journal."""

    journal: Path
    every: int
    num_steps: int
    """Of which the last is written, too."""
    num_rows: int = 0
    num_damaged_lines: int = 0

    def write_to(self, sink: Sink) -> _Pass:
        """Write all rows; raises as `export_metrics`."""
        rows = RowReader()
        for record in self._records():
            if (step := repeated_after(record)) is not None:
                sink.repeat_after(step)
            elif (row := rows.read(record)) is not None:
                sink.write(row)
                self.num_rows += 1
        return self

    def _records(self) -> Iterator[JournalRecord]:
        """The records that have metrics; a last line that is not complete yet is left.

        Raises:
            RunFolderError: the journal cannot be read.
        """
        try:
            with os.fdopen(open_regular(self.journal), "rb", buffering=_CHUNK_BYTES) as file:
                for line in self._kept_lines(file):
                    try:
                        yield journal_record_adapter.validate_json(line)
                    except ValidationError:
                        self.num_damaged_lines += 1
        except OSError as error:
            raise RunFolderError(f"{self.journal}: cannot read the journal: {error.strerror}") from error

    def _kept_lines(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        place, every, last = 0, self.every, self.num_steps - 1
        for line in lines:
            if line.startswith(_STEP_PREFIX):
                if (place % every == 0 or place == last) and line.endswith(b"\n"):
                    yield line
                place += 1
            elif line.startswith(PREFIXES) and line.endswith(b"\n"):
                yield line
