"""What to do where records have no text, as one line says it."""

from __future__ import annotations

import json

import pytest

from bertd.data.prepare.skip_reasons import format_field_remedy
from bertd.data.sources.readers.document import Skipped
from bertd.data.sources.readers.left_out import LeftOut
from bertd.data.sources.readers.rows.jsonl import JsonLines
from tests.data.sources.readers.checked import results


def _remedy(record: object, *, text_field: str = "text") -> str:
    left_out = LeftOut()
    for one in results(JsonLines(text_field=text_field), json.dumps(record).encode()):
        assert isinstance(one, Skipped)
        left_out.add_count(one.reason, one.read, sample=one.sample)
    return format_field_remedy([LeftOut(), left_out], text_field=text_field)


@pytest.mark.parametrize(
    ("record", "remedy"),
    [
        ({"id": 1, "Text": "a"}, "; a record has 'id', 'Text': give --text-field"),
        (
            {"id": 1, "data": {"n": 1, "text": "a" * 999}},
            "; a record has 'id', 'data.n', 'data.text': give --text-field, or, for one in another, take it out first, "
            """such as jq -c '{text: .["data"]["text"]}' FILE > NEW""",
        ),
        ({"messages": [{"content": "a"}]}, "; a record has 'messages': give --text-field"),
        (
            {"id": 1, "text": ["a", "b"]},
            """; the field holds lists: join their parts first, jq -c '.["text"] |= join("\\n")' FILE > NEW""",
        ),
        ({"text": 3}, "; give another field with --text-field"),
        ({}, ""),
        ([1], ""),
    ],
)
def test_a_record_without_a_text_says_how_to_get_at_it(record: object, remedy: str) -> None:
    assert _remedy(record) == remedy


def test_a_field_of_another_name_is_named_in_the_command() -> None:
    assert """jq -c '.["body"] |= join(""" in _remedy({"body": ["a"]}, text_field="body")
