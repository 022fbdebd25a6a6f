"""How many seconds a run has been charged: monotone, each second once, written every second by the runner.

An open segment says since when (CLOCK_MONOTONIC, which neither NTP nor suspend moves) the clock runs, so that every
process of the same boot reads the same charged time without asking. A segment whose runner died is closed as it
stands: the charge is then short by at most one tick, never long.

Rank 0 says in the journal when work begins and ends within a segment: at a hold, and with its last word. The runner
closes the segment at the charge that stands there, so neither a hold nor the exit of the processes is charged.

The file carries the sha256 of what it says: a turned bit would be another budget. bertd.run.ledger_repair makes a
damaged one anew from the journal.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import DamagedLedgerError, RunFolderError
from bertd.records import Record
from bertd.run.atomic_files import atomic_write

TICK_S = 1.0
"""How often the runner writes an open segment."""
FORMAT = 1

_REMEDY = "resume the run, which makes it anew from the journal"
_MIN_SLEEP_S = 0.5
"""The two clocks are read one behind the other, and a busy machine may take its time between."""


def boot_id() -> str:
    """The kernel's name for this boot; monotonic times of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class LedgerState(Record):
    """What is charged."""

    closed_s: float = 0.0
    """Charged in segments that are closed."""
    open_since_s: float | None = None
    """CLOCK_MONOTONIC when the open segment began; None while nothing is charged."""
    open_boot: str | None = None
    ticked_s: float = 0.0
    """Charged altogether at the last tick."""

    def charged_s(self, *, monotonic_s: float, boot: str) -> float:
        """Charged altogether at `monotonic_s`; an open segment of another boot counts up to its last tick."""
        if self.open_since_s is None or self.open_boot != boot:
            return self.ticked_s
        return max(self.ticked_s, self.closed_s + monotonic_s - self.open_since_s)


class _FormatHeader(Record):
    """What a ledger.json of any bertd has."""

    format: int


class _LedgerFile(_FormatHeader):
    """Content of ledger.json."""

    sha256: str
    """Of `ledger` as `_checksum` writes it."""
    ledger: LedgerState


def read_ledger(path: Path) -> LedgerState:
    """The ledger; an absent one has charged nothing.

    Raises:
        DamagedLedgerError: the file is not as it was written.
        RunFolderError: it cannot be read, or a later bertd wrote it.
    """
    try:
        content = path.read_bytes()
        written = _FormatHeader.model_validate_json(content).format
        if written > FORMAT:
            # Asked before the rest: what a later one has changed would look like damage.
            raise RunFolderError(f"{path}: format {written}; this bertd knows up to {FORMAT}: upgrade it")
        file = _LedgerFile.model_validate_json(content)
    except FileNotFoundError:
        return LedgerState()
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read the ledger: {error.strerror}; mend the permissions") from error
    except ValidationError as error:
        raise DamagedLedgerError(f"{path}: not a ledger: {error.errors()[0]['msg']}; {_REMEDY}") from error
    if file.sha256 != _checksum(file.ledger):
        raise DamagedLedgerError(f"{path}: was changed since it was written; {_REMEDY}")
    return file.ledger


def write_ledger(path: Path, state: LedgerState) -> None:
    """Replace the ledger; for who holds the run's folder.

    Raises:
        StorageError: the disk refused; the old one stands.
    """
    atomic_write(path, _LedgerFile(format=FORMAT, sha256=_checksum(state), ledger=state).model_dump_json())


def _checksum(state: LedgerState) -> str:
    return hashlib.sha256(state.model_dump_json().encode()).hexdigest()


def charged_now(path: Path, *, has_runner: bool, reported_s: float) -> float:
    """Charged seconds at this moment, for who only looks.

    Args:
        has_runner: where none has the run, a segment that is open was left by a runner that was killed, and nothing has
            been charged since its last tick.
        reported_s: the journal's charge, which counts where the ledger is damaged, gone or not there yet: the next
            start makes a damaged one again from it.

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
    """The runner's hand on the ledger; nobody else writes it."""

    def __init__(self, path: Path) -> None:
        """Read it, and close a segment that a dead runner left open at its last tick."""
        self._path = path
        state = read_ledger(path)
        self.state = LedgerState(closed_s=state.ticked_s, ticked_s=state.ticked_s)
        self._write()

    def begin(self, *, since_s: float | None = None) -> None:
        """Start charging.

        Args:
            since_s: CLOCK_MONOTONIC from which on, where that is a moment ago; None for now.
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
            at_s: what is charged altogether, where rank 0 has said it; never more than the clock gives, and never less
                than was ticked.
        """
        if self.state.open_since_s is not None:
            charged_s = self._charged_s(None)
            if at_s is not None:
                charged_s = max(self.state.ticked_s, min(charged_s, at_s))
            self.state = LedgerState(closed_s=charged_s, ticked_s=charged_s)
            self._write()
        elif not self._is_written:
            # The disk refused when the segment was closed, so readers still see it open.
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
    """Reads the charged time of an open ledger as it runs; for rank 0, which shares the runner's boot."""

    def __init__(self, path: Path) -> None:
        """Read the ledger once.

        Raises:
            RunFolderError: no segment of this boot is open, so no runner is charging this run.
        """
        self._path = path
        self._state = read_ledger(path)
        self._boot = boot_id()
        self._suspended_at_s: float | None = None
        if self._state.open_since_s is None or self._state.open_boot != self._boot:
            raise RunFolderError(f"{path}: no segment is open; start the run with `python -m bertd.jobs.runner FOLDER`")

    def now_s(self) -> float:
        """Charged seconds at this moment."""
        if self._suspended_at_s is not None:
            return self._suspended_at_s
        return self._state.charged_s(monotonic_s=time.monotonic(), boot=self._boot)

    @property
    def is_suspended(self) -> bool:
        """Whether it stands."""
        return self._suspended_at_s is not None

    def suspend(self) -> None:
        """Stand still; the runner hears of it by the journal."""
        self._suspended_at_s = self.now_s()

    def resume(self) -> float:
        """Run again; CLOCK_MONOTONIC from which on.

        Raises:
            RunFolderError: the ledger cannot be read.
        """
        assert self._suspended_at_s is not None
        # The runner may have ticked in the moment between the hold and the line that told of it.
        charged_s = max(self._suspended_at_s, read_ledger(self._path).ticked_s)
        since_s = time.monotonic()
        self._state = LedgerState(closed_s=charged_s, open_since_s=since_s, open_boot=self._boot, ticked_s=charged_s)
        self._suspended_at_s = None
        return since_s


class SleepWatch:
    """Notices that the machine slept: CLOCK_BOOTTIME runs on meanwhile, CLOCK_MONOTONIC, which is charged, does not."""

    def __init__(self) -> None:
        self._offset_s = _boottime_offset_s()

    def slept_s(self) -> float:
        """Seconds since the last look; 0 where it was awake."""
        before_s, self._offset_s = self._offset_s, _boottime_offset_s()
        slept_s = self._offset_s - before_s
        return slept_s if slept_s >= _MIN_SLEEP_S else 0.0


def _boottime_offset_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
