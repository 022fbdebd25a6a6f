"""What a bench writes as it goes: one JSON object a line, so that one that is cut off keeps what it measured."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bertd.bench.gpu_state import GpuState
from bertd.errors import StorageError
from bertd.records.record import Record


class ReadyRecord(Record):
    """A contender has found its micro-batch and is warm."""

    kind: Literal["ready"] = "ready"
    name: str
    micro: int
    first_update_s: float
    compile_s: float
    cache: str
    """cold, warm or nothing: whether the compiler found its graphs on the disk."""
    peak_bytes: int | None
    num_parameters: int
    first_loss: float
    """Nats, of the first update."""
    eager_loss: float | None
    """The same of its eager twin; None where that could not run."""


class TurnRecord(Record):
    """One turn of one contender."""

    kind: Literal["turn"] = "turn"
    repeat: int
    name: str
    sequences_per_s: float
    loss: float
    """Nats, of its last update."""
    gpu: GpuState | None


class CeilingRecord(Record):
    """A large matrix product, timed between the turns."""

    kind: Literal["ceiling"] = "ceiling"
    repeat: int
    flops: float
    gpu: GpuState | None


class FailureRecord(Record):
    """A contender could not be prepared, or a turn of it failed."""

    kind: Literal["failure"] = "failure"
    name: str
    reason: str


TurnLogRecord = ReadyRecord | TurnRecord | CeilingRecord | FailureRecord


class TurnLog:
    """Appends records to a file; without one, it forgets them."""

    def __init__(self, path: Path | None) -> None:
        """Make sure that the file can be written, before anything is measured.

        Raises:
            StorageError: it cannot.
        """
        self._path = path
        if path is not None:
            self._write("")

    def append(self, record: TurnLogRecord) -> None:
        """Write one line.

        Raises:
            StorageError: the disk refused.
        """
        if self._path is not None:
            self._write(record.model_dump_json() + "\n")

    def _write(self, text: str) -> None:
        assert self._path is not None
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot write: {error.strerror}; give another --out") from error
