"""View of one job's log, followed as it is written."""

from __future__ import annotations

from collections import deque

from textual.app import ComposeResult

from bertd.run.quantities import format_bytes
from tui.display_options import DisplayOptions
from tui.lines import Line, Role, heading, line
from tui.screens.polling import PollingScreen
from tui.snapshot import Feed, Snapshot
from tui.widgets.scroller import Scroller

_PIECE_BYTES = 65_536
_MAX_LINES = 5_000


class LogScreen(PollingScreen):
    """Reads the log in pieces, never all of it at once."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._job_id: int | None = None
        self._reset_log()

    def compose(self) -> ComposeResult:
        yield self._header
        yield Scroller(self._draw, id="log", follows_end=True)
        yield self._footer

    def show_job(self, job_id: int | None) -> None:
        """Show this job's log, starting at its last lines."""
        if job_id != self._job_id:
            self._job_id = job_id
            self._reset_log()

    @property
    def chosen_job_id(self) -> int | None:
        return self._job_id

    def _reset_log(self) -> None:
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._partial_line = ""
        """The last line, until its newline is read."""
        self._next_offset: int | None = None
        self._num_bytes = 0

    def fetch(self) -> None:
        """Read what was appended since the last call; start over if the log was truncated."""
        job_id = self._job_id
        if job_id is None:
            return
        piece = self.feed.log(
            job_id, offset=-_PIECE_BYTES if self._next_offset is None else self._next_offset, limit=_PIECE_BYTES
        )
        if job_id != self._job_id:
            return
        if self._next_offset is not None and piece.size < self._next_offset:
            self._reset_log()
            return
        text = piece.text
        if self._next_offset is None and piece.offset > 0:
            text = text.partition("\n")[2]  # The piece begins inside a line.
        whole, newline, rest = (self._partial_line + text).rpartition("\n")
        self._lines.extend(whole.split("\n") if newline else [])
        self._partial_line, self._next_offset, self._num_bytes = rest, piece.next_offset, piece.size

    def _draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        name = "Log" if self._job_id is None else f"Log of job {self._job_id}"
        size = line((format_bytes(self._num_bytes, is_short=True), Role.MUTED))
        title = heading(name, size, width=width, rule=options.glyphs.rule)
        texts = [*self._lines, *([self._partial_line] if self._partial_line else [])]
        if not texts:
            texts = ["nothing written yet" if self._job_id is not None else "no job"]
        problem = [line((self.problem, Role.BAD))] if self.problem else []
        return [title, *(line(text) for text in texts), *problem]
