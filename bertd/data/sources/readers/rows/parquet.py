"""Parquet files: a column of texts, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from bertd.data.sources.readers.document import Block, ReadResult
from bertd.data.sources.readers.rows.columnar import ColumnarFormat, OpenTable, read_blocks
from bertd.data.sources.readers.rows.columns import VALUES_PER_BATCH
from bertd.data.sources.readers.rows.row_blocks import read_rows
from bertd.data.sources.readers.rows.row_filter import RowFilter

_MAGIC = b"PAR1"
_COLUMN_BUFFER_BYTES = 1 << 20
"""Read-ahead in a column; a complete row group may be larger than the memory."""


def is_parquet(head: bytes) -> bool:
    """Whether a file that begins so is a Parquet file."""
    return head.startswith(_MAGIC)


def _open_table(stream: BinaryIO) -> OpenTable:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(stream, buffer_size=_COLUMN_BUFFER_BYTES)

    def read_batches(names: list[str]) -> Iterator[Any]:
        yield from file.iter_batches(batch_size=VALUES_PER_BATCH, columns=names)

    return OpenTable(schema=file.schema_arrow, read_batches=read_batches)


_FORMAT = ColumnarFormat(name="Parquet", is_head=is_parquet, open_table=_open_table)


@dataclass(frozen=True)
class Parquet:
    """Reads one column of a file."""

    text_field: str = "text"
    values_per_document: int = 1
    row_filter: RowFilter = RowFilter()

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Some rows each; see read_blocks for the errors."""
        return read_blocks(
            stream,
            _FORMAT,
            text_field=self.text_field,
            values_per_document=self.values_per_document,
            row_filter=self.row_filter,
            block_bytes=block_bytes,
        )

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """A document a row, or for several of them."""
        return read_rows(content)
