"""Compressed streams, one after the other, and what may come after them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from bertd.data.sources.archives import open_source
from bertd.errors import CorpusError

_COMPRESSIONS = [
    pytest.param(gzip.compress, ".gz", id="gz"),
    pytest.param(bz2.compress, ".bz2", id="bz2"),
    pytest.param(lzma.compress, ".xz", id="xz"),
    pytest.param(zstandard.ZstdCompressor(write_checksum=True).compress, ".zst", id="zst"),
]
_TEXT = random.Random(1).randbytes(100_000).hex().encode()


def _content_of(path: Path) -> bytes:
    with open_source(path) as streams:
        return next(streams).content.read()


@pytest.mark.parametrize(("compress", "suffix"), _COMPRESSIONS)
def test_streams_one_after_the_other_and_zeros_after_them_are_read(
    compress: Callable[[bytes], bytes], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.txt{suffix}"
    # Some are longer than a piece, many fit into one.
    texts = [_TEXT, b"", *(b"line %d\n" % number for number in range(60)), _TEXT[:40_000]]
    compressed = b"".join(map(compress, texts))
    for zeros in (0, 3, 4096, 70_000):
        path.write_bytes(compressed + bytes(zeros))
        assert _content_of(path) == b"".join(texts)
    # What unpacks to a multiple of its size is unpacked in pieces.
    path.write_bytes(compress(bytes(1_000_000)) + compress(b"end"))
    assert _content_of(path) == bytes(1_000_000) + b"end"


@pytest.mark.parametrize("rest", [b"a line", b"\x00\x00x", b"\x1f\x8b", b"BZh9 is not one", b"\xff" * 50_000])
@pytest.mark.parametrize(("compress", "suffix"), _COMPRESSIONS)
def test_anything_else_after_a_stream_is_an_error_with_its_place(
    compress: Callable[[bytes], bytes], suffix: str, rest: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"a.txt{suffix}"
    whole = compress(_TEXT)
    path.write_bytes(whole + rest)
    place = len(whole) + len(rest) - len(rest.lstrip(b"\x00"))
    with pytest.raises(CorpusError, match=rf"{path}: from byte {place:,} on .* cut it off with head -c {place}$"):
        _content_of(path)
    path.write_bytes(path.read_bytes()[:place])
    assert _content_of(path) == _TEXT


@pytest.mark.parametrize(("compress", "suffix"), _COMPRESSIONS)
def test_a_stream_that_is_cut_anywhere_is_an_error(
    compress: Callable[[bytes], bytes], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.txt{suffix}"
    whole = compress(b"first") + compress(_TEXT)
    for length in (len(whole) - 1, len(whole) - 9, len(whole) // 2, len(compress(b"first")) + 12):
        path.write_bytes(whole[:length])
        with pytest.raises(CorpusError, match=f"{path}: the archive ends too early"):
            _content_of(path)


@pytest.mark.parametrize(("compress", "suffix"), _COMPRESSIONS)
def test_a_damaged_stream_is_an_error(compress: Callable[[bytes], bytes], suffix: str, tmp_path: Path) -> None:
    content = bytearray(compress(_TEXT))
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=f"{path}: the archive is damaged"):
        _content_of(path)
