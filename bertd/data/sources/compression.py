"""Decompress a stream of bytes: plain, .gz, .bz2, .xz or .zst.

The first bytes decide, not the name: browsers unpack what they download and keep its name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from contextlib import suppress
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from bertd.errors import CorpusError

_ZSTD_PIECE_BYTES = 1 << 14
"""Compressed bytes unpacked at once; small, since they may unpack to a multiple of their size."""
_ZSTD_WINDOW_BYTES = 1 << 31
"""Window of `zstd --long=31`, the largest that there is; only as much of it is used as the file needs."""

COMPRESSION_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
SHORT_SUFFIXES = {".tgz": ".gz", ".tbz2": ".bz2", ".txz": ".xz"}
_MAGIC_BYTES = (
    (".gz", re.compile(rb"\x1f\x8b\x08")),
    (".bz2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")),
    (".xz", re.compile(rb"\xfd7zXZ\x00")),
    # A frame, or one that is to be skipped.
    (".zst", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")),
)
_MAGIC_LENGTH = 10
_TAR_MARK, _TAR_MARK_OFFSET = b"ustar", 257
TAR_HEAD_LENGTH = _TAR_MARK_OFFSET + len(_TAR_MARK)


def strip_compression_suffix(name: str) -> str:
    """A file's name without its compression suffix."""
    path = PurePath(name)
    return path.stem if path.suffix.lower() in COMPRESSION_SUFFIXES else path.name


def find_compression(raw: BinaryIO) -> str | None:
    """The suffix of the compression that a stream's first bytes show; None for none that is known."""
    head = cast(io.BufferedReader, raw).peek(_MAGIC_LENGTH)
    return next((suffix for suffix, magic in _MAGIC_BYTES if magic.match(head)), None)


def open_decompressed(raw: BinaryIO, *, name: str) -> BinaryIO:
    """A stream of the decompressed bytes.

    Args:
        name: of the file, with its suffix.

    Raises:
        CorpusError: its name promises a compression, and its first bytes are neither that nor text.
    """
    stream: Any
    match find_compression(raw):
        case ".gz":
            stream = gzip.GzipFile(fileobj=raw, mode="rb")
        case ".bz2":
            stream = bz2.BZ2File(raw)
        case ".xz":
            stream = lzma.LZMAFile(raw)  # noqa: SIM115 - closed by the caller
        case ".zst":
            stream = _open_zstd(raw, name=name)
        case _:
            suffix = PurePath(name).suffix
            head = cast(io.BufferedReader, raw).peek(TAR_HEAD_LENGTH)
            if head and SHORT_SUFFIXES.get(suffix, suffix) in COMPRESSION_SUFFIXES and not _may_be_unpacked(head):
                raise CorpusError(f"{name}: is damaged, or no {suffix} file, by its first bytes; fetch it again")
            stream = raw
    with suppress(AttributeError):
        # Those without a name of their own get the file's, for messages.
        stream.name = name
    return cast(BinaryIO, stream)


def is_tar_head(head: bytes) -> bool:
    """Whether a file that begins so is a tar; those of before 1988 have no mark."""
    return head[_TAR_MARK_OFFSET:TAR_HEAD_LENGTH] == _TAR_MARK


def _may_be_unpacked(head: bytes) -> bool:
    return is_tar_head(head) or not any(code < 0x20 and code not in b"\t\n\f\r" for code in head)


def _open_zstd(raw: BinaryIO, *, name: str) -> BinaryIO:
    try:
        import zstandard
    except ImportError as error:
        raise CorpusError(f"{name}: .zst needs the package zstandard; pip install zstandard") from error
    return io.BufferedReader(_ZstdStream(raw, name=name, library=zstandard), buffer_size=1 << 17)


class _ZstdStream(io.RawIOBase):
    """Reads frame after frame; unlike zstandard's own reader, it detects an end in the middle of a frame."""

    def __init__(self, raw: BinaryIO, *, name: str, library: Any) -> None:
        self.name = name
        self._raw = raw
        self._library = library
        self._frame = library.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
        self._is_between_frames = True
        self._compressed = b""
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            self._compressed = self._compressed or self._raw.read(_ZSTD_PIECE_BYTES)
            if not self._compressed:
                if not self._is_between_frames:
                    raise EOFError
                return 0
            self._decompress_next()
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _decompress_next(self) -> None:
        try:
            self._ready = self._frame.decompress(self._compressed)
        except self._library.ZstdError as error:
            raise zlib.error(str(error)) from error
        self._is_between_frames = self._frame.eof
        self._compressed = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = self._library.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
