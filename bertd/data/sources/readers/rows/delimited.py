"""Tables as text: CSV and TSV, with the quotes of RFC 4180 and whatever stands between their columns.

The first row has the names of the columns, unless it is data, which numbers and repeated values show. What separates
columns, and whether quotes are used, shows in the first rows: the choice that gives most rows of the header's length.
Nothing in a cell is interpreted: `NA` is a text of two letters. A row of another length than the header's is counted as
damaged, since part of its text may be in another row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

from bertd.data.sources.readers.document import MAX_DOCUMENT_BYTES, Block, ReadResult
from bertd.data.sources.readers.rows.columns import join_article_lines
from bertd.data.sources.readers.rows.dialect import (
    DELIMITERS,
    MAX_NAME_CHARACTERS,
    Dialect,
    Quotes,
    find_dialect,
    holds_texts,
    is_column_name,
)
from bertd.data.sources.readers.rows.row_blocks import Row, RowKind, pack_rows, read_rows
from bertd.data.sources.readers.rows.row_filter import RowFilter
from bertd.errors import CorpusError
from bertd.program import print_note

_DEFAULT_FIELD = "text"
"""Without a column of this name the texts are looked for; without one that the user names they are not."""
_HEAD_CHARACTERS = 1 << 18
_MAX_CELL_SHOWN = 24
_MAX_PREAMBLE_LINES = 10
"""Lines that may be above the names of the columns."""


@dataclass(frozen=True)
class DelimitedTable:
    """Reads one column; without one of the wanted name, the one column that holds texts."""

    text_field: str = _DEFAULT_FIELD
    delimiters: tuple[str, ...] = DELIMITERS
    row_filter: RowFilter = RowFilter()
    _said: set[str] = field(default_factory=set, compare=False)
    """Columns that were named to the user."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Some rows each, as JSON lines.

        Raises:
            CorpusError: the column of texts cannot be told, or a quote is never closed.
        """
        place = str(getattr(stream, "name", "table"))
        csv.field_size_limit(MAX_DOCUMENT_BYTES)
        # A byte that is not UTF-8 becomes half a surrogate pair, which is counted with its row.
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            lines = _read_lines(text)
            head = self._skip_preamble(_take_head(lines), place=place)
            dialect = find_dialect(head, delimiters=self.delimiters, is_complete=_is_complete(head))
            if dialect is None or (_is_complete(head) and sum(not line.isspace() for line in head) < 2):
                return
            if dialect.quotes is Quotes.ESCAPED:
                named = f'{place}: quotes within its cells have a backslash before them (\\")'
                self._say(f"{named}, and are read without it", key=named)
            column = self._find_column(dialect, place=place)
            self._require_filtered_columns(dialect, place=place)
            rows = _read_rows(dialect, chain(head, lines), column=column, row_filter=self.row_filter, place=place)
            yield from pack_rows(join_article_lines(rows, place), block_bytes=block_bytes)
        finally:
            text.detach()

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """A document a row."""
        return read_rows(content)

    def _skip_preamble(self, head: list[str], *, place: str) -> list[str]:
        """The first lines, without those above the names of the columns, such as the title of a sheet."""
        for number, line in enumerate(head[: _MAX_PREAMBLE_LINES + 1]):
            for delimiter in self.delimiters:
                names = _split_names(line, delimiter)
                if self.text_field.lower() not in names or len(names) < 2 or not all(map(is_column_name, names)):
                    continue
                # A row of data may hold the name, too; a title has fewer cells than there are columns.
                is_below_titles = all(len(_split_names(above, delimiter)) < len(names) for above in head[:number])
                if number and is_below_titles and head[0][:4].lower() != "sep=":
                    named = f"{place}: its columns are named in line {number + 1}"
                    self._say(f"{named}; the lines above are left out", key=named)
                    return head[number:]
                return head
        return head

    def _require_filtered_columns(self, dialect: Dialect, *, place: str) -> None:
        names = [name.strip() for name in dialect.header] if dialect.has_names else []
        self.row_filter.paths(has_path=names.__contains__, place=place, columns=names or ["no names of columns"])

    def _find_column(self, dialect: Dialect, *, place: str) -> int:
        """The number of the column of texts, from 0.

        Raises:
            CorpusError: it cannot be found out.
        """
        if not dialect.has_names:
            return self._find_unnamed_column(dialect, place=place)
        header = [name.strip() for name in dialect.header]
        named = [number for number, name in enumerate(header) if name == self.text_field]
        named = named or [number for number, name in enumerate(header) if name.lower() == self.text_field.lower()]
        if len(named) == 1:
            return named[0]
        texts = _text_columns(dialect.rows, width=len(header))
        if named or len(texts) != 1 or self.text_field != _DEFAULT_FIELD:
            columns = ", ".join(repr(name) for name in header)
            raise CorpusError(f"{place}: no column {self.text_field!r}; it has {columns}: give --text-field")
        name = header[texts[0]]
        if not is_column_name(name):
            cells = ", ".join(repr(one[:MAX_NAME_CHARACTERS]) for one in header)
            raise CorpusError(
                f"{place}: its first row names no columns: {cells}; make the names of the columns its first row, or "
                f"read each line as a document with lines:{place}"
            )
        self._say(f"{place}: the texts are read from column {name!r}", key=name)
        return texts[0]

    def _find_unnamed_column(self, dialect: Dialect, *, place: str) -> int:
        width = len(dialect.header)
        texts = _text_columns((dialect.header, *dialect.rows), width=width)
        if self.text_field.isdecimal() and 1 <= int(self.text_field) <= width:
            return int(self.text_field) - 1
        if self.text_field != _DEFAULT_FIELD or len(texts) != 1:
            cells = ", ".join(f"{number} {cell[:_MAX_CELL_SHOWN]!r}" for number, cell in enumerate(dialect.header, 1))
            raise CorpusError(
                f"{place}: its first row names no columns: {cells}; give the number of the column of texts with "
                "--text-field"
            )
        self._say(f"{place}: its first row is data; the texts are read from column {texts[0] + 1}", key=texts[0])
        return texts[0]

    def _say(self, line: str, *, key: object) -> None:
        """Tell the user, once for each column."""
        if str(key) not in self._said:
            self._said.add(str(key))
            print_note(line)


def _split_names(line: str, delimiter: str) -> list[str]:
    """The cells of a line that are not empty, as names of columns are compared."""
    return [name for cell in line.split(delimiter) if (name := cell.strip(' "\r\n').lower())]


def _text_columns(rows: Iterable[tuple[str, ...]], *, width: int) -> list[int]:
    """Numbers of the columns that hold texts; the only column of a table does."""
    return [0] if width == 1 else [number for number in range(width) if holds_texts([row[number] for row in rows])]


def _read_lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines with their ends; one that is longer than a document may be is cut, and its row is damaged."""
    while line := text.readline(MAX_DOCUMENT_BYTES):
        yield line


