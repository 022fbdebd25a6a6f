"""Sentences of tagged words, in CoNLL's columns: a word a line, an empty line after each sentence.

The columns are separated by tabs, if each line with a word has one, otherwise by spaces and tabs. Lines with
`-DOCSTART-` are skipped, and before a sentence's first word those that begin with `#` and have another number of
columns than the words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bertd.data.sources.encodings import open_utf8
from bertd.errors import CorpusError
from bertd.records import LAST_COLUMN

_DOCUMENT_START = "-DOCSTART-"
_COMMENT = "#"
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class TaggedSentence:
    """The words of a sentence with their tags."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    """As many as words; none if no column of tags was read."""


def read_tagged(path: Path, *, text: str, label: str | None) -> list[TaggedSentence]:
    """Read the sentences of a file, in its order.

    Args:
        text: number of the column of words, from 1.
        label: that of the tags, or LAST_COLUMN; None to read no tags.

    Raises:
        CorpusError: the file cannot be read, has no sentence, or a line lacks a column, a word or a tag.
    """
    lines = _read_lines(path)
    split, width = _find_columns(lines)
    text_place = _find_place(path, text, width=width, option="--text")
    label_place = None if label is None else _find_place(path, label, width=width, option="--label")
    sentences: list[TaggedSentence] = []
    words: list[str] = []
    tags: list[str] = []

    def end_sentence() -> None:
        if words:
            sentences.append(TaggedSentence(tuple(words), tuple(tags)))
            words.clear()
            tags.clear()

    for number, line in enumerate(lines, start=1):
        cells = split(line)
        if not line.strip() or _is_document_start(line):
            end_sentence()
            continue
        if len(cells) != width:
            if line.startswith(_COMMENT) and not words:
                continue
            raise CorpusError(f"{path}: line {number}: {len(cells)} columns, but {width} in the first; fix the line")
        words.append(_read_cell(cells[text_place], place=f"{path}: line {number}", what="word"))
        if label_place is not None:
            tags.append(_read_cell(cells[label_place], place=f"{path}: line {number}", what="tag"))
    end_sentence()
    if not sentences:
        raise CorpusError(f"{path}: no sentence in it; give a word with its tag a line, as CoNLL does")
    return sentences


def _read_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            stream, _ = open_utf8(file, named=None, name=str(path))
            if stream is None:
                raise CorpusError(f"{path}: is not text, or UTF-16 without its mark; convert the file to UTF-8")
            content = stream.read()
    except OSError as error:
        raise CorpusError(f"{path}: cannot read: {error.strerror or error}; check the path") from error
    try:
        return [line.removesuffix("\r") for line in content.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CorpusError(f"{path}: line {line}: not UTF-8 ({error.reason}); convert the file to UTF-8") from error


def _find_columns(lines: list[str]) -> tuple[Callable[[str], list[str]], int]:
    """How a line is split, and the columns of the first with a word."""
    with_words = [
        line for line in lines if line.strip() and not line.startswith(_COMMENT) and not _is_document_start(line)
    ]
    # A file may have nothing but words that begin with the sign of a comment.
    with_words = with_words or [line for line in lines if line.strip()]
    split = _split_at_tabs if all("\t" in line for line in with_words) else _split_at_blanks
    return split, len(split(with_words[0])) if with_words else 0


def _is_document_start(line: str) -> bool:
    # CoNLL-2003's has blanks before its other columns, also in copies whose words have tabs.
    return _split_at_blanks(line)[0] == _DOCUMENT_START


def _split_at_tabs(line: str) -> list[str]:
    return line.split("\t")


def _split_at_blanks(line: str) -> list[str]:
    return _BLANKS.split(line.strip(" \t"))


def _find_place(path: Path, column: str, *, width: int, option: str) -> int:
    if column == LAST_COLUMN:
        return width - 1
    place = int(column) - 1 if column.isdecimal() else -1
    if width and not 0 <= place < width:
        raise CorpusError(
            f"{path}: no column {column!r}; it has {width}: give a number from 1 to {width} with {option}"
        )
    return place


def _read_cell(cell: str, *, place: str, what: str) -> str:
    value = cell.strip()
    if not value:
        raise CorpusError(f"{place}: the {what} is empty; fix the line")
    return value
