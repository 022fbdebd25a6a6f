"""A flat file of numbers, read in pieces with `pread`.

Never memory-mapped: if a mapped file is cut short, SIGBUS kills the process without a message. Here it is an error that
names the file, and so is any other change to the file while it is open.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bertd.data.arrays import IndexArray
from bertd.errors import ShardError
from bertd.run.machine.os_errors import remedy_for


class ArrayFile:
    """Numbers of one type; `file[i]` is one of them, `file[i:j]` an array."""

    def __init__(self, path: Path, *, dtype: np.dtype[Any]) -> None:
        """Open the file.

        Raises:
            ShardError: it cannot be opened, or ends within a number.
        """
        self._path = path
        self._dtype = dtype
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            remedy = remedy_for(error, otherwise="prepare the data set again")
            raise ShardError(f"{path}: cannot open: {error.strerror}; {remedy}") from error
        # Not __del__: at the interpreter's exit the module `os` may be gone before the file is.
        weakref.finalize(self, os.close, self._fd)
        self._identity_at_open = self._identity()
        self._length, rest = divmod(self._identity_at_open[0], dtype.itemsize)
        if rest:
            raise ShardError(f"{path}: ends within a number; it was cut short: prepare the data set again")

    def _identity(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_size, status.st_mtime_ns

    def check(self) -> None:
        """Check that the file has not changed since it was opened.

        Raises:
            ShardError: it was cut short or written to.
        """
        if self._identity() != self._identity_at_open:
            raise ShardError(f"{self._path}: changed while it was in use; prepare the data set again")

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int | slice) -> Any:
        """A number, or an array of those in a range.

        Raises:
            IndexError: there is no such number.
            ShardError: as `read`.
        """
        if isinstance(index, slice):
            first, last, step = index.indices(self._length)
            assert step == 1, "only ranges without gaps are read"
            count = max(0, last - first)
            return self._read(np.array([first]), np.array([count]), width=count)[0]
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._read(np.array([index]), np.array([1]), width=1)[0, 0]

    def read(self, starts: IndexArray, lengths: IndexArray, *, width: int) -> IndexArray:
        """Many ranges, one a row.

        Args:
            starts: number at which each range begins.
            lengths: numbers in each range, at most `width`.

        Returns:
            (n, width) numbers; 0 after the end of a range.

        Raises:
            ShardError: the file changed or is too short, or the disk failed.
        """
        return self._read(starts, lengths, width=width).astype(np.int64)

    def _read(self, starts: IndexArray, lengths: IndexArray, *, width: int) -> npt.NDArray[Any]:
        self.check()
        rows = np.zeros((len(starts), width), dtype=self._dtype)
        size = self._dtype.itemsize
        view = rows.view(np.uint8).ravel().data
        for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
            begin = row * width * size
            self._read_into(view[begin : begin + length * size], offset=start * size)
        return rows

    def _read_into(self, view: memoryview, *, offset: int) -> None:
        bytes_read = 0
        while bytes_read < len(view):
            try:
                # One call reads 2 GiB at most.
                piece = os.preadv(self._fd, [view[bytes_read:]], offset + bytes_read)
            except OSError as error:
                raise ShardError(f"{self._path}: cannot read: {error.strerror}; check the disk") from error
            if not piece:
                index = (offset + bytes_read) // self._dtype.itemsize
                raise ShardError(f"{self._path}: ends at number {index}; it was cut short: prepare it again")
            bytes_read += piece
