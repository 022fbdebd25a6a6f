"""Source files as they lie on the disk: plain, .gz, .bz2, .xz or .zst, read as a stream of bytes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from bertd.errors import CorpusError

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
    return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
