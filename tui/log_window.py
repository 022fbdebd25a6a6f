"""The part of a log that is in memory: consecutive pieces of the file, at most MAX_BYTES of them.

The window grows at both ends: after its end while the log is written, before its start when a person reads back. What
is over the limit goes at the other end. Lines are numbered from the first one that was read, so that a line keeps its
number while lines are added before it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertd.api.models import LogView


PIECE_BYTES = 65_536
MAX_BYTES = 8 * PIECE_BYTES
_MAX_CHARACTER_BYTES = 4


@dataclass
class _Piece:
    text: str
    offset: int
    next_offset: int


@dataclass
class LogWindow:
    """Pieces of a log of `size` bytes, in order and without a gap."""

    size: int = 0
    first_number: int = 0
    """Number of the first line, which is torn unless the window begins at the log's start."""
    _pieces: deque[_Piece] = field(default_factory=deque)
    _lines: list[str] | None = None

    @property
    def start(self) -> int:
        """Byte at which it begins."""
        return self._pieces[0].offset if self._pieces else 0

    @property
    def end(self) -> int:
        """Byte after the last one that was read."""
        return self._pieces[-1].next_offset if self._pieces else 0

    @property
    def lines(self) -> list[str]:
        """All lines, the first one perhaps torn, the last one without its newline or empty."""
        if self._lines is None:
            self._lines = "".join(piece.text for piece in self._pieces).split("\n")
        return self._lines

    def whole_lines(self) -> list[tuple[int, str]]:
        """Number and text of each line whose beginning is known; of the last one what is written."""
        first = 0 if self.start == 0 else 1
        lines = self.lines if self.lines[-1] else self.lines[:-1]
        return list(enumerate(lines[first:], self.first_number + first))

    def append(self, piece: LogView) -> bool:
        """Add what follows the end; False, without a change, if this piece does not."""
        if self._pieces and piece.offset != self.end:
            return False
        self.size = piece.size
        if not piece.text and self._pieces:
            return True
        self._lines = None
        last = self._pieces[-1] if self._pieces else None
        if last is not None and piece.next_offset - last.offset <= PIECE_BYTES:
            last.text, last.next_offset = last.text + piece.text, piece.next_offset
        else:
            self._pieces.append(_Piece(piece.text, piece.offset, piece.next_offset))
        while self.end - self.start > MAX_BYTES:
            self.first_number += self._pieces.popleft().text.count("\n")
        return True

    def prepend(self, piece: LogView) -> bool:
        """Add what is before the start; False, without a change, if this piece is not.

        A character that was torn at the start may be missing at the end of the piece.
        """
        if not self._pieces or not 0 <= self.start - piece.next_offset < _MAX_CHARACTER_BYTES:
            return False
        self.size, self._lines = piece.size, None
        self._pieces.appendleft(_Piece(piece.text, piece.offset, piece.next_offset))
        self.first_number -= piece.text.count("\n")
        while self.end - self.start > MAX_BYTES:
            self._pieces.pop()
        return True
