"""Arrow's own files, as `datasets` caches and saves them and as Feather is since its version 2: a column of texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from bertd.data.sources.readers.document import Block, ReadResult
from bertd.data.sources.readers.rows.columns import (
    VALUES_PER_BATCH,
    make_rows,
    missing_column_message,
    require_text_column,
)
from bertd.data.sources.readers.rows.row_blocks import pack_rows, read_rows
from bertd.errors import CorpusError

_FILE_MAGIC = b"ARROW1"
_STREAM_MARK = b"\xff\xff\xff\xff"
"""Opens a stream's first message; four bytes with the length of the message follow."""
_MAX_SCHEMA_BYTES = 1 << 24
HEAD_BYTES = 8


def is_arrow(head: bytes) -> bool:
    """Whether a file's first HEAD_BYTES are those of an Arrow file or stream."""
    length = int.from_bytes(head[4:8], "little")
    return head.startswith(_FILE_MAGIC) or (
        head.startswith(_STREAM_MARK) and 0 < length < _MAX_SCHEMA_BYTES and length % 8 == 0
    )


@dataclass(frozen=True)
class ArrowTable:
    """Reads one column of a file, record batch by record batch."""

    text_field: str = "text"
    values_per_document: int = 1

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Some rows each.

        Raises:
            CorpusError: pyarrow is not installed, or the file is not an Arrow file or lacks the column.
        """
        try:
            import pyarrow
        except ImportError as error:
            raise CorpusError("arrow needs the package pyarrow; pip install pyarrow") from error
        place = str(getattr(stream, "name", "arrow"))
        try:
            # A file in an archive cannot be read from its end, as Arrow's file format is.
            seekable = stream if stream.seekable() else BytesIO(stream.read())
            values = self._read_column(seekable, place=place)
            rows = make_rows(values, values_per_document=self.values_per_document, place=place)
            yield from pack_rows(rows, block_bytes=block_bytes)
        except (pyarrow.ArrowException, OSError) as error:
            reason = str(error).split("\n", 1)[0]
            raise CorpusError(f"{place}: not a complete Arrow file: {reason}; fetch it again") from error

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """A document a row, or for several of them."""
        return read_rows(content)

    def _read_column(self, stream: BinaryIO, *, place: str) -> Iterator[list[object]]:
        """The values of the column, some rows at a time.

        Raises:
            CorpusError: there is no such column, or it holds no texts.
        """
        import pyarrow.ipc

        is_file = stream.read(HEAD_BYTES).startswith(_FILE_MAGIC)
        stream.seek(0)
        reader = pyarrow.ipc.open_file(stream) if is_file else pyarrow.ipc.open_stream(stream)
        if self.text_field not in reader.schema.names:
            raise CorpusError(missing_column_message(place, self.text_field, reader.schema.names))
        require_text_column(str(reader.schema.field(self.text_field).type), place=place, field=self.text_field)
        batches: Iterator[Any] = map(reader.get_batch, range(reader.num_record_batches)) if is_file else iter(reader)
        for batch in batches:
            column = batch.column(self.text_field)
            for first in range(0, len(column), VALUES_PER_BATCH):
                yield column.slice(first, VALUES_PER_BATCH).to_pylist()
