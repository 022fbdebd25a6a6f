"""Files that store a table column by column: of the one column that holds the texts, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from bertd.data.sources.readers.document import Block
from bertd.data.sources.readers.rows.columns import make_rows, missing_column_message, require_text_column
from bertd.data.sources.readers.rows.row_blocks import pack_rows
from bertd.errors import CorpusError

HEAD_BYTES = 8
"""They show what a file is."""


@dataclass(frozen=True)
class OpenTable:
    """A file whose columns are known and whose rows are not read yet."""

    schema: Any
    """pyarrow's."""
    read_column: Callable[[str], Iterator[list[object]]]
    """The values of a column by its name, some rows at a time."""


@dataclass(frozen=True)
class ColumnarFormat:
    """One format of such files."""

    name: str
    is_head: Callable[[bytes], bool]
    """Whether a file begins so; it is given HEAD_BYTES."""
    open_table: Callable[[BinaryIO], OpenTable]
    """Opens a stream that can be read from its end, as these formats are."""


def read_blocks(
    stream: BinaryIO, file_format: ColumnarFormat, *, text_field: str, values_per_document: int, block_bytes: int
) -> Iterator[Block]:
    """Blocks of the texts of a file.

    Args:
        values_per_document: see make_rows.

    Raises:
        CorpusError: pyarrow is not installed, or the file is not of the format, is not complete or lacks the column.
    """
    try:
        import pyarrow
    except ImportError as error:
        package = "pip install pyarrow"
        raise CorpusError(f"{file_format.name} files need the package pyarrow; {package}") from error
    place = str(getattr(stream, "name", file_format.name))
    # What is compressed, or in an archive, cannot be read from its end.
    seekable = stream if stream.seekable() else BytesIO(stream.read())
    head = seekable.read(HEAD_BYTES)
    seekable.seek(0)
    if not head:
        raise CorpusError(f"{place}: is empty; fetch it again, or remove it")
    if not file_format.is_head(head):
        raise CorpusError(
            f"{place}: is not of the format {file_format.name} by its first bytes; name only files that are, or leave "
            "out KIND:"
        )
    try:
        table = file_format.open_table(seekable)
        if text_field not in table.schema.names:
            raise CorpusError(missing_column_message(place, text_field, table.schema.names))
        require_text_column(str(table.schema.field(text_field).type), place=place, field=text_field)
        rows = make_rows(table.read_column(text_field), values_per_document=values_per_document, place=place)
        yield from pack_rows(rows, block_bytes=block_bytes)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).split("\n", 1)[0]
        raise CorpusError(f"{place}: not a complete {file_format.name} file: {reason}; fetch it again") from error
