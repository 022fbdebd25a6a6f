"""Columns of texts: Parquet files, and folders that `datasets` reads as it reads the hub."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from bertd.data.sources.readers.document import SkipReason, clean
from bertd.data.sources.readers.rows import row_blocks
from bertd.data.sources.readers.rows.delimited import DelimitedTable
from bertd.data.sources.readers.rows.hub_table import HubTable
from bertd.data.sources.readers.rows.parquet import Parquet
from bertd.data.sources.spec import ReadingOptions, find_sources, make_reader
from bertd.errors import CorpusError
from tests.data.sources.readers.checked import Reading, readings_of

_TEXTS = ["one\ntwo", None, "", "\u2028 odd \x00 characters", *(f"text {number}" for number in range(1000))]
_READ: list[Reading] = ["one\ntwo", SkipReason.NO_FIELD, "", "odd  characters", *(f"text {n}" for n in range(1000))]


def readings(reader: Parquet | HubTable, path: Path, *, block_bytes: int) -> list[Reading]:
    with path.open("rb") as stream:
        blocks = list(reader.blocks(stream, block_bytes=block_bytes))
    return readings_of(reader, blocks)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "train.parquet"
    path.parent.mkdir()
    columns = {"id": list(range(len(_TEXTS))), "body": _TEXTS}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=300)
    return path


@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
def test_a_parquet_file_gives_its_column(table: Path, block_bytes: int) -> None:
    assert readings(Parquet(text_field="body"), table, block_bytes=block_bytes) == _READ


@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
def test_sentences_in_rows_make_documents_of_so_many(table: Path, block_bytes: int) -> None:
    sentences = [text for text in _TEXTS if isinstance(text, str)]
    documents = ["\n".join(sentences[first : first + 300]) for first in range(0, len(sentences), 300)]
    expected = [clean(document) for document in documents]
    for reader in (
        Parquet(text_field="body", values_per_document=300),
        HubTable(str(table.parent), text_field="body", values_per_document=300),
    ):
        read = readings(reader, table, block_bytes=block_bytes)
        assert [one for one in read if isinstance(one, str)] == expected
        # The row without a text is counted.
        assert [one for one in read if not isinstance(one, str)] == [SkipReason.NO_FIELD]


def test_a_row_that_is_too_long_is_counted_and_the_others_are_read(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_blocks, "MAX_DOCUMENT_BYTES", 19)
    with table.open("rb") as stream:
        blocks = list(Parquet(text_field="body").blocks(stream, block_bytes=100))
    assert sum(block.too_long for block in blocks) == 1
    assert sum(block.content.count(b"\n") for block in blocks) == len(_TEXTS) - 1


def test_a_parquet_file_in_a_tar_gives_its_column(table: Path) -> None:
    with tarfile.open(table.parent / "train.tar", "w") as tar:
        tar.add(table, arcname="train.parquet")
    (source,) = find_sources([str(table.parent / "train.tar")])
    reader = make_reader(source, ReadingOptions(text_field="body"))
    with source.open(source.files[0]) as streams:
        assert readings_of(reader, list(reader.blocks(next(streams).content, block_bytes=1000))) == _READ


def test_a_column_that_is_not_there_names_those_that_are(table: Path) -> None:
    with pytest.raises(CorpusError, match="no column 'text'; it has id, body: give --text-field"):
        readings(Parquet(), table, block_bytes=100)
    with pytest.raises(CorpusError, match="no column 'text'; it has id, body: give --text-field"):
        readings(HubTable(str(table.parent)), table, block_bytes=100)


def test_a_truncated_parquet_file_is_an_error(table: Path) -> None:
    content = table.read_bytes()
    table.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorpusError, match=f"{table}: not a complete Parquet file"):
        readings(Parquet(text_field="body"), table, block_bytes=100)


@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
def test_a_folder_is_read_as_a_data_set_of_the_hub_is(table: Path, block_bytes: int) -> None:
    assert readings(HubTable(str(table.parent), text_field="body"), table, block_bytes=block_bytes) == _READ


def test_a_folder_of_json_lines_is_read_as_a_data_set_of_the_hub_is(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps({"text": text, "n": 1}) + "\n" for text in _TEXTS))
    assert readings(HubTable(str(tmp_path)), path, block_bytes=1000) == _READ


def test_a_data_set_that_cannot_be_had_says_so(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertd.data.sources.readers.rows.hub_table.hub_unreachable_reason", lambda *_, **__: "no route")
    with pytest.raises(
        CorpusError, match="hf:nobody/nothing:en: no such folder, and the hub cannot be reached: no rou"
    ):
        readings(HubTable("nobody/nothing:en"), table, block_bytes=100)
    monkeypatch.undo()
    # The hub answers the check and is unreachable when `datasets` sends its requests.
    monkeypatch.setattr("bertd.data.sources.readers.rows.hub_table.hub_unreachable_reason", lambda *_, **__: None)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(CorpusError, match="hf:nobody/nothing:en: cannot load: .*check the name and the network"):
        readings(HubTable("nobody/nothing:en"), table, block_bytes=100)


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.binary(),
        pyarrow.large_binary(),
        pyarrow.string(),
        pyarrow.large_string(),
        pyarrow.string_view(),
        pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
    ],
    ids=str,
)
def test_texts_are_read_in_any_type_that_holds_them(tmp_path: Path, kind: pyarrow.DataType) -> None:
    path = tmp_path / "train.parquet"
    texts = pyarrow.array(["größer", None, ""], pyarrow.string()).cast(
        pyarrow.string() if pyarrow.types.is_dictionary(kind) else kind
    )
    texts = texts.dictionary_encode() if pyarrow.types.is_dictionary(kind) else texts
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path)
    expected = ["größer", SkipReason.NO_FIELD, ""]
    assert readings(Parquet(), path, block_bytes=100) == expected
    if kind != pyarrow.string_view():
        assert readings(HubTable(str(tmp_path)), path, block_bytes=100) == expected


def test_bytes_that_are_not_utf_8_are_left_for_the_count(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array([b"a\xff", b"b"], pyarrow.binary())}), path)
    assert readings(Parquet(), path, block_bytes=100) == ["a\udcff", "b"]


@pytest.mark.parametrize(
    ("values", "type_name"),
    [([1, 2], "int64"), ([["a", "b"]], "list<"), ([{"a": "b"}], "struct<"), ([1.5], "double"), ([True], "bool")],
)
def test_a_column_of_anything_else_is_one_error_with_its_type(
    tmp_path: Path, values: list[object], type_name: str
) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array(values)}), path)
    rest = ", or write the text of each row to a column of its own first" if type_name.endswith("<") else ""
    remedy = f"not text; give another with --text-field{rest}$"
    with pytest.raises(CorpusError, match=f"column 'text' has {type_name}.*, {remedy}"):
        readings(Parquet(), path, block_bytes=100)
    with pytest.raises(CorpusError, match=f"column 'text' has .*, {remedy}"):
        readings(HubTable(str(tmp_path)), path, block_bytes=100)


@pytest.mark.parametrize("kind", ["parquet", "parquet-sentences", "arrow", "arrow-sentences"])
def test_another_file_in_a_folder_that_is_named_with_its_kind_is_called_so(kind: str, tmp_path: Path) -> None:
    for content, message in (
        (b"# The mill\n", "is not of the format .* by its first bytes; name only"),
        (b"", "is empty"),
    ):
        (tmp_path / "README.md").write_bytes(content)
        (source,) = find_sources([f"{kind}:{tmp_path}"])
        reader = make_reader(source, ReadingOptions())
        with source.open(source.files[0]) as streams, pytest.raises(CorpusError, match=f"README.md: {message}"):
            list(reader.blocks(next(streams).content, block_bytes=100))


def test_a_cell_that_says_na_is_a_text_also_in_a_folder_read_as_the_hub_is(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text('id,text\n1,NA\n2,null\n3,"One, two."\n4,\n')
    assert readings(HubTable(str(tmp_path)), path, block_bytes=100) == ["NA", "null", "One, two.", ""]


LINES = (
    *("", " = Robert Boulter = \n", "", " He is an actor with a guest @-@ starring role . \n"),
    *(" = = Career = = \n", "", " In 2004 he landed a role . \n", ""),
    *(" = Du Fu = \n", "", " He was a poet , a = b . \n"),
)
ARTICLES = ["He is an actor with a guest-starring role .\nIn 2004 he landed a role .", "He was a poet , a = b ."]


def test_rows_that_are_lines_of_articles_are_read_as_articles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": [*LINES[4:8], None, *LINES]}), path)
    rest = "In 2004 he landed a role ."
    for reader in (Parquet(), HubTable(str(tmp_path))):
        read = readings(reader, path, block_bytes=40)
        assert [one for one in read if isinstance(one, str)] == [rest, *ARTICLES]
        assert [one for one in read if not isinstance(one, str)] == [SkipReason.NO_FIELD]
        assert "its rows are lines of articles under headings; each article is read" in capsys.readouterr().err
    content = "".join(f'{number},"{line}"\n' for number, line in enumerate(LINES))
    blocks = list(DelimitedTable().blocks(io.BytesIO(f"n,text\n{content}".encode()), block_bytes=40))
    assert readings_of(DelimitedTable(), blocks) == ARTICLES


@pytest.mark.parametrize(
    "texts", [[" = Mill = \n The mill stands . \n", "More ."], ["a = b", "= = a = "], ["The mill stands ."]]
)
def test_rows_that_are_documents_stay_so_whatever_marks_they_hold(tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path)
    assert readings(Parquet(), path, block_bytes=40) == list(map(clean, texts))
