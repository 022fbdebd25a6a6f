"""A table as text: a row per record, an empty field for what was not measured."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from bertd.errors import StorageError
from bertd.run.paths import TEMPORARY_PREFIX
from bertd.trackers.metrics import METRICS, MetricRow

INDEX_COLUMNS = ("t", "attempt", "step", "sequences", "charged_s", "progress")


class CsvFile:
    """Writes beside `place`, and renames at the end."""

    reference = ""

    def __init__(self, place: Path) -> None:
        """Begin the file.

        Raises:
            StorageError: it cannot be made.
        """
        self.place = place
        self._temporary = place.with_name(f"{TEMPORARY_PREFIX}{place.name}-{os.getpid()}")
        try:
            self._file = self._temporary.open("w", encoding="utf-8", newline="", buffering=1 << 20)
        except OSError as error:
            raise StorageError(f"{place}: cannot write: {error.strerror}; check the folder") from error
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow((*INDEX_COLUMNS, *METRICS))

    def write(self, row: MetricRow) -> None:
        index = (row.t, row.attempt, row.step, row.sequences, row.charged_s, row.progress)
        values = row.values
        try:
            self._writer.writerow((*index, *(values.get(name, "") for name in METRICS)))
        except OSError as error:
            raise _refused(self.place, error) from error

    def repeat_after(self, step: int) -> None:
        """The column `attempt` shows it."""

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise _refused(self.place, error) from error

    def close(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.rename(self.place)
        except OSError as error:
            raise _refused(self.place, error) from error

    def abort(self) -> None:
        try:
            self._file.close()
        except OSError:
            # What is in memory cannot be written either; the file goes anyway.
            pass
        self._temporary.unlink(missing_ok=True)


def _refused(place: Path, error: OSError) -> StorageError:
    return StorageError(f"{place}: cannot write: {error.strerror}; free space there")
