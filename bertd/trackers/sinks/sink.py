"""What every format has: rows in, and an end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bertd.trackers.metrics import MetricRow


@dataclass(frozen=True)
class RunDescription:
    """What a tracker says of a run, besides its metrics."""

    name: str
    """Its id."""
    settings: dict[str, dict[str, object]]
    """The recipe: keys by section."""


class Sink(Protocol):
    """Takes the rows of one run."""

    place: Path
    """The file or folder that is written."""
    reference: str
    """What finds this run in the tracker again; empty where its folder does."""

    def write(self, row: MetricRow) -> None:
        """Take a row; it may be kept in memory until `flush`.

        Raises:
            StorageError: the disk refused.
        """

    def repeat_after(self, step: int) -> None:
        """Steps after this one will come again, with other values."""

    def flush(self) -> None:
        """Write what is in memory; raises as `write`."""

    def close(self) -> None:
        """Complete the file; raises as `write`."""

    def abort(self) -> None:
        """Release what is held; a file that is not complete is removed."""
