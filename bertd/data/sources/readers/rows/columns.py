"""The column of texts of a table: its values to rows of documents.

Three forms of a column are known. A value is a document, or, as in BookCorpus, a sentence, with no mark where a book
ends: then SENTENCES_PER_DOCUMENT values make a document. Or the values are the lines of articles, as in the WikiText
data sets on the hub: then the first rows show it, and an article is a document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from bertd.data.sources.readers.document import MAX_DOCUMENT_BYTES
from bertd.data.sources.readers.rows.row_blocks import Row, RowKind
from bertd.data.sources.readers.wiki.wikitext103 import is_article_lines, is_title
from bertd.errors import CorpusError
from bertd.program import print_note

_TEXT_TYPES = re.compile(
    r"null|(?:large_)?(?:string|binary)(?:_view)?|fixed_size_binary\[\d+\]|dictionary<values=(?:large_)?string,.*"
)
"""Names of the types in Arrow and in `datasets`; a column of null has no text yet."""
_NESTED_TYPES = re.compile("(?:large_|fixed_size_)?list|struct|map|List|LargeList|Sequence|dict$")
VALUES_PER_BATCH = 256
"""Values read at once."""
SENTENCES_PER_DOCUMENT = 256
"""Some 4,000 tokens of a novel."""
_NUM_FIRST_ROWS = 2048
"""Rows that may show articles: a file of a larger set begins anywhere in one."""


def make_rows(rows: Iterator[Row], *, values_per_document: int, place: str) -> Iterator[Row]:
    """The rows of documents.

    Args:
        rows: of the values of a column, in order.
        values_per_document: strings that are joined to a document; a value that is none stays alone, to be counted.
        place: name of the source, for the user.
    """
    return (
        _join_sentences(rows, values=values_per_document)
        if values_per_document > 1
        else join_article_lines(rows, place)
    )


def join_article_lines(rows: Iterator[Row], place: str) -> Iterator[Row]:
    """The rows; a row for each article where the first of them are lines of articles.

    Args:
        place: name of the source, for the user.
    """
    first = _take_lines(rows)
    if not is_article_lines([row.text for row in first if row.kind is RowKind.TEXT]):
        return chain(first, rows)
    print_note(f"{place}: its rows are lines of articles under headings; each article is read as a document")
    return _join_articles(chain(first, rows))


def missing_column_message(place: str, field: str, columns: list[str]) -> str:
    return f"{place}: no column {field!r}; it has {', '.join(columns)}: give --text-field"


def require_text_column(type_name: str, *, place: str, field: str) -> None:
    """Refuse a column of numbers, lists or anything else that is not text.

    Raises:
        CorpusError: its type is another.
    """
    if not _TEXT_TYPES.fullmatch(type_name):
        # A list, or a record with other columns in it.
        holds_others = _NESTED_TYPES.match(type_name) is not None
        or_else = ", or write the text of each row to a column of its own first" if holds_others else ""
        raise CorpusError(
            f"{place}: column {field!r} has {type_name}, not text; give another with --text-field{or_else}"
        )


def _join_sentences(rows: Iterable[Row], *, values: int) -> Iterator[Row]:
    sentences: list[str] = []
    for row in rows:
        if row.kind is not RowKind.TEXT:
            yield row
            continue
        sentences.append(row.text)
        if len(sentences) == values:
            yield Row(RowKind.TEXT, "\n".join(sentences))
            sentences = []
    if sentences:
        yield Row(RowKind.TEXT, "\n".join(sentences))


def _take_lines(rows: Iterator[Row]) -> list[Row]:
    """The first rows, up to one that is more than a line."""
    taken: list[Row] = []
    for row in rows:
        taken.append(row)
        if len(taken) == _NUM_FIRST_ROWS or "\n" in row.text[:-1]:
            break
    return taken


def _join_articles(rows: Iterable[Row]) -> Iterator[Row]:
    lines: list[str] = []
    size = 0
    for row in rows:
        if row.kind is not RowKind.TEXT:
            yield row
            continue
        line = row.text if row.text.endswith("\n") else f"{row.text}\n"
        # Blank lines before the first title are no article.
        is_next = is_title(line) and any(map(str.strip, lines))
        if is_next or size + len(line) > MAX_DOCUMENT_BYTES:
            yield Row(RowKind.ARTICLE, "".join(lines))
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield Row(RowKind.ARTICLE, "".join(lines))
