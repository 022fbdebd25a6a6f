"""Equal texts give equal tokens, whatever the format and the encoding of the file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bertd.data.commands.prepare import main
from bertd.data.commands.vocab import main as vocab_main
from bertd.data.dataset.shards import DataSet
from bertd.data.dataset.text_quality import read_quality
from bertd.errors import CorpusError
from tests.data.conftest import made_up_text

TEXTS = [made_up_text(number, sentences=4).replace("\n", " ") for number in range(40)]
RECORDS = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]


def table(delimiter: str) -> str:
    content = io.StringIO()
    csv.writer(content, delimiter=delimiter).writerows([["id", "text"], *([one["id"], one["text"]] for one in RECORDS)])
    return content.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "a.jsonl": lambda: "".join(json.dumps(record) + "\n" for record in RECORDS).encode(),
    "utf-16.jsonl": lambda: "".join(json.dumps(record) + "\n" for record in RECORDS).encode("utf-16"),
    "sequence.jsonl": lambda: "".join(f"\x1e{json.dumps(record)}\n" for record in RECORDS).encode(),
    "sequence.json": lambda: "".join(f"\x1e{json.dumps(record, indent=1)}\n" for record in RECORDS).encode("utf-16"),
    "array.json": lambda: json.dumps(RECORDS).encode(),
    "array.json.gz": lambda: gzip.compress(json.dumps(RECORDS, indent=1).encode()),
    "texts.json": lambda: json.dumps(TEXTS).encode(),
    "printed.json": lambda: "\n".join(json.dumps(record, indent=1) for record in RECORDS).encode(),
    "a.csv": lambda: table(",").encode(),
    "excel.csv": lambda: table(";").encode("utf-8-sig"),
    "unicode.txt": lambda: table("\t").encode("utf-16"),
    "a.tsv": lambda: table("\t").encode(),
    "lines:a.txt": lambda: "\n".join(TEXTS).encode(),
    "text-blocks:b.txt": lambda: "\r\n\r\n".join(TEXTS).encode("utf-32"),
}


def prepared(tmp_path: Path, source: str, vocab: Path, *options: str) -> int:
    kind, colon, name = source.rpartition(":")
    where = ["--vocab", str(vocab), "--out", str(tmp_path / "set"), "--processes", "1"]
    return main([f"{kind}{colon}{tmp_path / name}", *where, "--validation", "0.1", *options])


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, vocab: Path) -> str:
    folder = tmp_path_factory.mktemp("expected")
    (folder / "a.jsonl").write_bytes(FORMATS["a.jsonl"]())
    assert prepared(folder, "a.jsonl", vocab) == 0
    return DataSet.open(folder / "set").manifest.files["train.tokens"].sha256


@pytest.mark.parametrize("source", FORMATS)
def test_the_same_texts_in_any_format_are_the_same_tokens(
    source: str, expected: str, vocab: Path, tmp_path: Path
) -> None:
    (tmp_path / source.rpartition(":")[2]).write_bytes(FORMATS[source]())
    assert prepared(tmp_path, source, vocab) == 0
    manifest = DataSet.open(tmp_path / "set").manifest
    assert manifest.files["train.tokens"].sha256 == expected
    assert (manifest.sources[0].read, manifest.sources[0].skipped) == (len(TEXTS), {})


def test_an_older_encoding_is_left_out_with_its_name_and_read_by_it(
    vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    russian = "Привет, мир. Старая мельница стоит у реки, и вода течёт медленно под камнями. " * 20
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.txt").write_bytes(f"{number} {russian}".encode("windows-1251"))
    (folder / "utf-8.txt").write_text(f"Ещё {russian}")
    (folder / "utf-16.txt").write_text(f"И ещё {russian}", encoding="utf-16")
    assert prepared(tmp_path, "corpus", vocab) == 0
    said = capsys.readouterr()
    assert "2 of 8 documents (left out: 6 not valid UTF-8)" in said.out
    assert said.err.count("looks like windows-1251: check, and give --encoding windows-1251") == 3
    assert prepared(tmp_path, "corpus", vocab, "--encoding", "windows-1251", "--replace") == 0
    said = capsys.readouterr()
    assert "8 of 8 documents," in said.out and said.err == ""
    assert DataSet.open(tmp_path / "set").manifest.sources[0].skipped == {}
    assert vocab_main([str(folder), "--out", str(tmp_path / "v"), "--size", "90", "--encoding", "windows-1251"]) == 0
    assert "from 8 documents" in capsys.readouterr().out
    assert vocab_main([str(folder), "--out", str(tmp_path / "v"), "--size", "90", "--replace"]) == 0
    # The text is read twice, and the notes are not.
    assert capsys.readouterr().err.count("looks like windows-1251") == 3


def test_damaged_utf_8_is_not_taken_for_another_encoding(
    vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["Über den Fluss führt eine Brücke.".encode()] * 20 + [b"Die M\xfchle steht.", "Für alle Dörfer.".encode()]
    (tmp_path / "a.txt").write_bytes(b"\n".join(lines))
    assert prepared(tmp_path, "lines:a.txt", vocab, "--dedup", "none") == 0
    said = capsys.readouterr()
    assert "a.txt: is not UTF-8, and what cannot be read is left out; it is UTF-8 with damaged characters" in said.err
    assert "21 of 22 documents (left out: 1 not valid UTF-8)" in said.out


@pytest.mark.parametrize("kind", ["text", "lines", "text-blocks", "jsonl", "json", "csv", "headings", "wiki-xml"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "binary"])
def test_what_is_no_text_is_counted_as_that_by_every_kind(
    kind: str, encoding: str, vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "पुरानी चक्की नदी के किनारे खड़ी है\n" * 99
    (tmp_path / "a").write_bytes(bytes(range(256)) * 9 if encoding == "binary" else text.encode(encoding))
    assert prepared(tmp_path, f"{kind}:a", vocab) == CorpusError.exit_code
    said = capsys.readouterr().err
    assert "(left out: 1 not text)" in said and "as not text; name the encoding of text that is not UTF-8 with" in said
    assert (f"give --encoding {encoding}" in said) == (encoding != "binary")
    assert not (tmp_path / "set").exists()


def test_an_unknown_encoding_is_a_wrong_command(
    vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepared(tmp_path, "a.txt", vocab, "--encoding", "rot13") == 2
    assert "'rot13' is not an encoding; give one such as windows-1252" in capsys.readouterr().err


@pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="names are in another encoding")
def test_a_name_that_is_not_utf_8_is_read_and_written_with_escapes(vocab: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.jsonl")
    (tmp_path / name).write_bytes(FORMATS["a.jsonl"]())
    assert prepared(tmp_path, name, vocab) == 0
    assert DataSet.open(tmp_path / "set").manifest.sources[0].path.endswith("a\\udcff.jsonl")


def write_office_document() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<w:t>The mill stands.</w:t>")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (write_office_document(), "an Office document or an e-book"),
        (b"%PDF-1.4\nThe mill stands by the river.\n", "a PDF"),
        (b"{\\rtf1 The mill stands.}", "RTF"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(100), "a 7z archive"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "an image"),
        (gzip.compress(gzip.compress(b"The mill stands." * 9, mtime=0), mtime=0), "compressed twice"),
        (b"ORC\x00\x01\x02", "an ORC file"),
    ],
)
def test_a_file_of_another_format_is_called_by_its_name_and_its_encoding_is_not_asked_for(
    content: bytes, what: str, vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.doc").write_bytes(content)
    assert prepared(tmp_path, "a.doc", vocab) == CorpusError.exit_code
    said = capsys.readouterr().err
    assert f"a.doc: is {what}, and is left out; unpack it, or convert it to text, first" in said
    assert "(left out: 1 file of another format)" in said and "encoding" not in said


def test_a_text_that_begins_as_such_a_file_is_a_text(vocab: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ORC is a word. " + made_up_text(1, sentences=20))
    assert prepared(tmp_path, "a.txt", vocab) == 0


def test_a_page_of_html_is_named(vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.html").write_text("<html><body>" + made_up_text(1, sentences=20) + "</body></html>")
    assert prepared(tmp_path, "a.html", vocab) == 0
    assert "a.html: is HTML, whose tags are read as text; extract its text first" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_records_without_the_field_name_those_that_they_have(
    name: str, vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [{"id": number, "body": {"deep": 1}, "content": text} for number, text in enumerate(TEXTS)]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / name).write_text(lines if name == "a.jsonl" else json.dumps(records))
    message = "; a record has 'id', 'body.deep', 'content': give --text-field, or, for one in another, take it"
    assert prepared(tmp_path, name, vocab) == CorpusError.exit_code
    assert message in capsys.readouterr().err
    assert vocab_main([str(tmp_path / name), "--out", str(tmp_path / "v"), "--size", "90"]) == CorpusError.exit_code
    assert message in capsys.readouterr().err
    assert prepared(tmp_path, name, vocab, "--text-field", "content") == 0


def test_a_word_that_is_too_long_for_the_vocabulary_is_remarked_on(
    vocab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("\n".join([*TEXTS, "iVBORw0KGgo" * 3000, *TEXTS[:3]]))
    assert prepared(tmp_path, "lines:a.txt", vocab) == 0
    assert "of the characters are in words that are too long for the vocabulary" in capsys.readouterr().out
    quality = read_quality(tmp_path / "set")
    assert quality is not None and quality.sources[0].long_word_characters == 33_000
