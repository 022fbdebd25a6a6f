"""A table in Parquet: the columns of the CSV file, numbers as they are, null for what was not measured."""

from __future__ import annotations

import os
from pathlib import Path

from bertd.errors import StorageError
from bertd.run.paths import TEMPORARY_PREFIX
from bertd.trackers.metrics import METRICS, MetricRow
from bertd.trackers.sinks.csv_file import INDEX_COLUMNS

_ROWS_PER_GROUP = 65_536
_WHOLE_NUMBERS = {"attempt", "step", "sequences"}


class ParquetFile:
    """Writes a group of rows at a time beside `place`, and renames at the end."""

    reference = ""

    def __init__(self, place: Path) -> None:
        """Begin the file.

        Raises:
            StorageError: it cannot be made.
        """
        import pyarrow
        import pyarrow.parquet

        self.place = place
        self._arrow = pyarrow
        self._temporary = place.with_name(f"{TEMPORARY_PREFIX}{place.name}-{os.getpid()}")
        self._schema = pyarrow.schema(
            [
                (name, pyarrow.int64() if name in _WHOLE_NUMBERS else pyarrow.float64())
                for name in (*INDEX_COLUMNS, *METRICS)
            ]
        )
        self._columns: dict[str, list[float | None]] = {name: [] for name in self._schema.names}
        self._count = 0
        try:
            self._writer = pyarrow.parquet.ParquetWriter(self._temporary, self._schema, compression="zstd")
        except OSError as error:
            raise self._refused(error) from error

    def write(self, row: MetricRow) -> None:
        for name in INDEX_COLUMNS:
            self._columns[name].append(getattr(row, name))
        for name in METRICS:
            self._columns[name].append(row.values.get(name))
        self._count += 1
        if self._count == _ROWS_PER_GROUP:
            self._write_group()

    def repeat_after(self, step: int) -> None:
        """The column `attempt` shows it."""

    def flush(self) -> None:
        """Nothing: groups are written when they are full."""

    def close(self) -> None:
        if self._count:
            self._write_group()
        try:
            self._writer.close()
            self._temporary.rename(self.place)
        except OSError as error:
            raise self._refused(error) from error

    def abort(self) -> None:
        try:
            self._writer.close()
        except OSError:
            # What is in memory cannot be written either; the file goes anyway.
            pass
        self._temporary.unlink(missing_ok=True)

    def _write_group(self) -> None:
        table = self._arrow.table(self._columns, schema=self._schema)
        try:
            self._writer.write_table(table)
        except OSError as error:
            raise self._refused(error) from error
        self._columns = {name: [] for name in self._columns}
        self._count = 0

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(f"{self.place}: cannot write: {error.strerror or error}; free space there")
