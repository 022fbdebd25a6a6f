"""JSON lines: the field, and lines without it."""

from __future__ import annotations

import io
import json

import pytest

from bertd.data.sources.readers.document import SkipReason
from bertd.data.sources.readers.rows import jsonl
from bertd.data.sources.readers.rows.json_values import JsonValues
from bertd.data.sources.readers.rows.jsonl import JsonLines
from tests.data.sources.readers.checked import readings, readings_of, results
from tests.data.sources.readers.rows.test_columns import ARTICLES, LINES


@pytest.mark.parametrize("block_bytes", [7, 1 << 20])
def test_each_line_is_a_document_or_a_reason(block_bytes: int) -> None:
    content = (
        b'\xef\xbb\xbf{"body": "one\\ntwo"}\n\n'
        b'{"text": "wrong field"}\n'
        b'{"body": 3}\n'
        b"[1]\n"
        b'{"body": "torn\n'
        b'{"body": "\xff"}\n'
        b'{"body": ""}\r\n'
        b'{"body": "no newline at the end"}'
    )
    assert readings(JsonLines(text_field="body"), content, block_bytes=block_bytes) == [
        "one\ntwo",
        SkipReason.NO_FIELD,
        SkipReason.FIELD_NOT_TEXT,
        SkipReason.NOT_JSON,
        SkipReason.NOT_JSON,
        SkipReason.INVALID_UTF8,
        "",
        "no newline at the end",
    ]


def test_objects_that_were_joined_in_a_line_are_read_one_by_one() -> None:
    content = b'{"text": "one }{ \\"x"}{"text": "two"} {"body": 1}\n{"text": "three"}{"text": "torn\n'
    assert readings(JsonLines(), content) == [
        'one }{ "x',
        "two",
        SkipReason.NO_FIELD,
        SkipReason.NOT_JSON,
    ]


@pytest.mark.parametrize("block_bytes", [40, 1 << 20])
def test_rows_that_are_lines_of_articles_are_read_as_articles(
    block_bytes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [{"n": number, "text": line} for number, line in enumerate([*LINES[4:8], *LINES])]
    lines = [json.dumps(record) for record in records]
    rest = "In 2004 he landed a role ."
    odd = [*lines[:6], '{"n": 1}', "torn", *lines[6:]]
    read = readings(JsonLines(), "\n".join(odd).encode(), block_bytes=block_bytes)
    assert [one for one in read if isinstance(one, str)] == [rest, *ARTICLES]
    assert [one for one in read if not isinstance(one, str)] == [SkipReason.NO_FIELD, SkipReason.NOT_JSON]
    assert "its rows are lines of articles under headings; each article is read" in capsys.readouterr().err
    content = json.dumps(records).encode()
    assert readings(JsonValues(), content, block_bytes=block_bytes) == [rest, *ARTICLES]
    assert sum(one.read for one in results(JsonLines(), "\n".join(lines).encode(), block_bytes=block_bytes)) == sum(
        len(line) + (not line.endswith("\n")) for line in [*LINES[4:8], *LINES]
    )


def test_a_half_of_a_surrogate_pair_costs_one_article_and_a_long_row_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_BEGIN_BYTES", 100)
    monkeypatch.setattr("bertd.data.sources.readers.document.MAX_DOCUMENT_BYTES", 1000)
    texts = [" = A = \n", " One . \n", " = B = \n", " Two \ud800 . \n", " = C = \n", "x" * 3000, " Three . \n"]
    content = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    blocks = list(JsonLines().blocks(io.BytesIO(content), block_bytes=64))
    assert sum(block.too_long for block in blocks) == 1
    assert readings_of(JsonLines(), [block for block in blocks if block.content]) == [
        "One .",
        SkipReason.INVALID_UTF8,
        "Three .",
    ]


@pytest.mark.parametrize("texts", [["a = b", "= = a = "], [" = Mill = \n The mill stands . \n", "More ."]])
def test_rows_that_are_documents_stay_so_whatever_marks_they_hold(texts: list[str]) -> None:
    content = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    assert readings(JsonLines(), content) == [text.strip() for text in texts]
