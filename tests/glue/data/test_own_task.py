"""Tasks of one's own: tables in each format, labels found from the data, and rows that are held out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.errors import CorpusError
from bertd.glue.data.examples import Example
from bertd.glue.data.own_task import OwnTaskData, read_own_task
from bertd.glue.data.tables import read_table
from bertd.records import MetricName, OwnTask

_RAW = [('said "no",\nand left', "b;c", "yes"), ("tab\there", "", "no"), ("NA", "null", "yes")]
"""Rows with all that a format must keep: delimiters, quotes, line breaks, an empty text, words for nothing."""


def _write(path: Path, content: str, *, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def _write_rows(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    header = ("a", "b", "y")
    if path.suffix == ".parquet":
        columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    elif path.suffix in (".csv", ".tsv"):
        text = io.StringIO()
        writer = csv.writer(text, delimiter="," if path.suffix == ".csv" else "\t")
        writer.writerows([header, *rows])
        _write(path, text.getvalue())
    else:
        records = [dict(zip(header, row, strict=True)) for row in rows]
        _write(path, json.dumps(records) if path.suffix == ".json" else "\n".join(map(json.dumps, records)))
    return path


def _read(path: Path, *, text: str = "a", dev: Path | None = None, metric: str | None = None) -> OwnTaskData:
    own = OwnTask(
        train=str(path),
        dev=None if dev is None else str(dev),
        text=tuple(text.split(",")),
        label="y",
        metric=None if metric is None else MetricName(metric),
    )
    return read_own_task("mine", own)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_gives_the_same_examples(tmp_path: Path, suffix: str) -> None:
    path = _write_rows(tmp_path / f"train.{suffix}", _RAW)
    data = _read(path, text="a,b", dev=path)
    assert data.task.labels == ("no", "yes")
    assert data.train.examples == [Example(a, b, float(y == "yes")) for a, b, y in _RAW] == data.dev.examples
    assert data.dev_description == str(path)
    assert data.warnings == [("dev_overlap", f"{path}: 3 of 3 texts are in {path}, too; the score is too high")]


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.just("\n"), max_size=9)] * 3),
        min_size=1,
        max_size=9,
    )
)
def test_csv_as_rfc_4180_writes_it_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("a", "b", "y"), *rows])
    path.write_bytes(text.getvalue().encode())
    assert read_table(path, ("a", "b", "y")).rows == rows


def test_a_tsv_without_quoting_keeps_stray_quotes_and_all_lines(tmp_path: Path) -> None:
    content = 'a\ty\n"open\t1\nmiddle\t0\n"again\t1\nsaid "x" y\t0\n'
    path = _write(tmp_path / "train.tsv", content)
    assert [example.first for example in _read(path, dev=path).train.examples] == [
        '"open',
        "middle",
        '"again',
        'said "x" y',
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_csv_as_spreadsheets_write_it_is_read(tmp_path: Path, encoding: str, delimiter: str) -> None:
    content = "a,y\r\nGröße,1\r\nmaß,0\r\n".replace(",", delimiter)
    path = _write(tmp_path / "train.csv", content, encoding=encoding)
    assert _read(path, dev=path).train.examples == [Example("Größe", None, 1.0), Example("maß", None, 0.0)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", 'a,y\n"x,1\n', r"line 2: not a row of CSV .*fix its quotes"),
        ("t.csv", "a,y\nx,1\nx,1,2\n", "line 3: 3 cells, but 2 columns"),
        ("t.csv", "a,z\nx,1\n", "no column 'y'; it has 'a', 'z': give the names with --text and --label"),
        ("t.csv", "a,y,y\nx,1,2\n", "more than one column 'y'"),
        ("t.csv", "a,y\n", "no row in it"),
        ("t.csv", "", "no row in it"),
        ("t.csv", "a,y\nx,1\ny,\n", "line 3: no label"),
        ("t.csv", "a,y\nx,1\nz,1\n", "column 'y' has one label, '1'"),
        ("t.jsonl", '{"a": "x", "y": 1}\n{"a": "x"}\n', "line 2: no column 'y'|no column 'y'"),
        ("t.jsonl", '{"a": "x", "y": 1}\n{"a"\n', "line 2: not JSON"),
        ("t.jsonl", '{"a": "x", "y": 1}\n3\n', "line 2: not a JSON object"),
        ("t.jsonl", '{"a": null, "y": 1}\n', "line 1: a text is missing"),
        ("t.jsonl", '{"a": 5, "y": 1}\n', "line 1: a text is 5, and must be a string"),
        ("t.jsonl", '{"a": "\\ud800", "y": 1}\n', "line 1: a text has half a surrogate pair"),
        ("t.jsonl", '{"a": "x", "y": NaN}\n', "line 1: no label .nan"),
        ("t.json", '[{"a": "x", "y": 1}', "not an array of JSON objects"),
        ("t.json", '[{"a": "x", "y": [1]}]', "record 1: no label"),
        ("t.parquet", "PAR1", "not a complete Parquet file"),
        ("t.xlsx", "", "unknown format '.xlsx'; a table ends in one of .csv"),
    ],
)
def test_a_table_that_is_wrong_is_an_error_with_its_place(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = _write(tmp_path / name, content)
    with pytest.raises(CorpusError, match=message) as caught:
        _read(path, dev=path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_utf_8_or_absent_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "train.csv", "a,y\nx,1\nGröße,0\n", encoding="latin-1")
    with pytest.raises(CorpusError, match=r"train.csv: line 3: not UTF-8"):
        _read(path)
    with pytest.raises(CorpusError, match=r"absent.csv: cannot read: No such file"):
        _read(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([10, 9, 2], ("2", "9", "10")),
        (["10", "9", "x"], ("10", "9", "x")),
        ([True, False, True], ("false", "true")),
        ([1.0, 0.0, 1.0], ("0", "1")),
        (["B", "a", "Ä"], ("B", "a", "Ä")),
    ],
)
def test_label_names_are_found_and_sorted(tmp_path: Path, labels: list[object], names: tuple[str, ...]) -> None:
    path = _write(tmp_path / "t.jsonl", "\n".join(json.dumps({"a": "x", "y": label}) for label in labels))
    assert _read(path, dev=path).task.labels == names


def test_the_names_of_classes_that_datasets_stores_as_numbers_are_found(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    features = datasets.Features({"a": datasets.Value("string"), "y": datasets.ClassLabel(names=["no", "maybe"])})
    datasets.Dataset.from_dict({"a": ["x", "z"], "y": [0, 1]}, features=features).to_parquet(path)
    data = _read(path, dev=path)
    assert data.task.labels == ("maybe", "no")
    assert [example.target for example in data.train.examples] == [1.0, 0.0]
    datasets.Dataset.from_dict({"a": ["x", "z"], "y": [0, -1]}, features=features).to_parquet(path)
    with pytest.raises(CorpusError, match="row 2: no label"):
        _read(path, dev=path)
    note = {b"huggingface": b"[]"}
    pyarrow.parquet.write_table(pyarrow.table({"a": ["x", "z"], "y": [0, 1]}).replace_schema_metadata(note), path)
    assert _read(path, dev=path).task.labels == ("0", "1")


def test_the_metric_decides_between_classes_and_numbers_and_without_one_the_labels_do(tmp_path: Path) -> None:
    whole = _write(tmp_path / "whole.csv", "a,y\nx,1\ny,2\nz,3\n")
    parts = _write(tmp_path / "parts.csv", "a,y\nx,1\ny,2.5\nz,3\n")
    assert (_read(whole, dev=whole).task.headline, _read(parts, dev=parts).task.headline) == ("accuracy", "spearman")
    assert _read(whole, dev=whole, metric="f1").task.metrics == ("macro_f1", "accuracy", "matthews")
    number = _read(whole, dev=whole, metric="pearson").task
    assert (number.labels, len(number.head.names), number.metrics) == (None, 1, ("pearson", "spearman"))
    assert _read(parts, dev=parts, metric="accuracy").task.labels == ("1", "2.5", "3")
    words = _write(tmp_path / "words.csv", "a,y\nx,1\ny,two\n")
    with pytest.raises(CorpusError, match=r"words.csv: line 3: label 'two' is not a number, which pearson"):
        _read(words, dev=words, metric="pearson")
    two = _write(tmp_path / "two.csv", "a,y\nx,no\ny,yes\n")
    assert _read(two, dev=two, metric="f1").task.headline == "f1"


def test_a_label_that_only_the_development_set_has_is_a_class_and_a_warning(tmp_path: Path) -> None:
    train = _write(tmp_path / "train.csv", "a,y\nx,1\ny,2\n")
    dev = _write(tmp_path / "dev.csv", "a,y\nx,3\nz,1\n")
    data = _read(train, dev=dev)
    assert data.task.labels == ("1", "2", "3")
    assert [code for code, _ in data.warnings] == ["dev_overlap", "label_unseen"] and "'3'" in data.warnings[1][1]


def test_without_a_development_set_the_same_rows_are_held_out_each_time(tmp_path: Path) -> None:
    rows = [f"text {index % 80},{index % 2}" for index in range(100)]
    path = _write(tmp_path / "train.csv", "\n".join(["a,y", *rows]))
    data, again = _read(path), _read(path)
    assert data.train == again.train and data.dev == again.dev
    assert len(data.train.examples) + len(data.dev.examples) == 100
    assert 10 <= len(data.dev.examples) <= 11
    assert not {e.first for e in data.train.examples} & {e.first for e in data.dev.examples}
    assert data.dev_description == f"{len(data.dev.examples)} of 100 rows of {path}, held out with seed 42"
    assert [code for code, _ in data.warnings] == ["dev_held_out"]
    other = read_own_task("mine", OwnTask(train=str(path), text=("a",), label="y", dev_seed=1, dev_share=0.3))
    assert 30 <= len(other.dev.examples) <= 31 and other.dev.examples[:5] != data.dev.examples[:5]


def test_a_column_that_is_no_label_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "train.csv", "a,y\n" + "".join(f"x,text {number // 2}\n" for number in range(40)))
    assert len(_read(path, dev=path).task.labels or ()) == 20
    path = _write(tmp_path / "train.csv", "a,y\n" + "".join(f"x,text {number}\n" for number in range(40)))
    with pytest.raises(CorpusError, match="column 'y' has 40 different labels in 40 rows, such as 'text 0'"):
        _read(path, dev=path)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("CoLA/test", ("sentence",)),
        ("MRPC/train", ("#1 String", "#2 String", "Quality")),
        ("QNLI/test", ("question", "sentence")),
        ("SST-2/train", ("sentence", "label")),
        ("STS-B/train", ("sentence1", "sentence2", "score")),
        ("QQP/dev", ("question1", "question2", "is_duplicate")),
    ],
)
def test_no_line_of_a_real_file_is_joined_to_another_by_its_quotes(
    name: str, columns: tuple[str, ...], real_data: Path
) -> None:
    path = real_data / "glue" / f"{name}.tsv"
    content = path.read_text(encoding="utf-8-sig").removesuffix("\n")
    rows = read_table(path, columns).rows
    assert len(rows) == content.count("\n")
    assert '"' not in content or any('"' in str(cell) for row in rows for cell in row)


def test_too_few_rows_to_hold_some_out_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "train.csv", "a,y\nx,1\ny,2\n")
    with pytest.raises(CorpusError, match="2 rows with 2 different texts are too few to hold 0.1 of them out and"):
        _read(path)


def _codes(path: Path, **options: str | Path | None) -> list[str]:
    return [code for code, _ in _read(path, **options).warnings]  # type: ignore[arg-type]  # Each test's are of its options.


def test_labels_that_differ_by_case_or_blanks_alone_are_named(tmp_path: Path) -> None:
    labels = ["Very Good", "very  good", "bad", "worse"]
    path = _write_rows(tmp_path / "t.csv", [(f"text {n}", "", labels[n % 4]) for n in range(40)])
    (warning,) = [text for code, text in _read(path, dev=path).warnings if code == "labels_alike"]
    assert "the labels 'Very Good' and 'very  good' are taken as different" in warning


def test_rows_without_any_text_are_counted_and_a_pair_with_one_is_not(tmp_path: Path) -> None:
    rows = [(f"text {n}" if n % 5 else " ", "b" if n else "", "xy"[n % 2]) for n in range(40)]
    path = _write_rows(tmp_path / "t.csv", rows)
    (warning,) = [text for code, text in _read(path).warnings if code == "text_empty"]
    assert "8 of 40 rows have no text, the first line 2" in warning
    (warning,) = [text for code, text in _read(path, text="a,b").warnings if code == "text_empty"]
    assert "1 of 40 rows" in warning


def test_a_development_set_with_one_label_and_a_held_out_label_are_said(tmp_path: Path) -> None:
    path = _write_rows(tmp_path / "t.csv", [(f"text {n}", "", "rare" if n < 2 else "often") for n in range(40)])
    dev = _write_rows(tmp_path / "dev.csv", [("new", "", "often"), ("newer", "", "often")])
    assert _codes(path, dev=dev) == ["dev_constant"]
    scores = _write_rows(tmp_path / "s.csv", [("new", "", "3"), ("newer", "", "3.0")])
    assert "dev_constant" in _codes(scores, dev=scores, metric="spearman")
    held = _read(path).dev.examples
    names = {example.first for example in held}
    # All of a label are held out: it cannot be learnt.
    unlucky = [(text, "", "lost" if text in names else label) for text, _, label in _all_rows(path)]
    assert "label_unseen" in _codes(_write_rows(tmp_path / "u.csv", unlucky))


def _all_rows(path: Path) -> list[tuple[str, str, str]]:
    with path.open(newline="") as file:
        rows = [(row[0], row[1], row[2]) for row in csv.reader(file)]
    return rows[1:]


def test_whole_numbers_are_classes_without_a_fraction_and_a_scale_is_pointed_out(tmp_path: Path) -> None:
    path = _write_rows(tmp_path / "t.csv", [(f"text {n}", "", f"{n % 11}.0") for n in range(66)])
    data = _read(path, dev=_write_rows(tmp_path / "dev.csv", [("new", "", "10"), ("newer", "", "2")]))
    assert data.task.labels == tuple(map(str, range(11)))
    assert [code for code, _ in data.warnings] == ["labels_are_numbers"]
    assert _codes(path, dev=path, metric="accuracy") == ["dev_overlap"]
    versions = _write_rows(tmp_path / "v.csv", [(f"text {n}", "", ["1.0", "2.0", "x"][n % 3]) for n in range(30)])
    assert _read(versions).task.labels == ("1.0", "2.0", "x")


def test_decimals_with_a_comma_are_an_error_that_says_so(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", "a;y\n" + "".join(f"text {n};{n},5\n" for n in range(40)))
    with pytest.raises(CorpusError, match="--metric spearman, with a point in decimals"):
        _read(path)
    with pytest.raises(CorpusError, match="line 2: label '0,5' is not a number.*write decimals with a point"):
        _read(path, metric="spearman")


def test_few_different_texts_are_said_where_none_can_be_held_out(tmp_path: Path) -> None:
    path = _write_rows(tmp_path / "t.csv", [("same", "", "xy"[n % 2]) for n in range(40)])
    with pytest.raises(CorpusError, match="40 rows with 1 different texts are too few"):
        _read(path)
