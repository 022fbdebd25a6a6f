"""The charged seconds of a run: never falling, each second counted once, written every second by the runner.

An open segment has the time at which it began (CLOCK_MONOTONIC, which neither NTP nor suspend moves), so every process
of the same boot computes the same charged time from the file alone. If the runner died, its open segment is closed at
the last tick: the charge is then at most one tick too low, never too high.

Rank 0 reports in the journal when work stops and starts within a segment: at a hot pause, and in its last record. The
runner closes the segment at the charge in that record, so neither a hot pause nor the exit of the processes is charged.

The file has the sha256 of its content, because a flipped bit would change the budget. bertd.run.ledger_repair rebuilds
a damaged one from the journal.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import DamagedLedgerError, RunFolderError
from bertd.records import Record
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.validation_text import describe_problem

TICK_S = 1.0
"""How often the runner writes an open segment."""
FORMAT = 1

_REMEDY = "resume the run, which rebuilds it from the journal"
_WAIT_LOOK_S = 0.1
_MIN_SLEEP_S = 0.5
"""Shorter sleeps are ignored: the two clocks are read one after the other, with a delay between on a busy machine."""


def boot_id() -> str:
    """The kernel's id of this boot; monotonic times of another boot cannot be compared."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class LedgerState(Record):
    """The charge, and the open segment if there is one."""

    closed_s: float = 0.0
    """Charged in segments that are closed."""
    open_since_s: float | None = None
    """CLOCK_MONOTONIC when the open segment began; None while nothing is charged."""
    open_boot: str | None = None
    ticked_s: float = 0.0
    """Total charge at the last tick."""

    def charged_s(self, *, monotonic_s: float, boot: str) -> float:
        """Total charge at `monotonic_s`; an open segment of another boot counts up to its last tick."""
        if self.open_since_s is None or self.open_boot != boot:
            return self.ticked_s
        return max(self.ticked_s, self.closed_s + monotonic_s - self.open_since_s)


class _FormatHeader(Record):
    """The part of ledger.json that every version of bertd has."""

    format: int


class _LedgerFile(_FormatHeader):
    """Content of ledger.json."""

    sha256: str
    """Of `ledger` as `_checksum` writes it."""
    ledger: LedgerState


def read_ledger(path: Path) -> LedgerState:
    """Read the ledger; an absent one has charged nothing.

    Raises:
        DamagedLedgerError: the file cannot be parsed, or its checksum does not match.
        RunFolderError: it cannot be read, or a later bertd wrote it.
    """
    try:
        content = read_bounded(path)
        written = _FormatHeader.model_validate_json(content).format
        if written > FORMAT:
            # Check before the rest: a field that a later version has changed would look like damage.
            raise RunFolderError(f"{path}: format {written}; this bertd knows up to {FORMAT}: upgrade it")
        file = _LedgerFile.model_validate_json(content)
    except FileNotFoundError:
        return LedgerState()
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read the ledger: {error.strerror}; check the permissions") from error
    except ValidationError as error:
        raise DamagedLedgerError(f"{path}: not a ledger: {describe_problem(error.errors()[0])}; {_REMEDY}") from error
    if file.sha256 != _checksum(file.ledger):
        raise DamagedLedgerError(f"{path}: was changed since it was written; {_REMEDY}")
    return file.ledger


def write_ledger(path: Path, state: LedgerState) -> None:
    """Replace the ledger; the caller holds the lock on the run's folder.

    Raises:
        StorageError: the disk refused; the old one is unchanged.
    """
    atomic_write(path, _LedgerFile(format=FORMAT, sha256=_checksum(state), ledger=state).model_dump_json())


def _checksum(state: LedgerState) -> str:
    return hashlib.sha256(state.model_dump_json().encode()).hexdigest()


def charged_now(path: Path, *, has_runner: bool, reported_s: float) -> float:
    """Charged seconds at this moment, for readers.

    Args:
        has_runner: without a runner, an open segment was left by one that was killed, and nothing has been charged
            since its last tick.
        reported_s: the journal's charge, used if the ledger is damaged or absent: the next start rebuilds a damaged
            one from it.

    Raises:
        RunFolderError: the ledger cannot be read, or a later bertd wrote it.
    """
    try:
        state = read_ledger(path)
    except DamagedLedgerError:
        return reported_s
    if state == LedgerState():
        return reported_s
    return state.charged_s(monotonic_s=time.monotonic(), boot=boot_id()) if has_runner else state.ticked_s


