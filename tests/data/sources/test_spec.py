"""Sources by name: which files are found, and how their kinds are detected."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import zstandard

from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.data.sources.readers.rows.hub_table import split_config
from bertd.data.sources.spec import ReadingOptions, SourceKind, find_sources, make_reader, mixed_kinds_lines
from bertd.errors import CorpusError
from tests.data.conftest import made_up_text
from tests.data.sources.readers.checked import readings_of

_RECORD = json.dumps({"id": 1, "text": "The old mill stands."})
_ARRAY = json.dumps([{"id": 1, "text": "The old mill stands."}] * 3)
_TABLE = "id,text\n1,The old mill stands.\n2,The water runs.\n"


@pytest.mark.parametrize(
    ("name", "content", "kind", "holds"),
    [
        ("a.jsonl", b"", SourceKind.JSONL, None),
        ("a.json.xz", lzma.compress(b"{}"), SourceKind.JSONL, None),
        ("a.parquet", b"PAR1", SourceKind.PARQUET, None),
        ("a.txt", b"PAR1\x00\x01", SourceKind.PARQUET, "Parquet"),
        ("wiki_00", b'\n<doc id="1" url="u" title="T">', SourceKind.WIKIEXTRACTOR, None),
        ("wiki_00.bz2", bz2.compress(b'{"id": "1", "text": ""}'), SourceKind.JSONL, None),
        ("dump.xml.bz2", bz2.compress(b"\xef\xbb\xbf<mediawiki xmlns="), SourceKind.WIKI_XML, None),
        ("dump.xml", b'<?xml version="1.0"?>\n<!-- a -->\n<mediawiki xmlns=', SourceKind.WIKI_XML, None),
        ("other.xml", b"<feed><entry>words</entry></feed>", SourceKind.TEXT, None),
        ("simple.train", b"some text. = = = Title = = = more", SourceKind.HEADINGS, None),
        (
            "wiki_00",
            b'{"id": "1", "revid": "2", "url": "u", "title": "A", "text": "A"}',
            SourceKind.WIKIEXTRACTOR,
            None,
        ),
        ("wiki.train.tokens", b" \n = Title = \n \n Text @-@ text . \n", SourceKind.WIKITEXT103, None),
        ("wiki.part2.txt", b" rest of an article . \n = = Section = = \n", SourceKind.WIKITEXT103, None),
        ("novel.txt", b"Once upon a time, 3 = 2 + 1.", SourceKind.TEXT, None),
        ("novel.txt", b"[Illustration: a mill]\n\nOnce upon a time.", SourceKind.TEXT, None),
        ("novel.txt", b"{curly} words and\n[brackets], too", SourceKind.TEXT, None),
        ("empty", b"", SourceKind.TEXT, None),
        ("a.txt", f"{_RECORD}\n{_RECORD}\n".encode(), SourceKind.JSONL, "JSON lines"),
        ("a.json", f"{_RECORD}\n{_RECORD}\n".encode("utf-16"), SourceKind.JSONL, None),
        ("a.jsonl", b'{"torn": \n' + f"{_RECORD}\n".encode(), SourceKind.JSONL, None),
        ("a.jsonl", f"{_RECORD}\r{_RECORD}\r".encode(), SourceKind.JSONL, None),
        ("a.json", f'{_RECORD}\n{{\n  "text": "one"\n}}\n'.encode(), SourceKind.JSON, None),
        ("a.json", _RECORD.encode() * 5000, SourceKind.JSON, None),
        ("a.json", _ARRAY.encode(), SourceKind.JSON, None),
        ("a.json.zst", zstandard.compress(_ARRAY.encode()), SourceKind.JSON, None),
        ("a.json", b'"The old mill stands."\n"The \\"water\\" runs."\n', SourceKind.JSON, None),
        ("a.jsonl", b'"The old mill stands."', SourceKind.JSON, "records of JSON"),
        ("a.txt", b'"Come in," he said.\n"No."\n', SourceKind.TEXT, None),
        ("a.jsonl", f"\n [ {_RECORD}".encode(), SourceKind.JSON, "records of JSON"),
        ("a.csv", b'["A text.", "Another."]', SourceKind.JSON, "records of JSON"),
        ("a", json.dumps(json.loads(_RECORD), indent=2).encode() * 2, SourceKind.JSON, None),
        ("a.json", json.dumps({"data": json.loads(_ARRAY)}).encode(), SourceKind.JSON, None),
        ("a.json", json.dumps({"data": json.loads(_ARRAY) * 2000}).encode(), SourceKind.JSON, None),
        ("a.json", b'{"id": {"0": 1}, "text": {"0": "The old mill stands."}}', SourceKind.JSON, None),
        ("a.parquet", b"<html>404 not found</html>", SourceKind.TEXT, "text"),
        ("a.arrow", b"", SourceKind.ARROW, None),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", SourceKind.TEXT, "text"),
        ("a.csv", _TABLE.encode(), SourceKind.CSV, None),
        ("a.csv", b"words", SourceKind.CSV, None),
        ("a.tsv.gz", gzip.compress(_TABLE.replace(",", "\t").encode(), mtime=0), SourceKind.TSV, None),
        ("a.txt", _TABLE.replace(",", ";").encode("utf-16"), SourceKind.CSV, "a table"),
        ("a.txt", b"The text, in one line,\nand the next, and more.\n", SourceKind.TEXT, None),
        ("a.csv", f"{_RECORD}\n".encode(), SourceKind.JSONL, "JSON lines"),
    ],
)
def test_a_file_tells_its_kind_and_its_name_only_where_it_does_not(
    tmp_path: Path, name: str, content: bytes, kind: SourceKind, holds: str | None
) -> None:
    (tmp_path / name).write_bytes(content)
    notes: list[str] = []
    (source,) = find_sources([str(tmp_path / name)], note=notes.append)
    assert source.kind is kind
    assert (
        notes == []
        if holds is None
        else [f"{tmp_path / name}: holds {holds}, whatever"] == [note.split(" its name")[0] for note in notes]
    )


def test_many_files_of_another_kind_than_their_names_are_one_line(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text(_RECORD)
    notes: list[str] = []
    find_sources([str(tmp_path)], note=notes.append)
    assert len(notes) == 1 and f"{tmp_path}/0.txt (and 4 more): holds JSON lines" in notes[0]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_the_first_bytes_decide_how_a_file_is_unpacked(
    tmp_path: Path, compress: Callable[[bytes], bytes], suffix: str
) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(compress("Über den Fluss.".encode()))
    notes: list[str] = []
    (source,) = find_sources([str(path)], note=notes.append)
    with source.open(path) as streams:
        assert next(streams).content.read().decode() == "Über den Fluss."
    named = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}
    assert len(notes) == (named[suffix] is not compress)
    make_tar(path, {"b.txt": b"The mill stands."}, compress=compress)
    (source,) = find_sources([str(path)])
    assert source.members == frozenset(["b.txt"])


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".tgz"])
def test_an_archive_with_a_damaged_beginning_is_an_error(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"\x00\x01\x02" * 200)
    with pytest.raises(CorpusError, match=f"a{suffix}: is damaged, or no {suffix} file, by its first bytes; fetch"):
        find_sources([str(tmp_path / f"a{suffix}")])


def test_the_widest_window_of_zstandard_is_read(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=31)
    packed = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(packed, closefd=False) as writer:
        writer.write(b"The mill stands.")
    (tmp_path / "a.txt.zst").write_bytes(packed.getvalue())
    (source,) = find_sources([str(tmp_path / "a.txt.zst")])
    with source.open(source.files[0]) as streams:
        assert next(streams).content.read() == b"The mill stands."


def test_a_folder_of_several_kinds_is_several_sources_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b.jsonl", "a.txt", "deep/c.txt", ".hidden.txt", ".git/d.txt"):
        (tmp_path / name).write_text("words")
    found = {source.kind: [file.name for file in source.files] for source in find_sources([str(tmp_path)])}
    assert found == {SourceKind.TEXT: ["a.txt", "c.txt"], SourceKind.JSONL: ["b.jsonl"]}


def test_files_of_one_folder_that_are_taken_for_several_kinds_are_named(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text("words")
    assert mixed_kinds_lines(find_sources([str(tmp_path)])) == []
    (tmp_path / "simple.txt").write_text("= = = Title = = = words")
    (line,) = mixed_kinds_lines(find_sources([str(tmp_path)]))
    assert line == (
        f"{tmp_path}: its files are read as several kinds: 5 files as text (0.txt, 1.txt, 2.txt, ...), 1 file as "
        f"headings (simple.txt); KIND:{tmp_path} reads all as one kind"
    )
    assert mixed_kinds_lines(find_sources([f"text:{tmp_path}"])) == []


def test_globs_find_files_and_a_named_kind_is_believed(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.md"):
        (tmp_path / name).write_text("words")
    (source,) = find_sources([f"text-blocks:{tmp_path}/*.txt"])
    assert source.kind is SourceKind.TEXT_BLOCKS
    assert [file.name for file in source.files] == ["a.txt", "b.txt"]


def test_a_file_found_by_two_sources_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    for names in ([str(tmp_path / "a.txt")] * 2, [f"{tmp_path}/a.txt", f"text:{tmp_path}/link.txt"]):
        with pytest.raises(CorpusError, match=r"(a|link)\.txt: given twice"):
            find_sources(names)


def test_a_source_given_twice_is_refused_whichever_way(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "link.txt").symlink_to("a.txt")
    with pytest.raises(CorpusError, match=r"a\.txt: given twice, by .* \(1\) and by .* \(1\); leave one out"):
        find_sources([str(tmp_path)])
    with pytest.raises(
        CorpusError, match=r"hf:some/set:en: given twice, by some/set:en \(1\) and by some/set:en \(2\)"
    ):
        find_sources(["hf:some/set:en", "hf:some/set:en"])
    find_sources(["hf:some/set:en", "hf:some/set:de"])


def test_a_folder_saved_by_datasets_is_read_with_its_train_split(tmp_path: Path) -> None:
    texts = [f"The mill number {number} stands by the river." for number in range(20)]
    saved = datasets.Dataset.from_dict({"text": texts})
    saved.save_to_disk(tmp_path / "plain", num_shards=3)
    # What `map` leaves next to the data is not part of it.
    (tmp_path / "plain" / "cache-1.arrow").write_bytes((tmp_path / "plain" / "data-00000-of-00003.arrow").read_bytes())
    datasets.DatasetDict(train=saved, test=saved.select(range(2))).save_to_disk(tmp_path / "splits")
    (tmp_path / "plain").rename(tmp_path / "run:3")
    for name in ("run:3", "splits"):
        (source,) = find_sources([str(tmp_path / name)])
        assert source.kind is SourceKind.HF
        reader = make_reader(source, ReadingOptions())
        with source.open(None) as streams:
            blocks = list(reader.blocks(next(streams).content, block_bytes=100))
        assert readings_of(reader, blocks) == texts


def test_a_configuration_is_what_follows_a_folders_name(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"
    folder.mkdir()
    assert split_config(str(folder)) == (str(folder), None)
    assert split_config(f"{folder}:en") == (str(folder), "en")
    assert split_config("some/set:en") == ("some/set", "en")
    assert split_config("some/set") == ("some/set", None)


def test_the_files_of_a_folder_read_through_datasets_are_watched(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "train.jsonl").write_text("{}")
    (source,) = find_sources([f"hf:{tmp_path}"])
    assert not source.files and source.watched_files == (tmp_path / "x" / "train.jsonl",)
    (elsewhere,) = find_sources(["hf:some/set"])
    assert elsewhere.watched_files == ()


def test_links_in_a_folder_are_followed_and_broken_ones_are_errors(tmp_path: Path) -> None:
    corpus, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    corpus.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a.txt").write_text("words")
    (corpus / "linked").symlink_to(elsewhere)
    (source,) = find_sources([str(corpus)])
    assert source.files == (corpus / "linked" / "a.txt",)
    (elsewhere / "b.txt").symlink_to("nowhere")
    with pytest.raises(CorpusError, match=r"b\.txt: not a file, or a broken link"):
        find_sources([str(corpus)])
    (elsewhere / "b.txt").unlink()
    (elsewhere / "round").symlink_to(corpus)
    with pytest.raises(CorpusError, match="linked/round: given twice, since a link leads to .*corpus; remove"):
        find_sources([str(corpus)])


def test_what_a_glob_matches_is_read_named_or_refused(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    for name in ("1.txt", "a/2.txt", "a/b/3.txt"):
        (tmp_path / name).write_text("words")
    notes: list[str] = []
    (source,) = find_sources([f"{tmp_path}/*"], note=notes.append)
    assert [file.name for file in source.files] == ["1.txt"]
    assert notes == [
        f"{tmp_path}/*: matches the folder a (and 1 more folder), which is not read; ** matches what is below folders"
    ]
    notes.clear()
    (tmp_path / "c").rmdir()
    (source,) = find_sources([f"{tmp_path}/**"], note=notes.append)
    assert ([file.name for file in source.files], notes) == (["1.txt", "2.txt", "3.txt"], [])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorpusError, match="pipe: not a file, or a broken link; remove it"):
        find_sources([f"{tmp_path}/*"])
    for name in (f"{tmp_path}/pipe", f"text:{tmp_path}/pipe", "/dev/null"):
        with pytest.raises(CorpusError, match="is a pipe or a device, which cannot be read twice; write it to a file"):
            find_sources([name])


def make_tar(path: Path, files: dict[str, bytes], *, compress: Callable[[bytes], bytes]) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, member in files.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(member)
            tar.addfile(facts, io.BytesIO(member))
    path.write_bytes(compress(content.getvalue()))


def make_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("x")
        for name, member in files.items():
            archive.writestr(name, member)


def test_a_zip_that_is_encrypted_or_damaged_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    make_zip(path, {"a.txt": b"The mill stands. " * 20, "b.txt": b"The water runs."})
    content = path.read_bytes()
    entry, encrypted = b"PK\x01\x02\x14\x03\x14\x00", b"\x01"
    path.write_bytes(content.replace(entry + b"\x00", entry + encrypted))
    with pytest.raises(CorpusError, match=r"a\.zip/a\.txt: cannot unpack: .*password.*; unpack the archive"):
        find_sources([str(path)])
    begin = content.index(b"a.txt") + len(b"a.txt") + 4
    path.write_bytes(content[:begin] + b"xx" + content[begin + 2 :])
    (source,) = find_sources([f"text:{path}"])
    with pytest.raises(CorpusError, match=r"a\.zip: the archive is damaged"), source.open(path) as streams:
        [stream.content.read() for stream in streams]


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".tar", bytes),
        (".tar.xz", lzma.compress),
        (".tgz", gzip.compress),
        (".tar.zst", zstandard.compress),
        (".zip", None),
    ],
)
def test_the_files_of_an_archive_are_read_each_by_its_kind(
    tmp_path: Path, vocab: Path, suffix: str, compress: Callable[[bytes], bytes] | None
) -> None:
    texts = [made_up_text(number, sentences=4) for number in range(20)]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts[:15]).encode()
    files = {"x/lines.jsonl.bz2": bz2.compress(lines), "x/.hidden": b"hidden words", "__MACOSX/a.txt": b"\0\0"}
    files |= {f"../x/{number}.txt": text.encode() for number, text in enumerate(texts[15:])}
    path = tmp_path / f"corpus{suffix}"
    if compress is None:
        make_zip(path, files)
    else:
        make_tar(path, files, compress=compress)
    options = PrepareOptions(vocab=str(vocab))
    manifest = prepare([str(path)], out=tmp_path / "set", options=options, processes=1)
    assert {source.kind: source.kept.documents for source in manifest.sources} == {"jsonl": 15, "text": 5}
    with pytest.raises(CorpusError, match="given twice"):
        find_sources([str(path), f"text:{path}"])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorpusError, match=f"{path}: the archive (ends too early|is damaged)"):
        prepare([str(path)], out=tmp_path / "cut", options=options, processes=1)


def test_an_unreadable_name_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="name a source KIND:PATH, with KIND one of text, text-blocks"):
        find_sources([str(tmp_path / "nothing")])


def test_saved_splits_without_one_for_training_are_refused(tmp_path: Path) -> None:
    datasets.DatasetDict(test=datasets.Dataset.from_dict({"text": ["The mill."]})).save_to_disk(tmp_path / "splits")
    (source,) = find_sources([str(tmp_path / "splits")])
    with pytest.raises(CorpusError, match="no split 'train'; it has test: name one's folder"):
        list(make_reader(source, ReadingOptions()).blocks(io.BytesIO(), block_bytes=100))
