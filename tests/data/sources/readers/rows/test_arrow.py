"""Arrow's files: streams as `datasets` writes them, and Feather, plain, in a glob and in a tar."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import datasets
import pyarrow
import pyarrow.feather
import pytest

from bertd.data.sources.kinds import SourceKind
from bertd.data.sources.readers.document import SkipReason
from bertd.data.sources.readers.rows.arrow import ArrowTable, is_arrow
from bertd.data.sources.spec import ReadingOptions, find_sources, make_reader
from bertd.errors import CorpusError
from tests.data.sources.readers.checked import Reading, readings_of

_TEXTS = ["one\ntwo", None, "", *(f"text {number}" for number in range(1500))]
_READ: list[Reading] = ["one\ntwo", SkipReason.NO_FIELD, "", *(f"text {number}" for number in range(1500))]


def _write(path: Path, *, is_stream: bool) -> Path:
    table = pyarrow.table({"id": list(range(len(_TEXTS))), "text": _TEXTS})
    if not is_stream:
        pyarrow.feather.write_feather(table, str(path))
        return path
    datasets.Dataset(table).save_to_disk(path.parent / "saved")
    return (path.parent / "saved" / "data-00000-of-00001.arrow").rename(path)


def _read(name: str, *, kind: SourceKind = SourceKind.ARROW) -> list[Reading]:
    (source,) = find_sources([name])
    assert source.kind is kind
    reader = make_reader(source, ReadingOptions())
    read = []
    for file in source.files:
        with source.open(file) as streams:
            for stream in streams:
                read += readings_of(reader, list(reader.blocks(stream.content, block_bytes=1000)))
    return read


@pytest.mark.parametrize("is_stream", [True, False])
def test_an_arrow_file_is_read_by_name_in_a_glob_and_in_a_tar(tmp_path: Path, is_stream: bool) -> None:
    path = _write(tmp_path / "train.arrow", is_stream=is_stream)
    (tmp_path / "train.arrow.gz").write_bytes(gzip.compress(path.read_bytes()))
    for member in ("train.arrow", "train.arrow.gz"):
        with tarfile.open(tmp_path / f"{member}.tar", "w") as tar:
            tar.add(tmp_path / member, arcname=member)
        assert _read(f"{tmp_path}/{member}.tar") == _READ
    for name in (str(path), f"{tmp_path}/*.arrow", f"arrow:{path}"):
        assert _read(name) == _READ
    sentences = [text for text in _TEXTS if isinstance(text, str)]
    read = _read(f"arrow-sentences:{path}", kind=SourceKind.ARROW_SENTENCES)
    assert "\n".join(str(one) for one in read if isinstance(one, str)).split() == "\n".join(sentences).split()
    assert len(read) == 1 + -(-len(sentences) // 256)


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_damaged_arrow_file_and_a_column_that_is_not_text_are_one_error(tmp_path: Path, is_stream: bool) -> None:
    path = _write(tmp_path / "train.arrow", is_stream=is_stream)
    with path.open("rb") as stream, pytest.raises(CorpusError, match="'id' has int64, not text; give another"):
        list(ArrowTable(text_field="id").blocks(stream, block_bytes=1000))
    with path.open("rb") as stream, pytest.raises(CorpusError, match="no column 'body'; it has id, text: give"):
        list(ArrowTable(text_field="body").blocks(stream, block_bytes=1000))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(CorpusError, match=f"{path}: not a complete Arrow file: .*; fetch it again"):
        _read(f"arrow:{path}")


def test_other_binary_files_are_not_taken_for_arrow() -> None:
    assert not any(
        map(is_arrow, (b"", b"\xff\xff\xff\xff", b"\xff" * 8, b"PAR1\x15\x04\x15\x10", b"\xff\xfea\0b\0c\0"))
    )
