"""Read source files as streams of bytes: plain, .gz, .bz2, .xz, .zst, or a tar of such files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast

from bertd.errors import CorpusError

_ZSTD_PIECE_BYTES = 1 << 14
"""Compressed bytes unpacked at once; small, since they may unpack to a multiple of their size."""

COMPRESSION_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
_TAR_SUFFIXES = (".tar", ".tgz", ".tbz2", ".txz")
_SHORT_SUFFIXES = {".tgz": ".gz", ".tbz2": ".bz2", ".txz": ".xz"}


@dataclass(frozen=True)
class SourceStream:
    """A file being read, or a file inside a tar."""

    name: str
    """Name in messages."""
    raw: BinaryIO
    """Bytes as on disk, compressed or not; its position is the progress."""
    content: BinaryIO
    """Decompressed bytes."""


def strip_compression_suffix(name: str) -> str:
    """A file's name without its compression suffix."""
    path = PurePath(name)
    return path.stem if path.suffix in COMPRESSION_SUFFIXES else path.name


def is_tar(path: Path) -> bool:
    """Whether a file is a tar, compressed or not, by its name."""
    return PurePath(strip_compression_suffix(path.name)).suffix in _TAR_SUFFIXES


@contextmanager
def open_source(path: Path, *, members: frozenset[str] | None = None) -> Iterator[Iterator[SourceStream]]:
    """Open a file for reading: one stream, or one for each file in a tar.

    Args:
        members: files of a tar to read; None for all that are not hidden.

    Raises:
        CorpusError: it cannot be opened or read, or its archive is damaged or ends too early.
    """
    try:
        with path.open("rb") as raw, _open_decompressed(raw, name=path.name) as content:
            if is_tar(path):
                yield _open_members(content, raw=raw, path=path, members=members)
            else:
                yield iter([SourceStream(name=str(path), raw=raw, content=content)])
    except EOFError as error:
        raise CorpusError(f"{path}: the archive ends too early; the copy is incomplete: fetch it again") from error
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise CorpusError(f"{path}: the archive is damaged: {error}; fetch it again") from error
    except OSError as error:
        reason = error.strerror or error
        raise CorpusError(f"{path}: cannot read: {reason}; check the file and its permissions") from error


def _open_members(
    content: BinaryIO, *, raw: BinaryIO, path: Path, members: frozenset[str] | None
) -> Iterator[SourceStream]:
    with tarfile.open(fileobj=content, mode="r|") as tar:
        for member in tar:
            if not member.isfile() or (member.name not in members if members is not None else is_hidden(member.name)):
                continue
            file = cast(BinaryIO, tar.extractfile(member))
            with _open_decompressed(file, name=member.name) as stream:
                yield SourceStream(name=f"{path}/{member.name}", raw=raw, content=stream)


def is_hidden(name: str) -> bool:
    """Whether a path below a folder, or in a tar, has a part that begins with a dot."""
    return any(part.startswith(".") for part in PurePath(name).parts)


def _open_decompressed(raw: BinaryIO, *, name: str) -> BinaryIO:
    suffix = PurePath(name).suffix
    match _SHORT_SUFFIXES.get(suffix, suffix):
        case ".gz":
            return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
        case ".bz2":
            return cast(BinaryIO, bz2.BZ2File(raw))
        case ".xz":
            return cast(BinaryIO, lzma.LZMAFile(raw))
        case ".zst":
            return _open_zstd(raw, name=name)
        case _:
            return raw


def _open_zstd(raw: BinaryIO, *, name: str) -> BinaryIO:
    try:
        import zstandard
    except ImportError as error:
        raise CorpusError(f"{name}: .zst needs the package zstandard; pip install zstandard") from error
    return io.BufferedReader(_ZstdStream(raw, library=zstandard), buffer_size=1 << 17)


class _ZstdStream(io.RawIOBase):
    """Reads frame after frame; unlike zstandard's own reader, it detects an end in the middle of a frame."""

    def __init__(self, raw: BinaryIO, *, library: Any) -> None:
        self._raw = raw
        self._library = library
        self._frame = library.ZstdDecompressor().decompressobj()
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
            self._frame = self._library.ZstdDecompressor().decompressobj()
