"""Read source files as streams of bytes: plain, .gz, .bz2, .xz, .zst, or a tar of such files.

The first bytes decide, not the name: browsers unpack what they download and keep its name, and a tar may be named after
its compression alone.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast

from bertd.errors import CorpusError

_ZSTD_PIECE_BYTES = 1 << 14
"""Compressed bytes unpacked at once; small, since they may unpack to a multiple of their size."""
_ZSTD_WINDOW_BYTES = 1 << 31
"""Window of `zstd --long=31`, the largest that there is; only as much of it is used as the file needs."""

COMPRESSION_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
_TAR_SUFFIXES = (".tar", ".tgz", ".tbz2", ".txz")
_SHORT_SUFFIXES = {".tgz": ".gz", ".tbz2": ".bz2", ".txz": ".xz"}
_MAGIC_BYTES = (
    (".gz", re.compile(rb"\x1f\x8b\x08")),
    (".bz2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")),
    (".xz", re.compile(rb"\xfd7zXZ\x00")),
    # A frame, or one that is to be skipped.
    (".zst", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")),
)
_MAGIC_LENGTH = 10
_TAR_MARK, _TAR_MARK_OFFSET = b"ustar", 257
_TAR_HEAD_LENGTH = _TAR_MARK_OFFSET + len(_TAR_MARK)


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
    """Whether a file is a tar, compressed or not: by its content, or by its name if it has no mark, as old ones.

    Raises:
        CorpusError: it cannot be read.
    """
    if PurePath(strip_compression_suffix(path.name)).suffix in _TAR_SUFFIXES:
        return True
    with _errors_of(path), path.open("rb") as raw, _open_decompressed(raw, name=str(path)) as content:
        return _is_tar_head(content.read(_TAR_HEAD_LENGTH))


def describe_misnamed(path: Path) -> str | None:
    """A line for a file whose name says another compression than its first bytes.

    Raises:
        CorpusError: it cannot be read.
    """
    with _errors_of(path), path.open("rb") as raw:
        found = _find_compression(raw)
    named = PurePath(path.name).suffix
    named = _SHORT_SUFFIXES.get(named, named)
    if found == named or (found is None and (named not in COMPRESSION_SUFFIXES or not path.stat().st_size)):
        return None
    what = f"compressed as {found}" if found else "not compressed"
    return f"{path}: is {what}, whatever its name says, and read so"


@contextmanager
def open_source(path: Path, *, members: frozenset[str] | None = None) -> Iterator[Iterator[SourceStream]]:
    """Open a file for reading: one stream, or one for each file in a tar.

    Args:
        members: files of a tar to read; None for all that are not hidden.

    Raises:
        CorpusError: it cannot be opened or read, or its archive is damaged or ends too early.
    """
    with _errors_of(path), path.open("rb") as raw, _open_decompressed(raw, name=str(path)) as content:
        if is_tar(path):
            yield _open_members(content, raw=raw, path=path, members=members)
        else:
            yield iter([SourceStream(name=str(path), raw=raw, content=content)])


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise CorpusError(f"{path}: the archive ends too early; the copy is incomplete: fetch it again") from error
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise CorpusError(f"{path}: the archive is damaged: {error}; fetch it again") from error
    except OSError as error:
        if error.errno is None:
            # bz2 has no error of its own.
            raise CorpusError(f"{path}: the archive is damaged: {error}; fetch it again") from error
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
            name = f"{path}/{member.name}"
            with _open_decompressed(file, name=name) as stream:
                content_once = io.BufferedReader(_ForwardStream(stream, name=name))
                yield SourceStream(name=name, raw=raw, content=content_once)


class _ForwardStream(io.RawIOBase):
    """A file inside a tar, which is read once, from its beginning; tarfile's own fails when asked if it can seek."""

    def __init__(self, stream: BinaryIO, *, name: str) -> None:
        self.name = name
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def is_hidden(name: str) -> bool:
    """Whether a path below a folder, or in a tar, has a part that begins with a dot."""
    return any(part.startswith(".") for part in PurePath(name).parts)


def _find_compression(raw: BinaryIO) -> str | None:
    head = cast(io.BufferedReader, raw).peek(_MAGIC_LENGTH)
    return next((suffix for suffix, magic in _MAGIC_BYTES if magic.match(head)), None)


def _open_decompressed(raw: BinaryIO, *, name: str) -> BinaryIO:
    stream: Any
    match _find_compression(raw):
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
            head = cast(io.BufferedReader, raw).peek(_TAR_HEAD_LENGTH)
            if head and _SHORT_SUFFIXES.get(suffix, suffix) in COMPRESSION_SUFFIXES and not _may_be_unpacked(head):
                raise CorpusError(f"{name}: is damaged, or no {suffix} file, by its first bytes; fetch it again")
            stream = raw
    with suppress(AttributeError):
        # Those without a name of their own get the file's, for messages.
        stream.name = name
    return cast(BinaryIO, stream)


def _is_tar_head(head: bytes) -> bool:
    return head[_TAR_MARK_OFFSET:_TAR_HEAD_LENGTH] == _TAR_MARK


def _may_be_unpacked(head: bytes) -> bool:
    return _is_tar_head(head) or not any(code < 0x20 and code not in b"\t\n\f\r" for code in head)


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
