"""Feed one tracker from a journal as it grows: the body of `python -m bertd.trackers`.

The run knows nothing of this process. It reads the journal that the run writes anyway, at the lowest priority, and
whatever happens to it, the run goes on: a tracker that hangs is killed by its own alarm, one whose disk is full ends.
What it missed can be written from the journal later, by `bertd export-metrics`.

    RUN/trackers/NAME/       what the tracker writes
    RUN/trackers/NAME.json   how far it is; written after the rows were flushed, so rows can come twice, never be lost
    RUN/trackers/NAME.log    why it ended, if it was not because the run did
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from bertd.records import JournalRecord, Record, StepRecord
from bertd.run.amounts.durations import parse_duration
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.run.journal import JournalReader
from bertd.run.machine.processes import is_alive, read_identity
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe
from bertd.trackers.export import describe_run
from bertd.trackers.metrics import RowReader, repeated_after
from bertd.trackers.sinks.open_sink import MetricsFormat, open_sink
from bertd.trackers.sinks.sink import Sink

POLL_S = 5.0
HANG_S = 300
"""A call into the tracker's library that takes longer is taken for hung, and this process is ended."""

LOCK_WAIT_S = 30.0
_LOCK_POLL_S = 0.5


class FollowState(Record):
    """How far a tracker is."""

    offset: int = 0
    """Bytes of the journal whose rows are written."""
    attempt: int = 0
    newest_charged_s: float = -1.0
    """Of the newest step record that was written."""
    reference: str = ""


class TrackerFollower:
    """Feeds one tracker."""

    def __init__(self, paths: RunPaths, format: MetricsFormat) -> None:
        """Read where an earlier process was.

        Raises:
            RecipeError: the recipe is missing or was changed by hand.
        """
        self._paths = paths
        self._format = format
        self._every_s = parse_duration(read_recipe(paths.recipe).trackers.every)
        self._state = _read_state(paths.tracker_state(format))
        self._reader = JournalReader(paths.journal, offset=self._state.offset)
        self._rows = RowReader(attempt=self._state.attempt)
        self._newest_charged_s = self._state.newest_charged_s
        self._sink: Sink | None = None

    def follow_to_the_end(self, *, wait: Callable[[float], None] = time.sleep) -> None:
        """Follow until the run has no runner any more; raises as `open_sink` and the sinks do."""
        while True:
            # Looked at before the journal: what the runner wrote last is then read, too.
            is_running = _has_runner(self._paths)
            self._take_in_new()
            if not is_running:
                break
            wait(POLL_S)
        if self._sink is not None:
            _guard_from_hanging()
            self._sink.close()

    def _take_in_new(self) -> None:
        while records := self._reader.read_piece():
            _guard_from_hanging()
            for record in records:
                self._take_in(record)
            if self._sink is not None:
                self._sink.flush()
                self._store()
        signal.alarm(0)

    def _take_in(self, record: JournalRecord) -> None:
        step = repeated_after(record)
        row = self._rows.read(record)
        if row is not None and isinstance(record, StepRecord):
            # After a death of the ranks the charge goes on from where it was, so it never falls.
            if row.charged_s - self._newest_charged_s < self._every_s:
                return
            self._newest_charged_s = row.charged_s
        if row is not None:
            self._open().write(row)
        elif step is not None:
            self._open().repeat_after(step)

    def _open(self) -> Sink:
        """The tracker, begun at the first row: a run that dies before its first step leaves nothing there."""
        if self._sink is None:
            is_continued = self._state.offset > 0
            self._sink = open_sink(
                self._format,
                self._paths.tracker(self._format),
                describe_run(self._paths.root),
                is_continued=is_continued,
                reference=self._state.reference,
            )
        return self._sink

    def _store(self) -> None:
        assert self._sink is not None
        self._state = FollowState(
            offset=self._reader.offset,
            attempt=self._rows.attempt,
            newest_charged_s=self._newest_charged_s,
            reference=self._sink.reference,
        )
        atomic_write(self._paths.tracker_state(self._format), self._state.model_dump_json())


def lock_tracker(paths: RunPaths, format: MetricsFormat) -> int | None:
    """The lock that one process per run and tracker has, which the caller keeps; None if another keeps it.

    One of an attempt before may be about to end.

    Raises:
        OSError: the folder cannot be made.
    """
    paths.trackers.mkdir(exist_ok=True)
    fd = os.open(paths.trackers / f"{format}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                return None
        time.sleep(_LOCK_POLL_S)


def _guard_from_hanging() -> None:
    # The kernel ends the process: its default action needs no thread of Python, which a call may hold up.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(HANG_S)


def _has_runner(paths: RunPaths) -> bool:
    identity = read_identity(paths.runner)
    return identity is not None and is_alive(identity)


def _read_state(path: Path) -> FollowState:
    """A new one where it is missing or damaged: the tracker then gets the rows again."""
    try:
        return FollowState.model_validate_json(read_bounded(path))
    except (OSError, ValidationError):
        return FollowState()
