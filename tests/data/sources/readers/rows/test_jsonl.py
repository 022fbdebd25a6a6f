"""JSON lines: the field, and lines without it."""

from __future__ import annotations

import pytest

from bertd.data.sources.readers.document import SkipReason
from bertd.data.sources.readers.rows.jsonl import JsonLines
from tests.data.sources.readers.checked import readings


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
