"""--where: what a condition holds for, in every kind of table, and what it leaves out adds up."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from bertd.data.dataset.left_out_report import read_left_out
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.data.sources.readers.document import Document, Skipped, SkipReason
from bertd.data.sources.readers.rows.row_filter import RowFilter, parse_condition
from bertd.data.sources.spec import ReadingOptions, find_sources, make_reader
from bertd.errors import CorpusError
from bertd.run.dataset_manifest import Filters

ROWS: list[dict[str, Any]] = [
    {"text": "The mill stands by the river.", "id": "a", "language": "en", "language_score": 0.97},
    {"text": "Die Muehle steht am Fluss.", "id": "b", "language": "de", "language_score": 0.99},
    {"text": "Mill, mill, mill!", "id": "c", "language": "en", "language_score": 0.4},
    {"text": "No score was measured here.", "id": "d", "language": "en", "language_score": None},
]
WHERE = ("language_score > 0.9", 'language == "en"')


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ("score > 0.9", 0.91, True),
        ("score > 0.9", 0.9, False),
        ("score>=0.9", "0.9", True),
        ("score <= 3", 3, True),
        ("score != 3", "three", True),
        ("score < 3", "three", False),
        ("lang == de", "de", True),
        ("lang != 'de'", "de", False),
        ('lang == "a b"', "a b", True),
        ("ok == true", True, True),
        ("ok == true", False, False),
        ("tags == x", ["x"], False),
        ('id == "7"', 7, True),
    ],
)
def test_a_condition_holds_or_not(condition: str, value: object, holds: bool) -> None:
    assert parse_condition(condition).holds(value) is holds


@pytest.mark.parametrize("text", ["", "score", "score >", "> 0.9", "a b > 3", "score = 3", "score => 3"])
def test_what_is_not_a_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a condition; write a column, one of == != < <= > >="):
        parse_condition(text)


def write(folder: Path, form: str) -> Path:
    """The rows as other tools write them."""
    folder.mkdir(exist_ok=True)
    if form == "datatrove.jsonl.gz":
        nested = [
            {"text": row["text"], "id": row["id"], "metadata": {k: row[k] for k in ("language", "language_score")}}
            for row in ROWS
        ]
        path = folder / "00000.jsonl.gz"
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in nested).encode()))
    elif form == "rows.json":
        path = folder / form
        path.write_text(json.dumps(ROWS, indent=1))
    elif form == "rows.csv":
        path = folder / form
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(ROWS)
    elif form == "fineweb.parquet":
        path = folder / form
        pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif form == "datatrove.parquet":
        path = folder / form
        nested = [
            {"text": row["text"], "metadata": {k: row[k] for k in ("language", "language_score")}} for row in ROWS
        ]
        pyarrow.parquet.write_table(pa.Table.from_pylist(nested), path)
    else:
        path = folder / form
        pyarrow.feather.write_feather(pa.Table.from_pylist(ROWS), path, compression="uncompressed")
    return path


FORMS = ["datatrove.jsonl.gz", "rows.json", "rows.csv", "fineweb.parquet", "datatrove.parquet", "rows.arrow"]


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_table_keeps_the_rows_that_meet_all(tmp_path: Path, form: str) -> None:
    path = write(tmp_path, form)
    (source,) = find_sources([str(path)])
    reader = make_reader(source, ReadingOptions(where=WHERE))
    with source.open(path) as streams:
        blocks = [block for stream in streams for block in reader.blocks(stream.content, block_bytes=1000)]
    found = [result for block in blocks for result in reader.documents(block.content)]
    assert [one.text for one in found if isinstance(one, Document)] == ["The mill stands by the river."]
    # An empty cell of CSV is a text, which spells no number.
    missing = SkipReason.NOT_WHERE if form == "rows.csv" else SkipReason.NO_COLUMN
    skipped = [one for one in found if isinstance(one, Skipped)]
    assert [one.reason for one in skipped] == [SkipReason.NOT_WHERE, SkipReason.NOT_WHERE, missing]
    assert [one.read for one in skipped] == [len(str(row["text"])) for row in ROWS[1:]]


@pytest.mark.parametrize("form", ["fineweb.parquet", "rows.csv", "rows.arrow"])
def test_a_column_that_is_not_there_is_named(tmp_path: Path, form: str) -> None:
    path = write(tmp_path, form)
    (source,) = find_sources([str(path)])
    reader = make_reader(source, ReadingOptions(where=("quality > 3",)))
    with (
        source.open(path) as streams,
        pytest.raises(CorpusError, match=r"no column 'quality', which --where names; it has text, id, language"),
    ):
        list(reader.blocks(next(streams).content, block_bytes=1000))


def test_a_text_file_has_no_columns(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A text.")
    (source,) = find_sources([str(tmp_path / "a.txt")])
    with pytest.raises(CorpusError, match="is read as text, which has no columns for --where"):
        make_reader(source, ReadingOptions(where=WHERE))


def test_no_conditions_keep_everything() -> None:
    assert RowFilter().skip_reason({}) is None


def test_kept_and_left_out_are_what_was_read(tmp_path: Path, vocab: Path) -> None:
    for form in FORMS:
        write(tmp_path / "corpus", form)
    filters = Filters(dedup="none", where=WHERE)
    options = PrepareOptions(
        vocab=str(vocab), validation_share=0.3, filters=filters, reading=ReadingOptions(where=WHERE)
    )
    manifest = prepare([str(tmp_path / "corpus")], out=tmp_path / "set", options=options, processes=1)
    assert manifest.filters.where == WHERE
    skipped = {source.kind: source.skipped for source in manifest.sources}
    assert skipped["parquet"] == {"does not meet --where": 4, "lacks a value for --where": 2}
    report = read_left_out(tmp_path / "set")
    assert report is not None
    for source in report.sources:
        assert source.kept + sum(source.left_out.values()) == source.read > 0
        assert source.samples["does not meet --where"]


def test_documents_in_another_language_are_left_out_and_counted(tmp_path: Path, vocab: Path) -> None:
    pytest.importorskip("py3langid", reason="py3langid is not installed")
    texts = [
        "The people said that the bright river walks under the green house in the quiet morning.",
        "Die Leute sagten, dass der helle Fluss am ruhigen Morgen unter dem gruenen Haus fliesst.",
        "Les gens disaient que la riviere claire coule sous la maison verte dans le matin calme.",
        "Never into the light of the morning, said the people of the quiet stone house.",
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    filters = Filters(only_language="en")
    options = PrepareOptions(vocab=str(vocab), validation_share=0.3, filters=filters)
    manifest = prepare([str(tmp_path / "a.jsonl")], out=tmp_path / "set", options=options, processes=1)
    (source,) = manifest.sources
    assert (source.kept.documents, source.skipped) == (2, {"of another language": 2})
    with pytest.raises(CorpusError, match="py3langid does not know the language 'xx'"):
        prepare(
            [str(tmp_path / "a.jsonl")],
            out=tmp_path / "other",
            options=options.model_copy(update={"filters": Filters(only_language="xx")}),
            processes=1,
        )
