"""Guess the kind of a file: by what its content shows, else by its name, else it is text, a document a file.

Content shows a Parquet or Arrow file, a dump, WikiExtractor's output, JSON (lines, an array, or records over several
lines), a table whose header has a column `text`, WikiText's form, and headings.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import BinaryIO

from bertd.data.sources.compression import strip_compression_suffix
from bertd.data.sources.encodings import HEAD_BYTES, decode_head, detect_encoding, is_json_sequence, unify_breaks
from bertd.data.sources.kinds import SourceKind
from bertd.data.sources.readers.other_formats import GIT_LFS_POINTER
from bertd.data.sources.readers.rows.arrow import is_arrow
from bertd.data.sources.readers.rows.dialect import DELIMITERS, find_dialect, is_column_name
from bertd.data.sources.readers.rows.json_envelopes import describe_envelope
from bertd.data.sources.readers.rows.jsonl import JOINT
from bertd.data.sources.readers.rows.parquet import is_parquet
from bertd.data.sources.readers.warc import is_warc
from bertd.data.sources.readers.wiki.headings import HEADING
from bertd.data.sources.readers.wiki.wikitext103 import is_wikitext103

_PROLOGUE = re.compile(r"(?:<\?xml[^>]*\?>|<!--.*?-->|\s)*", re.DOTALL)
_OPENINGS = {"<doc id=": SourceKind.WIKIEXTRACTOR, "<mediawiki": SourceKind.WIKI_XML}
_ARRAY = re.compile(r'\[\s*(?:\{\s*["}]|"(?:[^"\\]|\\.)*"\s*(?:,|\]|$)|\]\s*$)')
_EXTRACTED_JSON = re.compile(r'\{"id": ?"\d+", (?:"revid": ?"\d*", )?"url": ?"[^"]*", "title": ?"')
"""How a line of `wikiextractor --json` begins."""
_STRING_LINE = re.compile(r'"(?:[^"\\]|\\.)*"[ \t\r]*(?:\n|$)')
_OBJECT = re.compile(r'\{\s*"')
_NUM_LINES = 100
"""Lines at the beginning that may show JSON lines or a table."""

_KINDS_BY_SUFFIX = {
    ".jsonl": (SourceKind.JSONL, SourceKind.WIKIEXTRACTOR),
    ".ndjson": (SourceKind.JSONL, SourceKind.WIKIEXTRACTOR),
    ".json": (SourceKind.JSONL, SourceKind.JSON, SourceKind.WIKIEXTRACTOR),
    ".csv": (SourceKind.CSV, SourceKind.TSV),
    ".tsv": (SourceKind.TSV, SourceKind.CSV),
    ".tab": (SourceKind.TSV, SourceKind.CSV),
    ".parquet": (SourceKind.PARQUET,),
    ".arrow": (SourceKind.ARROW,),
    ".feather": (SourceKind.ARROW,),
    ".warc": (SourceKind.WARC,),
    ".wet": (SourceKind.WARC,),
    ".xml": (SourceKind.WIKI_XML, SourceKind.TEXT),
    ".txt": (SourceKind.TEXT, SourceKind.HEADINGS, SourceKind.WIKITEXT103),
}
"""What a suffix promises; the first is what a file is taken for whose content shows nothing, but for .xml."""
_DESCRIPTIONS = {
    SourceKind.TEXT: "text",
    SourceKind.JSONL: "JSON lines",
    SourceKind.JSON: "records of JSON",
    SourceKind.CSV: "a table",
    SourceKind.TSV: "a table",
    SourceKind.HEADINGS: "articles under headings",
    SourceKind.WIKITEXT103: "articles under headings",
    SourceKind.WIKIEXTRACTOR: "WikiExtractor's output",
    SourceKind.WIKI_XML: "a dump of MediaWiki",
    SourceKind.PARQUET: "Parquet",
    SourceKind.ARROW: "Arrow",
    SourceKind.WARC: "WARC records",
}


def guess_kind(name: str, content: BinaryIO, *, encoding: str | None = None) -> SourceKind:
    """Guess a file's kind.

    Args:
        name: its name, the suffix of its compression included.
        content: its decompressed bytes; the first are read.
        encoding: of a file that is not UTF-8.
    """
    head = content.read(HEAD_BYTES)
    if is_parquet(head):
        return SourceKind.PARQUET
    if is_arrow(head):
        return SourceKind.ARROW
    if is_warc(head):
        return SourceKind.WARC
    found = detect_encoding(head, named=encoding)
    content_text = decode_head(head, found).encode("utf-8", "replace") if found.is_text else b""
    text = unify_breaks(content_text, is_sequence=is_json_sequence(content_text)).decode().lstrip()
    is_all = len(head) < HEAD_BYTES
    named = _kinds_of_name(name)
    is_promised_binary = bool(named) and named[0] in (SourceKind.PARQUET, SourceKind.ARROW)
    if head.startswith(GIT_LFS_POINTER) or (text and is_promised_binary):
        # What was downloaded in place of the file, such as a page that says why not.
        return SourceKind.TEXT
    if kind := _guess_from_opening(text, is_all=is_all):
        return kind
    if named and named[0] is SourceKind.JSONL and _STRING_LINE.match(text):
        # A text a line, which only `json` reads.
        return SourceKind.JSON
    if named and named[0] is not SourceKind.WIKI_XML and named[0] is not SourceKind.TEXT:
        return named[0]
    if _is_table(text, is_all=is_all):
        return SourceKind.CSV
    content_text = text.encode()
    if is_wikitext103(content_text):
        return SourceKind.WIKITEXT103
    return SourceKind.HEADINGS if HEADING.search(content_text) else SourceKind.TEXT


def describe_mismatch(name: str, kind: SourceKind) -> str | None:
    """What a file holds whose name promises something else."""
    named = _kinds_of_name(name)
    return None if not named or kind in named else _DESCRIPTIONS[kind]


def _kinds_of_name(name: str) -> tuple[SourceKind, ...]:
    return _KINDS_BY_SUFFIX.get(PurePath(strip_compression_suffix(name)).suffix.lower(), ())


def _guess_from_opening(text: str, *, is_all: bool) -> SourceKind | None:
    prologue = _PROLOGUE.match(text)
    assert prologue is not None
    for opening, kind in _OPENINGS.items():
        if text.startswith(opening, prologue.end()):
            return kind
    if _EXTRACTED_JSON.match(text):
        return SourceKind.WIKIEXTRACTOR
    if _ARRAY.match(text):
        return SourceKind.JSON
    return _guess_from_objects(text, is_all=is_all) if _OBJECT.match(text) else None


def _guess_from_objects(text: str, *, is_all: bool) -> SourceKind:
    """JSON lines, unless no line is an object, some are printed over several, or one holds an array of records."""
    lines = text.rstrip().split("\n") if is_all else text.split("\n")
    if len(lines) == 1:
        # One object, or the beginning of one.
        is_joined = JOINT.search(text.encode()) is not None
        is_one = is_joined or describe_envelope(text, text_field="text", place="") is not None
        return SourceKind.JSON if is_one else SourceKind.JSONL
    is_by_line = any(map(_is_object, lines[:_NUM_LINES])) and not any(line.rstrip() == "{" for line in lines)
    return SourceKind.JSONL if is_by_line else SourceKind.JSON


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _is_table(text: str, *, is_all: bool) -> bool:
    lines = text.splitlines(keepends=True)[:_NUM_LINES]
    if len(lines) < 2 or "text" not in lines[0].lower():
        return False
    dialect = find_dialect(lines, delimiters=DELIMITERS, is_complete=is_all)
    if dialect is None or len(dialect.header) < 2 or not dialect.rows:
        return False
    names = [name.strip().lower() for name in dialect.header]
    return "text" in names and all(map(is_column_name, names)) and 2 * len(dialect.rows) >= len(lines) - 1
