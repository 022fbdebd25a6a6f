"""JSON arrays and records over several lines: streamed, whatever their layout."""

from __future__ import annotations

import io
import json

import pytest

from bertd.data.sources.readers.document import Document, Skipped
from bertd.data.sources.readers.rows import json_values
from bertd.data.sources.readers.rows.json_envelopes import find_array_keys
from bertd.data.sources.readers.rows.json_values import JsonValues
from bertd.errors import CorpusError

RECORDS = [
    {"id": number, "text": f'Record {number}, "quoted" \\ [brackets] {{}} and\nlines, größer.'} for number in range(300)
]


class Pieces(io.BytesIO):
    """A stream that gives at most so many bytes at once."""

    def __init__(self, content: bytes, *, most: int) -> None:
        super().__init__(content)
        self._most = most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._most if size is None or size < 0 else min(size, self._most))


def read(content: bytes, *, most: int = 1 << 20, block_bytes: int = 1 << 20, field: str = "text") -> list[str]:
    """Texts, and the reasons of what is left out in brackets."""
    reader = JsonValues(text_field=field)
    blocks = reader.blocks(Pieces(content, most=most), block_bytes=block_bytes)
    results = [result for block in blocks for result in reader.documents(block.content)]
    return [one.text if isinstance(one, Document) else f"[{one.reason.value}]" for one in results]


