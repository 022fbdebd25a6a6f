"""Tables with texts and labels: CSV (RFC 4180), TSV, JSON lines, an array of JSON objects, or Parquet.

A row that cannot be read is an error with its place, never left out. TSV has two conventions: quotes as in CSV, or, as
in GLUE, none at all; the one that gives more complete rows in the whole file is used, since a stray `"` would join
lines. A text file is UTF-8, or UTF-16 or UTF-32 with its byte order mark.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bertd.data.sources.encodings import open_utf8
from bertd.data.sources.readers.document import MAX_DOCUMENT_BYTES
from bertd.data.sources.readers.rows.dialect import DELIMITERS, Dialect, Quotes, find_dialect
from bertd.errors import CorpusError

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_HEAD_LINES = 200
"""Decide what separates the columns of a CSV file."""


@dataclass(frozen=True)
class Table:
    """Some columns of a file."""

    path: Path
    unit: str
    """What `numbers` count: line, record or row."""
    numbers: list[int]
    """Of each row, from 1; of a row of several lines, the last."""
    rows: list[tuple[object, ...]]
    """Cells of the requested columns; text in CSV and TSV, any value of JSON or Arrow otherwise."""

    def place(self, index: int) -> str:
        """The row as an error names it."""
        return f"{self.path}: {self.unit} {self.numbers[index]}"


def read_table(path: Path, columns: tuple[str, ...]) -> Table:
    """Read the columns of every row.

    Raises:
        CorpusError: the file cannot be read, is of no known format, lacks a column, has a damaged row, or is empty.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            table = _read_parquet(path, columns)
        elif suffix in (".csv", ".tsv"):
            table = _read_delimited(path, columns)
        elif suffix in TABLE_SUFFIXES:
            table = _read_json(path, columns)
        else:
            raise CorpusError(f"{path}: unknown format {suffix!r}; a table ends in one of {', '.join(TABLE_SUFFIXES)}")
    except OSError as error:
        raise CorpusError(f"{path}: cannot read: {error.strerror or error}; check the path") from error
    if not table.rows:
        raise CorpusError(f"{path}: no row in it; give a table with rows")
    return table


def read_text(path: Path) -> str:
    """The whole text of a file.

    Raises:
        CorpusError: it is not text, or damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        stream, _ = open_utf8(file, named=None, name=str(path))
        if stream is None:
            raise CorpusError(f"{path}: is not text, or UTF-16 without its mark; convert the file to UTF-8")
        content = stream.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CorpusError(f"{path}: line {line}: not UTF-8 ({error.reason}); convert the file to UTF-8") from error


def _read_delimited(path: Path, columns: tuple[str, ...]) -> Table:
    csv.field_size_limit(MAX_DOCUMENT_BYTES)
    # The ends of lines within quotes are part of a cell.
    lines = list(io.StringIO(read_text(path), newline=""))
    dialect, num_skipped = _find_dialect(path, lines)
    if dialect is None:
        return Table(path, "line", [], [])
    places = _find_columns(path, [name.strip() for name in dialect.header], columns)
    numbers: list[int] = []
    rows: list[tuple[object, ...]] = []
    is_header = True
    for number, cells in _parse(path, lines[num_skipped:], dialect, first_line=num_skipped):
        if is_header:
            is_header = False
            continue
        if len(cells) != len(dialect.header):
            raise CorpusError(
                f"{path}: line {number}: {len(cells)} cells, but {len(dialect.header)} columns; fix the row"
            )
        numbers.append(number)
        rows.append(tuple(cells[place] for place in places))
    return Table(path, "line", numbers, rows)


def _find_dialect(path: Path, lines: list[str]) -> tuple[Dialect | None, int]:
    """How the file is written, and the lines before its header, which name the delimiter as Excel does."""
    num_skipped = int(bool(lines) and lines[0][:4].lower() == "sep=" and len(lines[0].strip()) == 5)
    if path.suffix.lower() == ".tsv":
        return find_dialect(lines, delimiters=("\t",), is_complete=True), num_skipped
    head = lines[:_HEAD_LINES]
    found = find_dialect(head, delimiters=DELIMITERS, is_complete=len(head) == len(lines))
    if found is None:
        return None, num_skipped
    # RFC 4180: cells may be quoted. The header is read again, since it may be.
    quoted = replace(found, quotes=Quotes.DOUBLED) if found.quotes is Quotes.NONE else found
    header = next((cells for _, cells in _parse(path, lines[num_skipped:], quoted, first_line=num_skipped)), [])
    return replace(quoted, header=tuple(header)), num_skipped


def _parse(path: Path, lines: list[str], dialect: Dialect, *, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its last line.

    Raises:
        CorpusError: the quotes of a row are wrong.
    """
    num_read = first_line

    def count() -> Iterator[str]:
        nonlocal num_read
        for line in lines:
            num_read += 1
            yield line

    rows = dialect.parse(count())
    while True:
        begins = num_read + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise CorpusError(f"{path}: line {begins}: not a row of CSV ({error}); fix its quotes") from error
        if cells:
            yield num_read, cells


def _find_columns(path: Path, header: list[str], columns: tuple[str, ...]) -> list[int]:
    for name in columns:
        if header.count(name) != 1:
            what = "no column" if name not in header else "more than one column"
            raise CorpusError(
                f"{path}: {what} {name!r}; it has {', '.join(repr(given[:40]) for given in header[:20])}: "
                "give the names with --text and --label"
            )
    return [header.index(name) for name in columns]


def _read_json(path: Path, columns: tuple[str, ...]) -> Table:
    text = read_text(path)
    numbers, rows = [], []
    is_array = text.lstrip()[:1] == "["
    unit = "record" if is_array else "line"
    for number, record in _parse_array(path, text) if is_array else _parse_lines(path, text):
        if not isinstance(record, dict):
            raise CorpusError(f"{path}: {unit} {number}: not a JSON object; give one object for each row")
        _find_columns(path, list(map(str, record)), columns)
        numbers.append(number)
        rows.append(tuple(record[name] for name in columns))
    return Table(path, unit, numbers, rows)


def _parse_array(path: Path, text: str) -> Iterator[tuple[int, object]]:
    try:
        records: list[object] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path}: not an array of JSON objects: {error}; fix it") from error
    return enumerate(records, start=1)


def _parse_lines(path: Path, text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{path}: line {number}: not JSON: {error}; give one object a line") from error


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """By column, the names of the classes that `datasets` has stored as their numbers."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            str(column): [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        # Another program's note under that name, or none.
        return {}


def _name_classes(cells: list[object], names: list[str] | None) -> list[object]:
    """The classes' names for their numbers; None for -1, which stands for a hidden label."""
    if names is None:
        return cells
    return [names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else None for cell in cells]


def _read_parquet(path: Path, columns: tuple[str, ...]) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        _find_columns(path, list(file.schema_arrow.names), columns)
        table = file.read(columns=list(dict.fromkeys(columns)))
        names = _class_names(file.schema_arrow.metadata or {})
        cells = [_name_classes(table.column(name).to_pylist(), names.get(name)) for name in columns]
    except pyarrow.ArrowException as error:
        reason = str(error).split("\n", 1)[0]
        raise CorpusError(f"{path}: not a complete Parquet file: {reason}; write it again") from error
    rows = list(zip(*cells, strict=True))
    return Table(path, "row", list(range(1, len(rows) + 1)), rows)
