"""How a table of text is written: what separates its columns, which quotes it has, and whether it names its columns.

All of it shows in the first rows: the choice that gives most rows of the first one's length. A quote within quotes is
doubled, or, as Spark, MySQL and R may write it, has a backslash before it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from statistics import mean

DELIMITERS = (",", ";", "\t", "|")
_NO_DELIMITER = "\x1f"
"""For a table of one column, whose texts may hold any of the others."""
_ESCAPED_QUOTE = re.compile(r'(?<!\\)((?:\\\\)*)\\"')
"""A quote after a backslash that is not one itself."""
MAX_NAME_CHARACTERS = 64
"""A longer cell of the first row is not the name of a column."""
_MAX_NAME_WORDS = 6
_NUMBER = re.compile(r"[-+]?\d[\d.,:/-]*")
"""Dates included."""
_MIN_REPEATS, _REPEATED_SHARE = 2, 0.05
"""A value of the first row that so many other rows have in its column is not a name."""
_MIN_TEXT_WORDS, _MIN_TEXT_CHARACTERS = 3, 12
"""A cell is a text if it has so many words, or, as in Chinese, letters beyond ASCII."""


class Quotes(Enum):
    """What a quote means."""

    DOUBLED = auto()
    """It opens and closes a cell; two of them are one within it."""
    ESCAPED = auto()
    """The same; one after a backslash is one within the cell, too."""
    NONE = auto()
    """It is a letter as any other."""


@dataclass(frozen=True)
class Dialect:
    """How a table is written."""

    delimiter: str
    quotes: Quotes
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
        """Whether the first row names the columns.

        It is data if it has a number, a value that others repeat, or texts alone.
        """
        cells = [cell.strip() for cell in self.header]
        if len(cells) > 1 and not any(map(is_column_name, cells)):
            return False
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
        return _parse(lines, delimiter=self.delimiter, quotes=self.quotes)


def find_dialect(head: list[str], *, delimiters: tuple[str, ...], is_complete: bool) -> Dialect | None:
    """How a table is written; None for an empty one.

    Args:
        head: its first lines.
        is_complete: these are all lines.
    """
    if head and head[0][:4].lower() == "sep=" and len(head[0].strip()) == 5:
        # Excel's own mark.
        delimiters, head = (head[0][4],), head[1:]
    has_escapes = any(map(_ESCAPED_QUOTE.search, head))
    choices = [one for one in Quotes if one is not Quotes.ESCAPED or has_escapes]
    best: Dialect | None = None
    for delimiter in (*delimiters, _NO_DELIMITER):
        for quotes in choices:
            found = _try_dialect(head, delimiter=delimiter, quotes=quotes, is_complete=is_complete)
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


def _try_dialect(head: list[str], *, delimiter: str, quotes: Quotes, is_complete: bool) -> Dialect | None:
    rows: list[tuple[str, ...]] = []
    num_unread = 0
    reader = _parse(head, delimiter=delimiter, quotes=quotes)
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
        quotes=quotes,
        header=header,
        rows=whole,
        is_whole=not num_unread and len(whole) == len(rest),
    )


def _parse(lines: Iterable[str], *, delimiter: str, quotes: Quotes) -> Iterator[list[str]]:
    if quotes is Quotes.ESCAPED:
        # Not the parser's own escapes, which would take the backslash from any other letter.
        lines = (_ESCAPED_QUOTE.sub(r'\1""', line) for line in lines)
    if quotes is not Quotes.NONE:
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
    return bool(cell) and len(cell) <= MAX_NAME_CHARACTERS and len(cell.split()) <= _MAX_NAME_WORDS
