"""Tables as text: CSV and TSV, with the quotes of RFC 4180 and whatever stands between their columns.

The first row has the names of the columns, unless it is data, which numbers and repeated values show. What separates
columns, and whether quotes are used, shows in the first rows: the choice that gives most rows of the header's length.
Nothing in a cell is interpreted: `NA` is a text of two letters. A row of another length than the header's is counted as
damaged, since part of its text may be in another row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from statistics import mean
from typing import BinaryIO

from bertd.data.sources.readers.document import MAX_DOCUMENT_BYTES, Block, ReadResult
from bertd.data.sources.readers.rows.columns import join_article_lines
from bertd.data.sources.readers.rows.row_blocks import Row, RowKind, pack_rows, read_rows
from bertd.errors import CorpusError
from bertd.program import print_note

DELIMITERS = (",", ";", "\t", "|")
_DEFAULT_FIELD = "text"
"""Without a column of this name the texts are looked for; without one that the user names they are not."""
_NO_DELIMITER = "\x1f"
"""For a table of one column, whose texts may hold any of the others."""
_HEAD_CHARACTERS = 1 << 18
_MAX_NAME_CHARACTERS = 64
"""A longer cell of the first row is no name of a column."""
_MAX_CELL_SHOWN = 24
_MAX_NAME_WORDS = 6
_NUMBER = re.compile(r"[-+]?\d[\d.,:/-]*")
"""Dates included."""
_MIN_REPEATS, _REPEATED_SHARE = 2, 0.05
"""A value of the first row that so many other rows have in its column is no name."""
_MIN_TEXT_WORDS, _MIN_TEXT_CHARACTERS = 3, 12
"""A cell is a text if it has so many words, or, as in Chinese, letters beyond ASCII."""


@dataclass(frozen=True)
class Dialect:
    """How a table is written."""

    delimiter: str
    has_quotes: bool
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Rows from the beginning, of the header's length."""
    is_whole: bool
    """No other rows are among them."""

    @property
    def has_quoted_names(self) -> bool:
        """Whether each name still has its quotes: then the rows have quotes, too, and this is not how to read them."""
        return all(len(name) > 1 and name[0] == name[-1] == '"' for name in self.header)

    @property
    def has_names(self) -> bool:
        """Whether the first row names the columns; it is data if it has a number, or a value that others repeat."""
        cells = [cell.strip() for cell in self.header]
        numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
        if numbers and numbers != [str(number) for number in range(len(numbers))]:
            # pandas numbers columns without names from 0.
            return False
        others = [row for row in self.rows if row != self.header]
        least = max(_MIN_REPEATS, int(_REPEATED_SHARE * len(others)))
        return not any(
            cell and sum(row[number].strip() == cell for row in others) >= least for number, cell in enumerate(cells)
        )

    def parse(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The rows of some lines.

        Raises:
            csv.Error: at a row that is not as the format says; the iterator continues after its line.
        """
        return _parse(lines, delimiter=self.delimiter, has_quotes=self.has_quotes)


@dataclass(frozen=True)
class DelimitedTable:
    """Reads one column; without one of the wanted name, the one column that holds texts."""

    text_field: str = _DEFAULT_FIELD
    delimiters: tuple[str, ...] = DELIMITERS
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
            head = _take_head(lines)
            dialect = find_dialect(head, delimiters=self.delimiters, is_complete=_is_complete(head))
            if dialect is None or (_is_complete(head) and sum(not line.isspace() for line in head) < 2):
                return
            column = self._find_column(dialect, place=place)
            rows = _read_rows(dialect, chain(head, lines), column=column, place=place)
            yield from pack_rows(join_article_lines(rows, place), block_bytes=block_bytes)
        finally:
            text.detach()

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """A document a row."""
        return read_rows(content)

    def _find_column(self, dialect: Dialect, *, place: str) -> int:
        """The number of the column of texts, from 0.

        Raises:
            CorpusError: it cannot be told.
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
            raise CorpusError(
                f"{place}: its first row names no columns: {name[:_MAX_NAME_CHARACTERS]!r}; add a row of names, or "
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


def _text_columns(rows: Iterable[tuple[str, ...]], *, width: int) -> list[int]:
    """Numbers of the columns that hold texts; the only column of a table does."""
    return [0] if width == 1 else [number for number in range(width) if holds_texts([row[number] for row in rows])]


def find_dialect(head: list[str], *, delimiters: tuple[str, ...], is_complete: bool) -> Dialect | None:
    """How a table is written; None for an empty one.

    Args:
        head: its first lines.
        is_complete: these are all lines.
    """
    if head and head[0][:4].lower() == "sep=" and len(head[0].strip()) == 5:
        # Excel's own mark.
        delimiters, head = (head[0][4],), head[1:]
    best: Dialect | None = None
    for delimiter in (*delimiters, _NO_DELIMITER):
        for has_quotes in (True, False):
            found = _try_dialect(head, delimiter=delimiter, has_quotes=has_quotes, is_complete=is_complete)
            if found is None or (delimiter != _NO_DELIMITER and len(found.header) == 1):
                continue
            if delimiter == _NO_DELIMITER and best is not None:
                continue
            if found.has_quoted_names and best is not None and best.delimiter == delimiter and best.is_whole:
                # A quoted text of several lines would be several rows.
                continue
            if best is None or len(found.rows) > len(best.rows):
                best = found
    return best


def _try_dialect(head: list[str], *, delimiter: str, has_quotes: bool, is_complete: bool) -> Dialect | None:
    rows: list[tuple[str, ...]] = []
    num_unread = 0
    reader = _parse(head, delimiter=delimiter, has_quotes=has_quotes)
    while True:
        try:
            if row := next(reader):
                rows.append(tuple(row))
        except StopIteration:
            break
        except csv.Error:
            # A row that the head cuts, or quotes that are not used as quotes.
            num_unread += 1
    if not rows:
        return None
    header, *rest = rows
    if not is_complete and rest:
        rest.pop()
    whole = tuple(row for row in rest if len(row) == len(header))
    return Dialect(
        delimiter=delimiter,
        has_quotes=has_quotes,
        header=header,
        rows=whole,
        is_whole=not num_unread and len(whole) == len(rest),
    )


def _parse(lines: Iterable[str], *, delimiter: str, has_quotes: bool) -> Iterator[list[str]]:
    if has_quotes:
        return csv.reader(lines, delimiter=delimiter, strict=True)
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, quotechar=None)


def holds_texts(cells: list[str]) -> bool:
    """Whether most cells of a column, of those that are not empty, are texts."""
    cells = [cell for cell in cells if cell.strip()]
    return bool(cells) and mean(map(_is_text, cells)) > 0.5


def _is_text(cell: str) -> bool:
    if len(cell.split()) >= _MIN_TEXT_WORDS:
        return True
    return sum(character.isalpha() and not character.isascii() for character in cell) >= _MIN_TEXT_CHARACTERS


def is_column_name(cell: str) -> bool:
    """Whether a cell of the first row is short enough to name a column."""
    return bool(cell) and len(cell) <= _MAX_NAME_CHARACTERS and len(cell.split()) <= _MAX_NAME_WORDS


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


def _read_rows(dialect: Dialect, lines: Iterable[str], *, column: int, place: str) -> Iterator[Row]:
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
            yield Row(RowKind.TEXT, row[column])
        elif row:
            yield Row(RowKind.DAMAGED, " ".join(row))