class Ledger:
    """Writes the ledger; only the runner has one."""

    def __init__(self, path: Path) -> None:
        """Read it, and close a segment that a dead runner left open, at its last tick."""
        self._path = path
        state = read_ledger(path)
        self.state = LedgerState(closed_s=state.ticked_s, ticked_s=state.ticked_s)
        self._write()

    def begin(self, *, since_s: float | None = None) -> None:
        """Start charging.

        Args:
            since_s: CLOCK_MONOTONIC at which charging began, if a moment ago; None for now.
        """
        assert self.state.open_since_s is None
        since_s = time.monotonic() if since_s is None else since_s
        self.state = self.state.model_copy(update={"open_since_s": since_s, "open_boot": boot_id()})
        self._write()

    def tick(self, *, monotonic_s: float | None = None) -> None:
        """Bring the open segment up to date, as of now or of a moment ago."""
        if self.state.open_since_s is not None:
            self.state = self.state.model_copy(update={"ticked_s": self._charged_s(monotonic_s)})
            self._write()

    def end(self, *, at_s: float | None = None) -> None:
        """Stop charging.

        Args:
            at_s: total charge, if rank 0 has reported it; limited to what the clock gives, and to no less than the
                last tick.
        """
        if self.state.open_since_s is not None:
            charged_s = self._charged_s(None)
            if at_s is not None:
                charged_s = max(self.state.ticked_s, min(charged_s, at_s))
            self.state = LedgerState(closed_s=charged_s, ticked_s=charged_s)
            self._write()
        elif not self._is_written:
            # The disk refused the write that closed the segment, so readers still see it open.
            self._write()

    def _charged_s(self, monotonic_s: float | None) -> float:
        assert self.state.open_boot is not None
        monotonic_s = time.monotonic() if monotonic_s is None else monotonic_s
        return self.state.charged_s(monotonic_s=monotonic_s, boot=self.state.open_boot)

    def _write(self) -> None:
        self._is_written = False
        write_ledger(self._path, self.state)
        self._is_written = True


class ChargedClock:
    """Reads the charged time of an open ledger; for rank 0, which runs in the same boot as the runner."""

    def __init__(self, path: Path, *, wait_s: float = 0.0) -> None:
        """Read the ledger once; `wait_s` for a segment that the runner is about to open.

        Raises:
            RunFolderError: no segment of this boot is open, so no runner is charging this run.
        """
        self._path = path
        self._state = read_ledger(path)
        self._boot = boot_id()
        self._suspended_at_s: float | None = None
        deadline_s = time.monotonic() + wait_s
        while self._state.open_since_s is None and time.monotonic() < deadline_s:
            time.sleep(_WAIT_LOOK_S)
            self._state = read_ledger(path)
        if self._state.open_since_s is None or self._state.open_boot != self._boot:
            raise RunFolderError(f"{path}: no segment is open; start the run with `python -m bertd.jobs.runner FOLDER`")

    def now_s(self) -> float:
        """Charged seconds at this moment."""
        if self._suspended_at_s is not None:
            return self._suspended_at_s
        return self._state.charged_s(monotonic_s=time.monotonic(), boot=self._boot)

    @property
    def segment_charged_s(self) -> float:
        """Charged before the segment that is open, or was open last."""
        return self._state.closed_s

    @property
    def is_suspended(self) -> bool:
        return self._suspended_at_s is not None

    def suspend(self) -> None:
        """Stop the clock; the runner reads of it in the journal."""
        self._suspended_at_s = self.now_s()

    def resume(self) -> float:
        """Start the clock again; return the CLOCK_MONOTONIC at which charging began.

        Raises:
            RunFolderError: the ledger cannot be read.
        """
        assert self._suspended_at_s is not None
        # The runner may have ticked between the suspension and its journal record.
        charged_s = max(self._suspended_at_s, read_ledger(self._path).ticked_s)
        since_s = time.monotonic()
        self._state = LedgerState(closed_s=charged_s, open_since_s=since_s, open_boot=self._boot, ticked_s=charged_s)
        self._suspended_at_s = None
        return since_s


class SleepWatch:
    """Detects that the machine slept: CLOCK_BOOTTIME counts sleep, CLOCK_MONOTONIC, which is charged, does not."""

    def __init__(self) -> None:
        self._offset_s = _boottime_offset_s()

    def slept_s(self) -> float:
        """Seconds slept since the last call; 0 if none."""
        before_s, self._offset_s = self._offset_s, _boottime_offset_s()
        slept_s = self._offset_s - before_s
        return slept_s if slept_s >= _MIN_SLEEP_S else 0.0


def _boottime_offset_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
