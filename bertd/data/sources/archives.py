"""Open source files for reading: a file, compressed or not, is one stream; a tar or a zip is one for each file in it.

The first bytes decide, not the name: a tar may be named after its compression alone. A zip that is one document, as
.docx, .xlsx and .epub are, is a file. Archives within archives are not opened.
"""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from bertd.data.sources.compression import (
    COMPRESSION_SUFFIXES,
    SHORT_SUFFIXES,
    TAR_HEAD_LENGTH,
    find_compression,
    is_tar_head,
    open_decompressed,
    strip_compression_suffix,
)
from bertd.data.sources.hidden_files import is_hidden
from bertd.data.sources.remote_files import SourceFile
from bertd.errors import CorpusError

_TAR_SUFFIXES = (".tar", ".tgz", ".tbz2", ".txz")
_ZIP_MAGIC = b"PK\x03\x04"
_DOCUMENT_PARTS = frozenset({"[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"})
"""Files of the formats that are a zip by themselves: Office's, EPUB and OpenDocument, Java's."""


@dataclass(frozen=True)
class SourceStream:
    """A file being read, or a file inside an archive."""

    name: str
    """Name in messages."""
    raw: BinaryIO
    """Bytes as on disk, compressed or not; its position is the progress."""
    content: BinaryIO
    """Decompressed bytes."""


def is_archive(path: SourceFile) -> bool:
    """Whether a file holds files: a zip of files, or a tar, compressed or not.

    A tar is known by its content, or by its name if it has no mark, as old ones.

    Raises:
        CorpusError: it cannot be read.
    """
    with _errors_of(path):
        if _is_zip_of_files(path):
            return True
        if PurePath(strip_compression_suffix(path.name)).suffix.lower() in _TAR_SUFFIXES:
            return True
        with path.open("rb") as raw, open_decompressed(raw, name=str(path)) as content:
            return is_tar_head(content.read(TAR_HEAD_LENGTH))


def describe_misnamed(path: SourceFile) -> str | None:
    """A line for a file whose name says another compression than its first bytes.

    Raises:
        CorpusError: it cannot be read.
    """
    with _errors_of(path), path.open("rb") as raw:
        found = find_compression(raw)
    named = PurePath(path.name).suffix.lower()
    named = SHORT_SUFFIXES.get(named, named)
    if found == named or (found is None and (named not in COMPRESSION_SUFFIXES or not path.stat().st_size)):
        return None
    what = f"compressed as {found}" if found else "not compressed"
    return f"{path}: is {what}, whatever its name says, and read so"


@contextmanager
def open_source(path: SourceFile, *, members: frozenset[str] | None = None) -> Iterator[Iterator[SourceStream]]:
    """Open a file for reading: one stream, or one for each file in an archive.

    Args:
        members: files of an archive to read; None for all that are not hidden.

    Raises:
        CorpusError: it cannot be opened or read, or its archive is damaged or ends too early.
    """
    with _errors_of(path), path.open("rb") as raw:
        if _is_zip_of_files(path):
            with zipfile.ZipFile(raw) as archive:
                yield _open_zip_members(archive, raw=raw, path=path, members=members)
            return
        with open_decompressed(raw, name=str(path)) as content:
            if is_archive(path):
                yield _open_tar_members(content, raw=raw, path=path, members=members)
            else:
                yield iter([SourceStream(name=str(path), raw=raw, content=content)])


@contextmanager
def _errors_of(path: SourceFile) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise CorpusError(f"{path}: the archive ends too early; the copy is incomplete: fetch it again") from error
    except (lzma.LZMAError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
        raise CorpusError(f"{path}: the archive is damaged: {error}; fetch it again") from error
    except OSError as error:
        if error.errno is None:
            # bz2 has no error of its own.
            raise CorpusError(f"{path}: the archive is damaged: {error}; fetch it again") from error
        reason = error.strerror or error
        raise CorpusError(f"{path}: cannot read: {reason}; check the file and its permissions") from error


def _is_zip_of_files(path: SourceFile) -> bool:
    with path.open("rb") as raw:
        if raw.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            return False
        with zipfile.ZipFile(raw) as archive:
            return _DOCUMENT_PARTS.isdisjoint(archive.namelist())


def _open_tar_members(
    content: BinaryIO, *, raw: BinaryIO, path: SourceFile, members: frozenset[str] | None
) -> Iterator[SourceStream]:
    with tarfile.open(fileobj=content, mode="r|") as tar:
        for member in tar:
            if member.isfile() and _is_wanted(member.name, members):
                file = cast(BinaryIO, tar.extractfile(member))
                yield from _open_member(file, raw=raw, name=f"{path}/{member.name}")


def _open_zip_members(
    archive: zipfile.ZipFile, *, raw: BinaryIO, path: SourceFile, members: frozenset[str] | None
) -> Iterator[SourceStream]:
    """The files of a zip.

    Raises:
        CorpusError: they are encrypted, or compressed as Python cannot read them.
    """
    for member in archive.infolist():
        if member.is_dir() or not _is_wanted(member.filename, members):
            continue
        name = f"{path}/{member.filename}"
        try:
            file = cast(BinaryIO, archive.open(member))
        except (RuntimeError, NotImplementedError) as error:
            raise CorpusError(f"{name}: cannot unpack: {error}; unpack the archive and name its folder") from error
        with file:
            yield from _open_member(file, raw=raw, name=name)


def _is_wanted(name: str, members: frozenset[str] | None) -> bool:
    return not is_hidden(name) if members is None else name in members


def _open_member(file: BinaryIO, *, raw: BinaryIO, name: str) -> Iterator[SourceStream]:
    with open_decompressed(file, name=name) as stream:
        yield SourceStream(name=name, raw=raw, content=io.BufferedReader(_ForwardStream(stream, name=name)))


class _ForwardStream(io.RawIOBase):
    """A file inside an archive, which is read once, from its beginning; tarfile's own fails when asked to seek."""

    def __init__(self, stream: BinaryIO, *, name: str) -> None:
        self.name = name
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
