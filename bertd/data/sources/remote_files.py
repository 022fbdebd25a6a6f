"""Files of object stores and other file systems that fsspec knows: s3://, gs://, hf://, memory:// and more.

A file is read as a stream. A read that fails is tried again from where it stopped, with growing pauses, so a connection
that breaks costs nothing; after the last try the error names the file, and the same command continues later.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from bertd.data.sources.hidden_files import is_hidden
from bertd.errors import CorpusError

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_NUM_TRIES = 5
_FIRST_PAUSE_S = 0.5
_BUFFER_BYTES = 1 << 20
_BLOCK_BYTES = 8 << 20
"""Fetched at once."""


def is_url(path: str) -> bool:
    """Whether a path is on a file system of fsspec."""
    return _URL.match(path) is not None


@dataclass(frozen=True)
class RemoteState:
    """What a program may ask of a file without reading it, as os.stat has it."""

    st_size: int
    st_mtime_ns: int
    """A number that is another one when the content is: of the store's own mark where it has no time."""


@dataclass(frozen=True, order=True)
class RemoteFile:
    """One file; used as a Path is."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        return PurePosixPath(self.url).name

    def resolve(self) -> RemoteFile:
        """Itself: stores have no links."""
        return self

    def stat(self) -> RemoteState:
        """Size and mark.

        Raises:
            OSError: the store does not answer, or has no such file.
        """
        file_system, path = _open_file_system(self.url)
        info = _retry(lambda: file_system.info(path), place=self.url)
        marks = [info.get(name) for name in ("ETag", "etag", "md5Hash", "sha256", "blob_id", "mtime", "created")]
        mark = next((one for one in marks if one is not None), "")
        digest = hashlib.sha256(str(mark).encode()).digest()
        return RemoteState(st_size=int(info["size"] or 0), st_mtime_ns=int.from_bytes(digest[:7], "big"))

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """A stream of its bytes.

        Raises:
            OSError: the store does not answer, or has no such file.
        """
        assert mode == "rb"
        return io.BufferedReader(_RetriedStream(self), buffer_size=_BUFFER_BYTES)


class _RetriedStream(io.RawIOBase):
    """Reads a file of a store, and opens it again where a read fails."""

    def __init__(self, file: RemoteFile) -> None:
        self.name = file.url
        self._file_system, self._path = _open_file_system(file.url)
        self._size = file.stat().st_size
        self._position = 0
        self._stream: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, begin + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._size:
            return 0
        piece = _retry(lambda: self._read(len(buffer)), place=self.name, before_again=self._drop_stream)
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        self._drop_stream()
        super().close()

    def _read(self, num_bytes: int) -> bytes:
        if self._stream is None:
            self._stream = self._file_system.open(self._path, "rb", block_size=_BLOCK_BYTES)
        if self._stream.tell() != self._position:
            self._stream.seek(self._position)
        piece: bytes = self._stream.read(num_bytes)
        if not piece:
            raise OSError(errno.EIO, f"ends at byte {self._position:,} of {self._size:,}")
        return piece

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def list_remote_files(url: str) -> list[RemoteFile]:
    """The file, the files below a folder, or what a glob matches, sorted; hidden files of folders are skipped.

    Raises:
        CorpusError: there is none, or the package for the store is missing.
        OSError: the store does not answer.
    """
    file_system, path = _open_file_system(url)
    scheme = url.partition("://")[0]

    def find() -> list[str]:
        if any(character in path for character in "*?["):
            return [name for name in file_system.glob(path) if file_system.isfile(name)]
        if file_system.isfile(path):
            return [path]
        below = len(path.rstrip("/")) + 1
        return [name for name in file_system.find(path) if not is_hidden(name[below:])]

    found = _retry(find, place=url)
    if not found:
        raise CorpusError(f"{url}: no such file or folder, or holds no file; name another source")
    return [RemoteFile(f"{scheme}://{name.removeprefix('/')}") for name in sorted(found)]


def _open_file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, which fsspec keeps open, and the path in it.

    Raises:
        CorpusError: fsspec knows none for it, or its package is missing.
    """
    import fsspec

    try:
        file_system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise CorpusError(
            f"{url}: needs a package: {error}; pip install 'bertd[object-stores]' has s3 and gs"
        ) from error
    except ValueError as error:
        raise CorpusError(f"{url}: {error}; name a store that fsspec knows, such as s3://") from error
    return file_system, str(path)


T = TypeVar("T")


def _retry(read: Callable[[], T], *, place: str, before_again: Callable[[], None] = lambda: None) -> T:
    """Try several times, with growing pauses; a file that is not there is not asked for again.

    Raises:
        OSError: the last try failed, too.
    """
    number = 0
    while True:
        try:
            return read()
        except (FileNotFoundError, PermissionError) as error:
            # Stores' libraries leave out the number.
            code = errno.ENOENT if isinstance(error, FileNotFoundError) else errno.EACCES
            raise OSError(code, os.strerror(code), place) from error
        except Exception as error:  # noqa: BLE001 - each store's library has errors of its own, which share no class
            before_again()
            number += 1
            if number == _NUM_TRIES:
                reason = str(error).split("\n", 1)[0] or type(error).__name__
                raise OSError(errno.EIO, f"{_NUM_TRIES} tries failed: {reason}", place) from error
            time.sleep(_FIRST_PAUSE_S * 2 ** (number - 1))


SourceFile = Path | RemoteFile
"""A file of a source."""
