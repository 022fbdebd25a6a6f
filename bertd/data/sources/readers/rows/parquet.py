"""Parquet files: a column of texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from bertd.data.sources.readers.document import Block, ReadResult
from bertd.data.sources.readers.rows.columns import (
    VALUES_PER_BATCH,
    make_rows,
    missing_column_message,
    require_text_column,
)
from bertd.data.sources.readers.rows.row_blocks import pack_rows, read_rows
from bertd.errors import CorpusError

_COLUMN_BUFFER_BYTES = 1 << 20
"""Read-ahead in a column; a complete row group may be larger than the memory."""


@dataclass(frozen=True)
class Parquet:
    """Reads one column of a file, row group by row group."""

    text_field: str = "text"
    values_per_document: int = 1

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Some rows each.

        Raises:
            CorpusError: pyarrow is not installed, or the file is not a Parquet file or lacks the column.
        """
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise CorpusError("parquet needs the package pyarrow; pip install pyarrow") from error
        place = str(getattr(stream, "name", "parquet"))
        try:
            # A file in an archive cannot be read from its end, as Parquet is.
            seekable = stream if stream.seekable() else BytesIO(stream.read())
            file = pyarrow.parquet.ParquetFile(seekable, buffer_size=_COLUMN_BUFFER_BYTES)
            if self.text_field not in file.schema_arrow.names:
                raise CorpusError(missing_column_message(place, self.text_field, file.schema_arrow.names))
            require_text_column(str(file.schema_arrow.field(self.text_field).type), place=place, field=self.text_field)
            batches = file.iter_batches(batch_size=VALUES_PER_BATCH, columns=[self.text_field])
            values = (batch.column(0).to_pylist() for batch in batches)
            rows = make_rows(values, values_per_document=self.values_per_document, place=place)
            yield from pack_rows(rows, block_bytes=block_bytes)
        except pyarrow.ArrowException as error:
            reason = str(error).split("\n", 1)[0]
            raise CorpusError(f"{place}: not a complete Parquet file: {reason}; fetch it again") from error

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """A document a row, or for several of them."""
        return read_rows(content)
