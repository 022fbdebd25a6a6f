"""The log of one job, followed as it is written."""

from __future__ import annotations

from collections import deque

from textual.app import ComposeResult

from tui.lines import Line, Role, heading, line
from tui.look import Look
from tui.quantities import size
from tui.screens.fetching import FetchingBoard
from tui.snapshot import Feed, Snapshot
from tui.widgets.scroller import Scroller

_PIECE_BYTES = 65_536
_MAX_LINES = 5_000


class LogScreen(FetchingBoard):
    """Reads windows of the log, never the whole of it."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._job_id: int | None = None
        self._forget()

    def compose(self) -> ComposeResult:
        yield self._header
        yield Scroller(self._draw, id="log", follows_end=True)
        yield self._footer

    def show_job(self, job_id: int | None) -> None:
        """Follow this job's log from its last lines on."""
        if job_id != self._job_id:
            self._job_id = job_id
            self._forget()

    @property
    def chosen_job_id(self) -> int | None:
        return self._job_id

    def _forget(self) -> None:
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._rest = ""
        """The last line, as long as its newline has not come."""
        self._next: int | None = None
        self._num_bytes = 0

    def fetch(self) -> None:
        """Read what came since the last time; begin anew where the log was cut."""
        job_id = self._job_id
        if job_id is None:
            return
        piece = self.feed.log(job_id, offset=-_PIECE_BYTES if self._next is None else self._next, limit=_PIECE_BYTES)
        if job_id != self._job_id:
            return
        if self._next is not None and piece.size < self._next:
            self._forget()
            return
        text = piece.text
        if self._next is None and piece.offset > 0:
            text = text.partition("\n")[2]  # The window begins inside a line.
        whole, newline, rest = (self._rest + text).rpartition("\n")
        self._lines.extend(whole.split("\n") if newline else [])
        self._rest, self._next, self._num_bytes = rest, piece.next_offset, piece.size

    def _draw(self, snapshot: Snapshot, look: Look, width: int, height: int) -> list[Line]:
        name = "Log" if self._job_id is None else f"Log of job {self._job_id}"
        title = heading(name, line((size(self._num_bytes), Role.MUTED)), width=width, rule=look.glyphs.rule)
        texts = [*self._lines, *([self._rest] if self._rest else [])]
        if not texts:
            texts = ["nothing written yet" if self._job_id is not None else "no job"]
        problem = [line((self.problem, Role.BAD))] if self.problem else []
        return [title, *(line(text) for text in texts), *problem]
