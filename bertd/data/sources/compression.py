"""Decompress a stream of bytes: plain, .gz, .bz2, .xz or .zst.

The first bytes decide, not the name: browsers unpack what they download and keep its name. A file may be several
compressed streams, one after the other, with zeros after them, which some tools append. Anything else after the end of
a stream is an error: Python's own readers of .bz2 and .xz drop it without a word, and it may be the rest of the text.
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePath
from typing import Any, BinaryIO, Protocol, cast

from bertd.errors import CorpusError

_PIECE_BYTES = 1 << 14
"""Compressed bytes unpacked at once; small, since zstandard unpacks them to any multiple of their size."""
_UNPACKED_BYTES = 1 << 17
"""Bytes that the others unpack at once."""
_MAX_BYTES_SHOWN = 16
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
    return _suffix_of(cast(io.BufferedReader, raw).peek(_MAGIC_LENGTH))


def _suffix_of(head: bytes) -> str | None:
    return next((suffix for suffix, magic in _MAGIC_BYTES if magic.match(head)), None)


def open_decompressed(raw: BinaryIO, *, name: str) -> BinaryIO:
    """A stream of the decompressed bytes.

    Args:
        name: of the file, with its suffix.

    Raises:
        CorpusError: its name promises a compression, and its first bytes are neither that nor text.
    """
    stream: Any = raw
    suffix = find_compression(raw)
    if suffix is not None:
        make_decompressor = _zstd_decompressors(name) if suffix == ".zst" else _DECOMPRESSORS[suffix]
        unpacked = _UnpackedStream(raw, name=name, suffix=suffix, make_decompressor=make_decompressor)
        stream = io.BufferedReader(unpacked, buffer_size=_UNPACKED_BYTES)
    else:
        named = PurePath(name).suffix
        head = cast(io.BufferedReader, raw).peek(TAR_HEAD_LENGTH)
        if head and SHORT_SUFFIXES.get(named, named) in COMPRESSION_SUFFIXES and not _may_be_unpacked(head):
            raise CorpusError(f"{name}: is damaged, or no {named} file, by its first bytes; fetch it again")
    with suppress(AttributeError):
        # Those without a name of their own get the file's, for messages.
        stream.name = name
    return cast(BinaryIO, stream)


def is_tar_head(head: bytes) -> bool:
    """Whether a file that begins so is a tar; those of before 1988 have no mark."""
    return head[_TAR_MARK_OFFSET:TAR_HEAD_LENGTH] == _TAR_MARK


def _may_be_unpacked(head: bytes) -> bool:
    return is_tar_head(head) or not any(code < 0x20 and code not in b"\t\n\f\r" for code in head)


class _Decompressor(Protocol):
    """One compressed stream, as bz2 and lzma have it."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether it has given all that it was fed."""

    @property
    def unused_data(self) -> bytes:
        """What was fed beyond the end of the stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Feed bytes; returns up to `max_length` unpacked ones."""


class _GzipDecompressor:
    """zlib's object, with its checksums."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail or data, max(0, max_length))


class _ZstdDecompressor:
    """One frame; the library gives all that it was fed at once."""

    needs_input = True

    def __init__(self, library: Any) -> None:
        self._library = library
        self._frame = library.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        try:
            return bytes(self._frame.decompress(data))
        except self._library.ZstdError as error:
            raise zlib.error(str(error)) from error


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    ".gz": _GzipDecompressor,
    ".bz2": bz2.BZ2Decompressor,
    ".xz": lzma.LZMADecompressor,
}


def _zstd_decompressors(name: str) -> Callable[[], _Decompressor]:
    try:
        import zstandard
    except ImportError as error:
        raise CorpusError(f"{name}: .zst needs the package zstandard; pip install zstandard") from error
    return lambda: _ZstdDecompressor(zstandard)


class _UnpackedStream(io.RawIOBase):
    """The content of all compressed streams of a file."""

    def __init__(
        self, raw: BinaryIO, *, name: str, suffix: str, make_decompressor: Callable[[], _Decompressor]
    ) -> None:
        self.name = name
        self._raw = raw
        self._suffix = suffix
        self._make_decompressor = make_decompressor
        self._decompressor: _Decompressor | None = make_decompressor()
        """None at the end of the file."""
        self._held = b""
        """Compressed bytes that were read and not fed."""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and self._decompressor is not None:
            self._ready = memoryview(self._unpack_next(self._decompressor))
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _unpack_next(self, decompressor: _Decompressor) -> bytes:
        """Some more of the content; empty where a stream ends.

        Raises:
            EOFError: the file ends within a stream.
            CorpusError: something else follows a stream.
        """
        piece = b""
        if decompressor.needs_input:
            piece, self._held = self._held or self._raw.read(_PIECE_BYTES), b""
        content = decompressor.decompress(piece, _UNPACKED_BYTES)
        if decompressor.eof:
            self._decompressor = self._begin_next(decompressor.unused_data)
        elif decompressor.needs_input and not piece and not content:
            raise EOFError
        return content

    def _begin_next(self, rest: bytes) -> _Decompressor | None:
        """The decompressor of the next stream, which begins in `rest`, or None at the end of the file.

        Raises:
            CorpusError: something else follows.
        """
        while len(rest := rest.lstrip(b"\x00")) < _MAGIC_LENGTH and (piece := self._raw.read(_PIECE_BYTES)):
            rest += piece
        if not rest:
            return None
        if _suffix_of(rest) != self._suffix:
            end = self._raw.tell() - len(rest)
            raise CorpusError(
                f"{self.name}: from byte {end:,} on it is not compressed data ({rest[:_MAX_BYTES_SHOWN]!r}); fetch it "
                f"again, or, if that part is no text, cut it off with head -c {end}"
            )
        self._held = rest
        return self._make_decompressor()