@pytest.mark.parametrize("most", [1, 7, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("is_ascii", [True, False])
def test_an_array_is_its_records_in_any_layout_and_pieces(most: int, indent: int | None, is_ascii: bool) -> None:
    records = RECORDS[:30] if most == 1 else RECORDS
    content = json.dumps(records, indent=indent, ensure_ascii=is_ascii).encode()
    assert read(content, most=most, block_bytes=most) == [str(record["text"]) for record in records]


@pytest.mark.parametrize("most", [1, 1 << 20])
def test_records_one_after_the_other_and_arrays_one_after_the_other_are_read(most: int) -> None:
    objects = "\n".join(json.dumps(record, indent=1) for record in RECORDS[:5]).encode()
    assert read(objects, most=most) == [record["text"] for record in RECORDS[:5]]
    assert read(objects.replace(b"}\n{", b"}{"), most=most) == [record["text"] for record in RECORDS[:5]]
    arrays = json.dumps(RECORDS[:2]) + "\n" + json.dumps(RECORDS[2:4]) + json.dumps([])
    assert read(arrays.encode(), most=most) == [record["text"] for record in RECORDS[:4]]


@pytest.mark.parametrize("most", [1, 1 << 20])
def test_every_value_of_an_array_is_read_or_counted(most: int) -> None:
    values = '["A text by itself.", {"text": ""}, {"body": 1}, 12345, [1, 2], null, -1.5e3, true, {"text": NaN}'
    values += ', {"text": "b"}]'
    none, field = "[not a JSON object]", "[lacks the text field]"
    assert read(values.encode(), most=most) == [
        "A text by itself.",
        "",
        field,
        none,
        none,
        none,
        none,
        none,
        "[text field that is not text]",
        "b",
    ]
    assert read(b'[{"text": "a\xff"}, {"text": "b"}]', most=most) == ["[not valid UTF-8]", "b"]
    assert read(b'[{"text": "a", "n": ' + b"1" * 5000 + b"}]", most=most) == ["[not a JSON object]"]


@pytest.mark.parametrize("content", [b"[]", b"[ ]\n", b"", b" \n"])
def test_no_record_is_no_document(content: bytes) -> None:
    assert read(content) == []


@pytest.mark.parametrize("most", [1, 1 << 20])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "a"}, {"text": "b', "record 2 is never closed; the copy is incomplete"),
        ('[{"text": "a"}, {"text"', "record 2 is never closed"),
        ('[{"text": "a"}, ', "the array is never closed"),
        (
            '[{"text": "a"}, {"text": tru}, {"text": "and more than a few words"}]',
            "record 2 is not JSON: Expecting value",
        ),
        ('[{"text": "a"}, {text: "b"}]', "record 2 is not JSON: Expecting property name"),
        (
            '[{"text": "a\nb"}, {"text": "and more than a few words"}]',
            "record 1 is not JSON: Invalid control character",
        ),
    ],
)
def test_an_array_that_is_cut_or_not_json_is_an_error_with_its_record(most: int, content: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read(content.encode(), most=most)


@pytest.mark.parametrize("depth", [100_000])
def test_brackets_without_end_are_an_error(depth: int) -> None:
    with pytest.raises(CorpusError, match="record 1 is nested too deeply"):
        read(b"[" + b"[" * depth)


@pytest.mark.parametrize("most", [1, 10, 1 << 20])
def test_a_record_that_is_too_long_is_counted_and_the_next_is_read(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "MAX_DOCUMENT_BYTES", 60)
    monkeypatch.setattr(json_values, "_PIECE_BYTES", 16)
    long = {"text": 'x\\" ]}' * 30, "more": [{"deep": "\\"}]}
    content = json.dumps([RECORDS[0] | {"text": "a"}, long, {"text": "b"}, long, long]).encode()
    reader = JsonValues()
    blocks = list(reader.blocks(Pieces(content, most=most), block_bytes=1))
    assert sum(block.too_long for block in blocks) == 3
    assert sum(block.too_long_characters for block in blocks) == 3 * len(json.dumps(long))
    results = [one for block in blocks for one in reader.documents(block.content)]
    assert [one.text for one in results if isinstance(one, Document)] == ["a", "b"]
    assert not any(isinstance(one, Skipped) for one in results)


@pytest.mark.parametrize("most", [1, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "envelope",
    [
        {"version": 1, "data": RECORDS[:9]},
        {"data": RECORDS[:9], "n": [1]},
        {"info": {}, "data": ["A text.", "Another."]},
    ],
)
def test_an_object_with_the_array_in_it_is_refused_with_its_key(
    most: int, indent: int | None, envelope: object
) -> None:
    with pytest.raises(
        CorpusError, match=r"one JSON object, with its records in the array 'data'; .*jq '\.\[\"data\"\]'"
    ):
        read(json.dumps(envelope, indent=indent).encode(), most=most)


def test_a_very_large_object_with_the_array_in_it_is_refused_before_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "MAX_DOCUMENT_BYTES", 300)
    monkeypatch.setattr(json_values, "_PIECE_BYTES", 100)
    with pytest.raises(CorpusError, match="in the array 'rows'"):
        read(json.dumps({"meta": {"a": [1]}, "rows": RECORDS}).encode(), most=50)


def test_a_table_by_columns_is_refused_with_the_command_that_takes_its_texts_out() -> None:
    columns = {"id": {str(number): number for number in range(9)}, "text": {str(number): "A." for number in range(9)}}
    for indent in (None, 1):
        with pytest.raises(CorpusError, match=r"table written by columns; .*: jq '\[\.\[\"text\"\]\[\]\]' JSON > "):
            read(json.dumps(columns, indent=indent).encode())


def test_a_record_with_an_array_besides_its_text_is_a_record() -> None:
    record = {"tags": ["a", "b"], "links": [{"to": 1}], "text": "The text."}
    assert read(json.dumps(record, indent=1).encode()) == ["The text."]
    assert read(json.dumps([{"tags": ["a"], "text": "b"}]).encode()) == ["b"]
    assert find_array_keys(json.dumps(record), text_field="text") == ()


@pytest.mark.parametrize("most", [1, 1 << 20])
def test_an_array_deep_in_an_object_is_named_by_its_path(most: int) -> None:
    answer = {"status": {"code": 0, "words": ["a"]}, "response": {"found": 9, "docs": RECORDS[:9]}}
    with pytest.raises(CorpusError, match=r"the array 'response\.docs'; .*jq '\.\[\"response\"\]\[\"docs\"\]'"):
        read(json.dumps(answer).encode(), most=most)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    ("envelope", "what"),
    [
        ({f"id{number}": record for number, record in enumerate(RECORDS[:9])}, "record under each"),
        ({f"id{number}": {"body": "A text."} for number in range(3)}, "record under each"),
        ({f"id{number}": f"This is text {number}." for number in range(9)}, "text under each"),
    ],
)
def test_an_object_of_records_by_key_is_refused_with_the_command_that_takes_them_out(
    envelope: object, what: str, indent: int | None
) -> None:
    message = rf"with a {what} of its keys \('id0', 'id1', 'id2', \.\.\.\); take them out: jq '\[\.\[\]\]' JSON"
    with pytest.raises(CorpusError, match=message):
        read(json.dumps(envelope, indent=indent).encode())


def test_an_object_with_several_arrays_is_refused_with_the_command_that_takes_all_out() -> None:
    for arrays in (
        {f"id{number}": ["A text.", "Another."] for number in range(9)},
        {"train": RECORDS, "test": RECORDS},
    ):
        names = ", ".join(map(repr, list(arrays)[:3]))
        with pytest.raises(CorpusError, match=rf"several arrays \({names}.*; .* or all: jq '\[\.\[\] \| arrays\[\]\]'"):
            read(json.dumps(arrays).encode())


@pytest.mark.parametrize(
    "record",
    [{"title": "One two three", "body": "a b c d"}, {"meta": {"id": 1}, "data": {"text": "a"}}, {"a": {"b": 1}}],
)
def test_a_record_of_several_texts_or_objects_is_counted_as_one_that_lacks_the_field(record: object) -> None:
    assert read(json.dumps(record).encode()) == ["[lacks the text field]"]


def test_records_with_commas_between_them_and_no_array_are_read() -> None:
    assert read(",\n".join(json.dumps(record) for record in RECORDS).encode()) == [one["text"] for one in RECORDS]
    assert read(b'{"text": "a"},\n') == ["a"]
