"""WET files: converted records are documents, others are counted, and damage is an error."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from bertd.data.sources.kinds import SourceKind
from bertd.data.sources.readers.document import MAX_DOCUMENT_BYTES, Document, ReadResult, Skipped, SkipReason
from bertd.data.sources.readers.rows.row_filter import RowFilter, parse_condition
from bertd.data.sources.readers.warc import WarcText
from bertd.data.sources.spec import ReadingOptions, find_sources, make_reader
from bertd.errors import CorpusError


def record(body: str | bytes, *, kind: str = "conversion", language: str = "eng", length: int | None = None) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://example.org/\r\n"
        f"WARC-Identified-Content-Language: {language}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(content) if length is None else length}\r\n\r\n"
    )
    return head.encode() + content + b"\r\n\r\n"


INFO = record("Software-Info: ia-web-commons.1.1\r\nisPartOf: CC-MAIN\r\n", kind="warcinfo")


def read(content: bytes, *, where: tuple[str, ...] = (), block_bytes: int = 100) -> list[ReadResult]:
    reader = WarcText(row_filter=RowFilter(tuple(map(parse_condition, where))))
    blocks = list(reader.blocks(io.BytesIO(content), block_bytes=block_bytes))
    return [result for block in blocks for result in reader.documents(block.content)]


def test_each_converted_record_is_a_document_and_descriptions_are_none() -> None:
    texts = ["The mill stands.\nBy the river.", "Zweite Seite: über Mühlen.\r\n\r\nWARC/1.0\r\n", "Third."]
    found = read(INFO + b"".join(map(record, texts)))
    assert [result.text for result in found if isinstance(result, Document)] == [
        "The mill stands.\nBy the river.",
        "Zweite Seite: über Mühlen.\n\nWARC/1.0",
        "Third.",
    ]
    assert [result.read for result in found] == list(map(len, texts))


def test_pages_other_languages_and_what_is_no_text_are_counted() -> None:
    content = (
        record("<html>", kind="response")
        + record("Guten Tag.", language="deu")
        + record(b"\xff\xfe")
        + record("\x00\x01\x02\x03 binary" * 10)
        + record("Good day.")
    )
    found = read(content, where=("warc-identified-content-language == eng",))
    assert [result.reason for result in found if isinstance(result, Skipped)] == [
        SkipReason.OTHER_RECORD,
        SkipReason.NOT_WHERE,
        SkipReason.INVALID_UTF8,
        SkipReason.NOT_TEXT,
    ]
    assert isinstance(found[-1], Document) and found[-1].text == "Good day."
    with_header = read(content, where=("WARC-Refers-To == x",))
    assert isinstance(with_header[-1], Skipped) and with_header[-1].reason is SkipReason.NO_COLUMN


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (INFO + record("A page.")[:-12], "ends within record 2"),
        (INFO + b"garbage\r\n\r\n", "record 2 does not begin as one of WARC"),
        (record("A page.", length=3), "record 1 is longer than it says"),
        (b"WARC/1.0\r\nWARC-Type: conversion\r\n\r\nx", "record 1 does not say how long it is"),
        (b"WARC/1.0\r\nWARC-Type: conversion\r\n", "the headers of record 1 do not end"),
        (b"WARC/1.0\r\n" + b"A: b\r\n" * 5000, "the headers of record 1 do not end"),
    ],
)
def test_damage_is_named(content: bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read(content)


def test_a_record_that_is_too_long_is_counted() -> None:
    reader = WarcText()
    content = record("x" * (MAX_DOCUMENT_BYTES + 5)) + record("Short.")
    (block,) = reader.blocks(io.BytesIO(content), block_bytes=1000)
    assert (block.too_long, block.too_long_characters) == (1, MAX_DOCUMENT_BYTES + 5)
    assert [one.text for one in reader.documents(block.content) if isinstance(one, Document)] == ["Short."]


def test_a_file_of_many_gzip_members_is_found_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "CC-MAIN-0.warc.wet.gz"
    path.write_bytes(gzip.compress(INFO) + gzip.compress(record("One.")) + gzip.compress(record("Two.")))
    (source,) = find_sources([str(path)])
    assert source.kind is SourceKind.WARC
    reader = make_reader(source, ReadingOptions())
    with source.open(path) as streams:
        blocks = [block for stream in streams for block in reader.blocks(stream.content, block_bytes=1000)]
    assert [one.text for block in blocks for one in reader.documents(block.content) if isinstance(one, Document)] == [
        "One.",
        "Two.",
    ]
