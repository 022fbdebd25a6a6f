"""Source files as they lie on the disk: plain, .gz, .bz2, .xz or .zst, read as a stream of bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from bertd.errors import CorpusError

_ZSTD_PIECE_BYTES = 1 << 14
"""Compressed bytes unpacked at once, since what becomes of them has no bound of its own."""

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class SourceStream:
    """A file being read."""

    raw: BinaryIO
    """Bytes as they lie on the disk; its position is the progress."""
    content: BinaryIO
    """Bytes decompressed."""


def plain_name(path: Path) -> str:
    """The file's name without the ending of its compression."""
    return path.stem if path.suffix in COMPRESSED else path.name


@contextmanager
def open_source(path: Path) -> Iterator[SourceStream]:
    """Open a file for reading.

    Raises:
        CorpusError: it cannot be opened or read, or its archive is damaged or ends too early.
    """
    try:
        with path.open("rb") as raw, _decompressed(raw, path=path) as content:
            yield SourceStream(raw=raw, content=content)
    except EOFError as error:
        raise CorpusError(f"{path}: the archive ends too early; it was not copied whole: fetch it again") from error
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path}: the archive is damaged: {error}; fetch it again") from error
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot read: {error.strerror or error}; check the file and its permissions"
        ) from error


def _decompressed(raw: BinaryIO, *, path: Path) -> BinaryIO:
    match path.suffix:
        case ".gz":
            return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
        case ".bz2":
            return cast(BinaryIO, bz2.BZ2File(raw))
        case ".xz":
            return cast(BinaryIO, lzma.LZMAFile(raw))
        case ".zst":
            return _zstd(raw, path=path)
        case _:
            return raw


def _zstd(raw: BinaryIO, *, path: Path) -> BinaryIO:
    try:
        import zstandard
    except ImportError as error:
        raise CorpusError(f"{path}: .zst needs the package zstandard; pip install 'bertd[corpora]'") from error
    return io.BufferedReader(_ZstdStream(raw, library=zstandard), buffer_size=1 << 17)


class _ZstdStream(io.RawIOBase):
    """Frames one after the other; unlike zstandard's own reader, it tells an end in the middle of one."""

    def __init__(self, raw: BinaryIO, *, library: Any) -> None:
        self._raw = raw
        self._library = library
        self._frame = library.ZstdDecompressor().decompressobj()
        self._is_between = True
        self._compressed = b""
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            self._compressed = self._compressed or self._raw.read(_ZSTD_PIECE_BYTES)
            if not self._compressed:
                if not self._is_between:
                    raise EOFError
                return 0
            self._step()
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _step(self) -> None:
        try:
            self._ready = self._frame.decompress(self._compressed)
        except self._library.ZstdError as error:
            raise zlib.error(str(error)) from error
        self._is_between = self._frame.eof
        self._compressed = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = self._library.ZstdDecompressor().decompressobj()
