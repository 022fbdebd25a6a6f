"""How many seconds a run has been charged: monotone, each second once, written every second by the runner.

An open segment says since when (CLOCK_MONOTONIC, which neither NTP nor suspend moves) the clock runs, so that every
process of the same boot reads the same charged time without asking. A segment whose runner died is closed as it
stands: the charge is then short by at most one tick, never long.
"""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import RunFolderError
from bertd.records import Record
from bertd.run.durable import write_whole

TICK_S = 1.0
"""How often the runner writes an open segment."""


def boot_id() -> str:
    """The kernel's name for this boot; monotonic times of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class LedgerState(Record):
    """Content of ledger.json."""

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


def read_ledger(path: Path) -> LedgerState:
    """The ledger; an absent one has charged nothing.

    Raises:
        RunFolderError: the file is no ledger.
    """
    try:
        return LedgerState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return LedgerState()
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read the ledger: {error.strerror}; mend the permissions") from error
    except ValidationError as error:
        raise RunFolderError(f"{path}: not a ledger: {error.errors()[0]['msg']}; restore it or stop the run") from error


class Ledger:
    """The runner's hand on the ledger; nobody else writes it."""

    def __init__(self, path: Path) -> None:
        """Read it, and close a segment that a dead runner left open at its last tick."""
        self._path = path
        state = read_ledger(path)
        self.state = LedgerState(closed_s=state.ticked_s, ticked_s=state.ticked_s)
        self._write()

    def begin(self) -> None:
        """Start charging."""
        assert self.state.open_since_s is None
        self.state = self.state.model_copy(update={"open_since_s": time.monotonic(), "open_boot": boot_id()})
        self._write()

    def tick(self) -> None:
        """Bring the open segment up to date."""
        if self.state.open_since_s is not None:
            self.state = self.state.model_copy(update={"ticked_s": self._now_s()})
            self._write()

    def end(self) -> None:
        """Stop charging."""
        if self.state.open_since_s is not None:
            charged_s = self._now_s()
            self.state = LedgerState(closed_s=charged_s, ticked_s=charged_s)
            self._write()

    def _now_s(self) -> float:
        assert self.state.open_boot is not None
        return self.state.charged_s(monotonic_s=time.monotonic(), boot=self.state.open_boot)

    def _write(self) -> None:
        write_whole(self._path, self.state.model_dump_json())


class ChargedClock:
    """Reads the charged time of an open ledger as it runs; for rank 0, which shares the runner's boot."""

    def __init__(self, path: Path) -> None:
        """Read the ledger once.

        Raises:
            RunFolderError: no segment of this boot is open, so no runner is charging this run.
        """
        self._state = read_ledger(path)
        self._boot = boot_id()
        if self._state.open_since_s is None or self._state.open_boot != self._boot:
            raise RunFolderError(f"{path}: no segment is open; start the run with `python -m bertd.jobs.runner FOLDER`")

    def now_s(self) -> float:
        """Charged seconds at this moment."""
        return self._state.charged_s(monotonic_s=time.monotonic(), boot=self._boot)
