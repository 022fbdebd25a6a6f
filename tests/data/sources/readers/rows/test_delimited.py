"""CSV and TSV: RFC 4180, and what spreadsheets make of it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from bertd.data.sources.readers.decoded import DecodedReader
from bertd.data.sources.readers.document import Document
from bertd.data.sources.readers.rows import delimited
from bertd.data.sources.readers.rows.delimited import DelimitedTable
from bertd.errors import CorpusError

CELLS = [
    "The old mill stands, by the river; slowly.",
    'She said "no" and left.',
    "One line\nand another\r\nand a third.",
    "NA",
    "null",
    "",
    "Straße, größer.\tA tab.",
    "' single | quotes",
    '"',
]
READ = [cell.replace("\r\n", "\n") for cell in CELLS]


def read(
    content: bytes, *, field: str = "text", block_bytes: int = 1 << 20, reader: DelimitedTable | None = None
) -> list[str]:
    """Texts, and the reasons of what is left out in brackets."""
    decoded = DecodedReader(reader or DelimitedTable(text_field=field))
    blocks = decoded.blocks(io.BytesIO(content), block_bytes=block_bytes)
    results = [result for block in blocks for result in decoded.documents(block.content)]
    return [one.text if isinstance(one, Document) else f"[{one.reason.value}]" for one in results]


def write(
    rows: list[list[str]], *, delimiter: str = ",", newline: str = "\r\n", quoting: int = csv.QUOTE_MINIMAL
) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=quoting).writerows(rows)  # type: ignore[arg-type]  # csv's constants
    return text.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_the_cells_of_its_column(delimiter: str, newline: str, quoting: int, encoding: str) -> None:
    rows = [["id", "text", "label"], *([str(number), cell, "x"] for number, cell in enumerate(CELLS))]
    content = write(rows, delimiter=delimiter, newline=newline, quoting=quoting).encode(encoding)
    for block_bytes in (1, 1 << 20):
        assert read(content, block_bytes=block_bytes) == READ


def test_excels_own_mark_names_the_delimiter() -> None:
    assert read(b"sep=;\r\nid;text\r\n1;Hello, world; \r\n2;a,b,c\r\n") == ["[damaged row]", "a,b,c"]


def test_quotes_that_are_not_quotes_are_letters() -> None:
    content = b'id\ttext\n1\t"Hello," he said.\n2\tA "word" and 5" more\n3\t"never closed\n4\tplain\n'
    assert read(content) == ['"Hello," he said.', 'A "word" and 5" more', '"never closed', "plain"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_quotes_after_a_backslash_are_quotes_within_a_cell(newline: str, capsys: pytest.CaptureFixture[str]) -> None:
    cells = ['"the mill"', 'He said, "no".', 'a "" b', "C:\\new, C:\\dir", "one\ntwo", 'a\\\\"', "plain"]
    escaped = [cell.replace('"', '\\"') for cell in cells]
    content = "".join(f'{number},"{cell}","x, y"{newline}' for number, cell in enumerate(escaped))
    assert read(f"id,text,more{newline}{content}".encode()) == cells
    assert "quotes within its cells have a backslash before them" in capsys.readouterr().err


def test_a_backslash_before_a_closing_quote_is_a_letter_where_quotes_are_doubled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [["id", "text", "n"], *([str(number), 'in "C:\\dir\\"', "3"] for number in range(9)), ["9", "C:\\", "3"]]
    content = write(rows, quoting=csv.QUOTE_ALL).encode()
    assert read(content) == ['in "C:\\dir\\"'] * 9 + ["C:\\"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["text", "Text", " TEXT "])
def test_the_column_of_the_wanted_name_is_read_whatever_the_others_hold(text: str) -> None:
    assert read(f"title,{text}\nThe name of the page,NA\n".encode()) == ["NA"]


def test_the_one_column_of_texts_is_found_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    reader = DelimitedTable()
    content = b"id,date,body\n1,2020-01-01,The old mill stands.\n2,2020-01-02,\n"
    assert read(content, reader=reader) == ["The old mill stands.", ""]
    assert read(content, reader=reader) == ["The old mill stands.", ""]
    assert capsys.readouterr().err.count("the texts are read from column 'body'") == 1
    assert read("序号,正文\n1,老磨坊矗立在河边水流得很慢啊\n".encode()) == ["老磨坊矗立在河边水流得很慢啊"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,title,body\n1,The name of it,The old mill stands.\n", "no column 'text'; it has 'id', 'title', 'body'"),
        (b"id,n\n1,2\n", "no column 'text'; it has 'id', 'n': give --text-field"),
        (b"text,text\na,b\n", "no column 'text'; it has 'text', 'text': give"),
        (
            b"1,The mill stands there.,2,Die M\xc3\xbchle steht da.\n2,The water runs slowly.,3,Das Wasser ist kalt.\n",
            "its first row names no columns: 1 '1', 2 'The mill stands there.', 3 '2', .*; give the number of the",
        ),
        (b"The old mill stands by the river and turns.\nThe water runs slowly.\n", "its first row names no columns"),
    ],
)
def test_a_column_that_cannot_be_told_is_an_error_with_the_names(content: bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read(content)


def test_another_column_than_the_named_one_is_never_read() -> None:
    with pytest.raises(CorpusError, match="no column 'review'; it has 'id', 'body': give --text-field"):
        read(b"id,body\n1,The old mill stands.\n", field="review")
    assert read(b"id\tbody\ttext\r1\tThe mill.\tThe old mill stands.\r", field="body") == ["The mill."]


def test_a_table_of_one_column_has_lines_as_cells() -> None:
    assert read(b'body\nHello, world; and | more\n\n"Two\nlines, quoted"\n') == [
        "Hello, world; and | more",
        "Two\nlines, quoted",
    ]


def test_a_row_of_another_length_is_counted_and_the_others_are_read() -> None:
    content = b'id,text\n1,one\n2,Hello, world\n3\n4,"a" b\n5,"five, 5"\n6,"six, 6"\n7,\xff\n'
    assert read(content) == ["one", *["[damaged row]"] * 3, "five, 5", "six, 6", "\udcff"]


@pytest.mark.parametrize("rest", ["", "\n6,six\n" * 3])
def test_a_quote_that_is_never_closed_is_an_error_with_its_line(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f'{number},"cell, {number}"\n' for number in range(20))
    with pytest.raises(CorpusError, match="line 22: a quote is never closed"):
        read(f'id,text\n{rows}5,"open{rest}'.encode())
    monkeypatch.setattr(delimited, "MAX_DOCUMENT_BYTES", 20)
    with pytest.raises(CorpusError, match="line 22: a quote is never closed"):
        read(f'id,text\n{rows}5,"open{"x" * 30}",\n'.encode())


@pytest.mark.parametrize("content", [b"", b"\n\n", b"id,text\n", b"id,body\r\n", b"\xef\xbb\xbf"])
def test_a_table_without_rows_has_no_documents(content: bytes) -> None:
    assert read(content) == []


def test_a_large_table_is_read_in_pieces(tmp_path: Path) -> None:
    rows = [["id", "text"], *([str(number), f"Row {number}, of many.\nIn two lines."] for number in range(20_000))]
    blocks = list(DelimitedTable().blocks(io.BytesIO(write(rows).encode()), block_bytes=1 << 16))
    assert len(blocks) > 10 and max(len(block.content) for block in blocks) < 1 << 17


@pytest.mark.parametrize(
    "first",
    [
        '1\teng\t"Let us" try it today.\n',
        "eng\tOnce more, it is so\n",
        "2020-01-01\tWe go there now\n",
    ],
)
def test_a_first_row_that_is_data_is_a_document(first: str, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [cell for cell in first.split("\t")[:-1] if not cell.isdecimal()]
    rows = ["\t".join([str(number), *cells, f"Sentence number {number} of many."]) for number in range(2, 40)]
    if not first.startswith("1"):
        rows = [row.split("\t", 1)[1] for row in rows]
    expected = [first.rstrip().split("\t")[-1], *(f"Sentence number {number} of many." for number in range(2, 40))]
    content = (first + "\n".join(rows) + "\n").encode()
    column = first.count("\t") + 1
    assert read(content) == expected
    assert f"its first row is data; the texts are read from column {column}" in capsys.readouterr().err
    assert read(content, field=str(column)) == expected


def test_names_of_columns_that_pandas_numbers_or_files_repeat_are_no_data() -> None:
    assert read(b",0\n0,The old mill stands.\n1,The water runs on.\n") == [
        "The old mill stands.",
        "The water runs on.",
    ]
    joined = b"id,text\n" + b"1,The old mill stands.\n" * 3 + b"id,text\n2,The water runs.\n"
    assert read(joined) == [*["The old mill stands."] * 3, "text", "The water runs."]


@pytest.mark.parametrize(
    "titles", ["My export\n2024-01-01\n\n", "Survey,,\nPerson,,Rating\n", '"A title, in quotes",,\n']
)
def test_lines_above_the_names_of_the_columns_are_left_out_and_named(
    titles: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = "id,text,label\n1,The old mill stands.,a\n2,The water runs.,b\n"
    assert read(f"{titles}{table}".encode()) == ["The old mill stands.", "The water runs."]
    line = titles.count("\n") + 1
    assert f"its columns are named in line {line}; the lines above are left out" in capsys.readouterr().err


def test_a_row_that_holds_the_name_of_the_wanted_column_is_a_row() -> None:
    content = b"id,label,body\n1,mill,The old mill stands.\n2,text,It is so.\n"
    assert read(content) == ["The old mill stands.", "It is so."]


def test_a_table_of_nothing_but_texts_has_no_row_of_names() -> None:
    rows = [f"The old mill stands by the river {number}\tDie alte Mühle steht am Fluss {number}" for number in range(9)]
    content = "\n".join(rows).encode()
    with pytest.raises(CorpusError, match="names no columns: 1 'The old mill stands by t', .*; give the number of the"):
        read(content)
    assert read(content, field="2") == [row.split("\t")[1] for row in rows]
