"""A sparse index of a journal: at which byte a run was where. Bounded: when it is full, every other entry goes."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.metrics.decimated_curve import Position, PositionToX
from bertd.records import Record

MAX_ENTRIES = 1024


class IndexState(Record):
    """An index as it is stored: a row per entry."""

    stride_bytes: int
    offsets: list[int]
    positions: list[tuple[float, float, int, int, float]]
    """t, charged seconds, step, sequences, spent."""


@dataclass(frozen=True)
class Section:
    """A part of a journal, from the begin of a line to the end of one."""

    begin: int
    end: int

    @property
    def size_bytes(self) -> int:
        return self.end - self.begin


class JournalIndex:
    """Bytes and positions of one journal, both in the order of the file."""

    def __init__(self, state: IndexState | None = None) -> None:
        self._offsets = [] if state is None else list(state.offsets)
        self._positions = [] if state is None else [Position(*row) for row in state.positions]
        self._stride_bytes = 0 if state is None else state.stride_bytes

    def state(self) -> IndexState:
        """The index as it is stored."""
        positions = [(at.t, at.charged_s, at.step, at.sequences, at.spent) for at in self._positions]
        return IndexState(stride_bytes=self._stride_bytes, offsets=self._offsets, positions=positions)

    def add(self, offset: int, at: Position) -> None:
        """Note that the run was there at the line that begins at `offset`, if no near line is noted."""
        if self._offsets and offset - self._offsets[-1] < max(1, self._stride_bytes):
            return
        self._offsets.append(offset)
        self._positions.append(at)
        if len(self._offsets) > MAX_ENTRIES:
            self._offsets, self._positions = self._offsets[::2], self._positions[::2]
            self._stride_bytes = max(1, (self._offsets[-1] - self._offsets[0]) // len(self._offsets))

    def find(self, x: PositionToX, *, low: float, high: float, end: int) -> Section | None:
        """The part that has all between `low` and `high`; None if nothing is there.

        Args:
            end: of what was read of the journal.
        """
        xs = [x(at) for at in self._positions]
        found = [
            number
            for number, begin_x in enumerate(xs)
            if begin_x <= high and (number + 1 == len(xs) or max(begin_x, xs[number + 1]) >= low)
        ]
        if not found:
            return None
        last = found[-1] + 1
        return Section(self._offsets[found[0]], self._offsets[last] if last < len(self._offsets) else end)
