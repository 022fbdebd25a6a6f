"""Arrow's own files, as `datasets` caches and saves them and as Feather is since its version 2: a column of texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from bertd.data.sources.readers.document import Block, ReadResult
from bertd.data.sources.readers.rows.columnar import HEAD_BYTES, ColumnarFormat, OpenTable, read_blocks
from bertd.data.sources.readers.rows.columns import VALUES_PER_BATCH
from bertd.data.sources.readers.rows.row_blocks import read_rows
from bertd.data.sources.readers.rows.row_filter import RowFilter

_FILE_MAGIC = b"ARROW1"
_STREAM_MARK = b"\xff\xff\xff\xff"
"""Opens a stream's first message; four bytes with the length of the message follow."""
_MAX_SCHEMA_BYTES = 1 << 24


def is_arrow(head: bytes) -> bool:
    """Whether a file's first HEAD_BYTES are those of an Arrow file or stream."""
    length = int.from_bytes(head[4:HEAD_BYTES], "little")
    return head.startswith(_FILE_MAGIC) or (
        head.startswith(_STREAM_MARK) and 0 < length < _MAX_SCHEMA_BYTES and length % 8 == 0
    )


def _open_table(stream: BinaryIO) -> OpenTable:
    import pyarrow.ipc

    is_file = stream.read(HEAD_BYTES).startswith(_FILE_MAGIC)
    stream.seek(0)
    reader = pyarrow.ipc.open_file(stream) if is_file else pyarrow.ipc.open_stream(stream)

    def read_batches(names: list[str]) -> Iterator[Any]:
        batches: Iterator[Any] = map(reader.get_batch, range(reader.num_record_batches)) if is_file else iter(reader)
        for batch in batches:
            chosen = batch.select(list(dict.fromkeys(name.partition(".")[0] for name in names)))
            for first in range(0, len(chosen), VALUES_PER_BATCH):
                yield chosen.slice(first, VALUES_PER_BATCH)

    return OpenTable(schema=reader.schema, read_batches=read_batches)


_FORMAT = ColumnarFormat(name="Arrow", is_head=is_arrow, open_table=_open_table)


@dataclass(frozen=True)
class ArrowTable:
    """Reads one column of a file, record batch by record batch."""

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