def _take_head(lines: Iterator[str]) -> list[str]:
    head: list[str] = []
    size = 0
    for line in lines:
        head.append(line)
        size += len(line)
        if size >= _HEAD_CHARACTERS:
            break
    return head


def _is_complete(head: list[str]) -> bool:
    return sum(map(len, head)) < _HEAD_CHARACTERS


def _read_rows(
    dialect: Dialect, lines: Iterable[str], *, column: int, row_filter: RowFilter, place: str
) -> Iterator[Row]:
    """The cells of a column after the header; of a row that cannot be parsed its lines, of a longer one its cells.

    Raises:
        CorpusError: a quote is never closed.
    """
    pending: list[str] = []
    num_lines = 0

    def remember(lines: Iterable[str]) -> Iterator[str]:
        nonlocal num_lines
        for line in lines:
            num_lines += 1
            pending.append(line)
            yield line

    names = [name.strip() for name in dialect.header]
    rows = dialect.parse(remember(lines))
    is_header = dialect.has_names
    while True:
        pending.clear()
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field larger" in str(error):
                raise CorpusError(
                    f"{place}: line {num_lines - len(pending) + 1:,}: a quote is never closed, or its cell is longer "
                    f"than {MAX_DOCUMENT_BYTES >> 20} MiB; fix the row"
                ) from error
            yield Row(RowKind.DAMAGED, "".join(pending))
            continue
        if is_header:
            is_header = tuple(row) != dialect.header
        elif len(row) == len(dialect.header):
            record = dict(zip(names, row, strict=True)) if row_filter.conditions else {}
            yield Row(RowKind.TEXT, row[column]).filtered(row_filter, record)
        elif row:
            yield Row(RowKind.DAMAGED, " ".join(row))
