"""Files that store a table column by column: of the one column that holds the texts, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from bertd.data.sources.readers.document import Block
from bertd.data.sources.readers.rows.columns import make_rows, missing_column_message, require_text_column
from bertd.data.sources.readers.rows.row_blocks import Row, pack_rows
from bertd.data.sources.readers.rows.row_filter import RowFilter
from bertd.errors import CorpusError

HEAD_BYTES = 8
"""They show what a file is."""


@dataclass(frozen=True)
class OpenTable:
    """A file whose columns are known and whose rows are not read yet."""

    schema: Any
    """pyarrow's."""
    read_batches: Callable[[list[str]], Iterator[Any]]
    """The columns of these names, or those within others of these paths, as pyarrow's record batches of some rows."""


@dataclass(frozen=True)
class ColumnarFormat:
    """One format of such files."""

    name: str
    is_head: Callable[[bytes], bool]
    """Whether a file begins so; it is given HEAD_BYTES."""
    open_table: Callable[[BinaryIO], OpenTable]
    """Opens a stream that can be read from its end, as these formats are."""


def read_blocks(
    stream: BinaryIO,
    file_format: ColumnarFormat,
    *,
    text_field: str,
    values_per_document: int,
    row_filter: RowFilter,
    block_bytes: int,
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
        paths = row_filter.paths(
            has_path=lambda path: _has_path(table.schema, path), place=place, columns=table.schema.names
        )
        rows = make_rows(
            _read_rows(
                table.read_batches([text_field, *paths]), text_field=text_field, paths=paths, filters=row_filter
            ),
            values_per_document=values_per_document,
            place=place,
        )
        yield from pack_rows(rows, block_bytes=block_bytes)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).split("\n", 1)[0]
        raise CorpusError(f"{place}: not a complete {file_format.name} file: {reason}; fetch it again") from error


def _read_rows(batches: Iterator[Any], *, text_field: str, paths: tuple[str, ...], filters: RowFilter) -> Iterator[Row]:
    """The rows of the column of texts, those left out by other columns marked."""
    for batch in batches:
        texts = batch.column(text_field).to_pylist()
        tops = {name: batch.column(name).to_pylist() for name in dict.fromkeys(map(_top, paths))}
        for number, text in enumerate(texts):
            yield Row.of_value(text).filtered(filters, {name: values[number] for name, values in tops.items()})


def _top(path: str) -> str:
    return path.partition(".")[0]


def _has_path(schema: Any, path: str) -> bool:
    """Whether a schema has a column, or a field within one."""
    names = path.split(".")
    if names[0] not in schema.names:
        return False
    kind = schema.field(names[0]).type
    for name in names[1:]:
        fields = [kind.field(index).name for index in range(kind.num_fields)] if hasattr(kind, "num_fields") else []
        if name not in fields:
            return False
        kind = kind.field(fields.index(name)).type
    return True
