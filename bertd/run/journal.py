"""A job's append-only record: one JSON object a line, one writer at a time, any number of readers.

A writer that died leaves at most one torn last line. The next writer truncates it: it was never complete, so no reader
has acted on it. A reader waits for the newline, so it never sees half a record.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import RunFolderError, StorageError
from bertd.records import GridRecord, JournalRecord, ScoreRecord, StepRecord, journal_record_adapter
from bertd.run.bounded_read import open_regular
from bertd.run.sparse_lines import with_some_steps, without_inner_steps

_CHUNK_BYTES = 1 << 20
"""Begins each line of a step: a record's fields are written in their order."""


class JournalWriter:
    """Appends records; every kind but `step` is on the disk when `append` returns."""

    def __init__(self, path: Path) -> None:
        """Open for appending, and truncate a torn last line.

        Raises:
            StorageError: the file cannot be opened or truncated.
        """
        self._path = path
        try:
            self._fd = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            _cut_torn_line(self._fd)
        except OSError as error:
            raise StorageError(f"{path}: cannot open the journal: {error.strerror}") from error

    def append(self, record: JournalRecord) -> None:
        """Write one line with a single system call.

        Raises:
            StorageError: the disk refused; the journal keeps its complete lines.
        """
        line = record.model_dump_json().encode() + b"\n"
        try:
            before = os.fstat(self._fd).st_size
            written = os.write(self._fd, line)
            if written < len(line):
                os.ftruncate(self._fd, before)
            elif not isinstance(record, StepRecord):
                os.fsync(self._fd)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot append: {error.strerror}; free space on that disk") from error
        if written < len(line):
            raise StorageError(f"{self._path}: cannot append: the disk is full; free space on it")

    def close(self) -> None:
        """Flush to the disk and close; the journal can be opened again.

        Raises:
            StorageError: the disk refused the flush; the journal is closed.
        """
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot write: {error.strerror}; look at that disk") from error
        finally:
            os.close(self._fd)


def append_records(path: Path, records: Iterable[JournalRecord]) -> None:
    """Open the journal, append and close it; for a process that writes rarely and is its only writer meanwhile.

    Raises:
        StorageError: the disk refused; the records before the refused one are written.
    """
    journal = JournalWriter(path)
    try:
        for record in records:
            journal.append(record)
    finally:
        journal.close()


def _cut_torn_line(fd: int) -> None:
    size = os.fstat(fd).st_size
    end = size
    while end > 0:
        start = max(0, end - _CHUNK_BYTES)
        chunk = os.pread(fd, end - start, start)
        newline = chunk.rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(fd, end)
        os.fsync(fd)


class JournalReader:
    """Follows a journal: each `read`, and each loop over it, gives the records completed since the last one."""

    def __init__(
        self,
        path: Path,
        *,
        offset: int = 0,
        num_damaged_lines: int = 0,
        is_thinned: bool = False,
        step_bytes: int = 0,
    ) -> None:
        """Begin.

        Args:
            offset: which an earlier reader reached.
            is_thinned: of consecutive step records give only the first and the last of each piece that is read: many
                times as fast, for a reader that needs only where they begin and end.
            step_bytes: of consecutive step records give the first in each so many bytes, and the last of each piece
                that is read; 0 for all.
        """
        self._path = path
        self._is_thinned = is_thinned
        self._step_bytes = step_bytes
        self.offset = offset
        """Bytes read; all of them are complete lines."""
        self.num_damaged_lines = num_damaged_lines
        """Complete lines so far that are not a record of a known kind."""

    def __iter__(self) -> Iterator[JournalRecord]:
        """New records, oldest first, with about a megabyte of the journal in memory at a time.

        Loop to the end: the rest of a chunk is not given again.
        """
        offset = -1
        while offset != self.offset:
            offset = self.offset
            yield from self.read_piece()

    def read_piece(self, *, limit_bytes: int = _CHUNK_BYTES) -> list[JournalRecord]:
        """New records, about `limit_bytes` of them at most; for a caller that does other work in between."""
        return self.read(limit_bytes=limit_bytes)

    def read(self, *, limit_bytes: int | None = None) -> list[JournalRecord]:
        """New records, oldest first; none while the journal does not exist.

        Args:
            limit_bytes: read at most this much, to bound memory; call again until nothing is returned.

        Raises:
            RunFolderError: the journal cannot be read.
        """
        try:
            with os.fdopen(open_regular(self._path), "rb") as file:
                file.seek(self.offset)
                content = file.read(limit_bytes)
                if limit_bytes is not None and len(content) == limit_bytes and b"\n" not in content:
                    content += file.readline()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunFolderError(f"{self._path}: cannot read the journal: {error.strerror}") from error
        # Read a torn line again: its writer may be dead, and the next writer replaces it.
        whole, newline, _ = content.rpartition(b"\n")
        if not newline:
            return []
        self.offset += len(whole) + 1
        return list(self._parse_lines(whole))

    def _parse_lines(self, whole: bytes) -> Iterator[JournalRecord]:
        lines: Iterable[bytes]
        if self._is_thinned:
            lines = without_inner_steps(whole, is_whole=lambda line: _parse_line(line) is not None)
        elif self._step_bytes:
            lines = with_some_steps(whole, every_bytes=self._step_bytes)
        else:
            lines = whole.split(b"\n")
        for line in lines:
            try:
                yield journal_record_adapter.validate_json(line)
            except ValidationError:
                self.num_damaged_lines += 1


def read_scores(path: Path) -> list[ScoreRecord]:
    """All scores in a journal, found without parsing every other record; a grid has hundreds.

    Raises:
        RunFolderError: the journal cannot be read.
    """
    return [record for record in _read_kind(path, "score") if isinstance(record, ScoreRecord)]


def read_dropped_trials(path: Path) -> set[str]:
    """Names of the trials of a grid that halving has dropped, from its journal.

    Raises:
        RunFolderError: the journal cannot be read.
    """
    records = (record for record in _read_kind(path, "grid") if isinstance(record, GridRecord))
    return {record.trial for record in records if record.trial is not None and record.outcome == "dropped"}


def _read_kind(path: Path, kind: str) -> list[JournalRecord]:
    prefix = f'{{"kind":"{kind}"'.encode()
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            lines = [line for line in file if line.startswith(prefix)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read the journal: {error.strerror}") from error
    return [record for record in map(_parse_line, lines) if record is not None]


def _parse_line(line: bytes) -> JournalRecord | None:
    try:
        return journal_record_adapter.validate_json(line)
    except ValidationError:
        return None


def read_journal(path: Path) -> list[JournalRecord]:
    """All complete records of a journal, oldest first; none if the journal does not exist."""
    return JournalReader(path).read()
