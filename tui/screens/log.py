"""View of one job's log: followed as it is written, read back to its start, searched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from bertd.run.amounts.quantities import format_bytes
from tui.actions.keys import LOG_KEYS
from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, heading, line
from tui.log_filter import LogFilter
from tui.log_window import MAX_BYTES, PIECE_BYTES, LogWindow
from tui.panels import footer
from tui.panels.footer import KeyHint
from tui.screens.polling import PollingScreen, Request
from tui.snapshot import Feed, Snapshot
from tui.widgets.log_pane import LogPane
from tui.widgets.search_bar import SearchBar

if TYPE_CHECKING:
    from bertd.api.models import LogView

_BYTES_BEFORE = 4_096
"""Of the log, shown before the line that is looked for."""


@dataclass(frozen=True)
class _Answer:
    """A page of the log, and what it is for."""

    window: LogWindow
    """The window that was shown when it was asked for."""
    page: LogView
    is_before: bool = False
    """It is to be put before the window; else after it."""
    is_size_only: bool = False
    found: int | None = None
    """Byte of the line that is to be shown first; None for the window's first or last one."""


class LogScreen(PollingScreen):
    """Holds a window of the log, never all of it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding(key.keys, key.action, key.title, id=key.id) for key in LOG_KEYS]

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._job_id: int | None = None
        self._view = LogPane(self._draw, id="log")
        self.search_bar: SearchBar = SearchBar("search in this part of the log; n and N go on, esc ends")
        self._wants_before = self._wants_after = False
        self._opens_at_start = False
        """Whether the next window begins at the log's start instead of its end."""
        self._opens_at_t: float | None = None
        """The time at which the next window is to be shown instead."""
        self._skipped_bytes = 0
        """How much was written faster than it could be read, and left out."""

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._view
        yield self.search_bar
        yield self._footer

    def show_job(self, job_id: int | None) -> None:
        """Show this job's log, starting at its last lines."""
        if job_id != self._job_id:
            self._job_id = job_id
            self._open(at_start=False)

    def show_job_at(self, job_id: int, t: float) -> None:
        """Show a job's log at what was written at this time."""
        self._job_id = job_id
        self._open(at_start=True)
        self._opens_at_t = t
        self.poll()

    @property
    def chosen_job_id(self) -> int | None:
        return self._job_id

    @property
    def extra_keys(self) -> footer.KeyHints:
        return (KeyHint("search", "search"), KeyHint("next-rank", "rank"), KeyHint("level", "level"))

    def action_next_rank(self) -> None:
        """Show only the lines of the next rank that this part of the log names."""
        self._filter(self._view.filter_lines.with_next_rank(self._view.window.lines))

    def action_next_level(self) -> None:
        """Show only lines of the next level."""
        self._filter(self._view.filter_lines.with_next_level())

    def _filter(self, wanted: LogFilter) -> None:
        self._view.filter_lines = wanted
        self._view.redraw()

    def search(self, text: str) -> None:
        """Go to the nearest match above, else below."""
        self._view.search = text
        if text and not self._view.go_to_match(-1):
            self._view.go_to_match(1)
        self._view.redraw()

    @on(LogPane.EndReached)
    def read_on(self, event: LogPane.EndReached) -> None:
        """Read the part before or after the window."""
        self._wants_before, self._wants_after = event.side < 0, event.side > 0
        self.poll()

    @on(LogPane.EdgeWanted)
    def go_to_edge(self, event: LogPane.EdgeWanted) -> None:
        """Show the log's first lines, or its last ones and those to come."""
        window, at_start = self._view.window, event.at_start
        if (window.start > 0) if at_start else (window.end < window.size):
            self._open(at_start=at_start)
            self.poll()
        else:
            self._view.go_to_edge(at_start=at_start)

    def _open(self, *, at_start: bool) -> None:
        self._view.show_window(LogWindow(), at_end=not at_start)
        self._opens_at_start = at_start
        self._wants_before = self._wants_after = False
        self._skipped_bytes = 0
        self._opens_at_t = None

    def next_request(self) -> Request | None:
        """The page before or after the window, or only the log's size while a person reads elsewhere."""
        if self._job_id is None:
            return None
        window = self._view.window
        if not window.size and not window.end and self._opens_at_t is not None:
            return partial(self._fetch_at, window, self._opens_at_t)
        if not window.size and not window.end:
            return partial(self._fetch, window, offset=0 if self._opens_at_start else -PIECE_BYTES)
        if self._wants_before and window.start > 0:
            offset = max(0, window.start - PIECE_BYTES)
            return partial(self._fetch, window, offset=offset, limit=window.start - offset, is_before=True)
        is_read_on = self._view.is_at_end or self._wants_after
        return partial(
            self._fetch,
            window,
            offset=window.end,
            limit=PIECE_BYTES if is_read_on else 1,
            is_size_only=not is_read_on,
        )

    def _fetch(
        self,
        window: LogWindow,
        *,
        offset: int,
        limit: int = PIECE_BYTES,
        is_before: bool = False,
        is_size_only: bool = False,
    ) -> _Answer:
        assert self._job_id is not None
        page = self.feed.log(self._job_id, offset=offset, limit=limit)
        return _Answer(window, page, is_before=is_before, is_size_only=is_size_only)

    def _fetch_at(self, window: LogWindow, t: float) -> _Answer:
        """The page around what was written at this time: with some lines before it, the first of them torn."""
        assert self._job_id is not None
        found = self.feed.log_since(self._job_id, t=t, limit=1).offset
        page = self.feed.log(self._job_id, offset=max(0, found - _BYTES_BEFORE), limit=PIECE_BYTES)
        return _Answer(window, page, found=found)

    def receive(self, answer: object) -> bool:
        """Put the page into the window; True while there is more that is to be shown now."""
        assert isinstance(answer, _Answer)
        window, page = answer.window, answer.page
        if window is not self._view.window:
            return True  # Another job or part was chosen while this page was read.
        if page.size < window.end:
            self._open(at_start=False)  # The log was truncated.
            return True
        if answer.is_size_only:
            window.size = page.size
            return False
        if answer.is_before:
            self._wants_before = False
            window.prepend(page)
            return False
        self._wants_after = False
        window.append(page)
        if answer.found is not None:
            self._opens_at_t = None
            before = page.text.encode()[: answer.found - page.offset].decode(errors="ignore")
            self._view.show_line(window.first_number + before.count("\n"))
            return False
        if not self._view.is_at_end:
            return False
        if window.size - window.end > MAX_BYTES:
            skipped = window.size - PIECE_BYTES - window.end
            self._open(at_start=False)
            self._skipped_bytes = skipped
            return True
        return window.end < window.size and bool(page.text)

    def _draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        name = "Log" if self._job_id is None else f"Log of job {self._job_id}"
        right = line((self._position(), Role.BAD if self.problem else Role.MUTED))
        title = heading(name, right, width=width, rule=options.glyphs.rule)
        if self._job_id is None:
            nothing = "no job" if snapshot.status is not None else "not known yet: no daemon has answered"
        elif self.problem:
            nothing = self.problem
        elif not self._view.window.size:
            nothing = "nothing written yet"
        elif self._view.filter_lines.text:
            nothing = f"no line of {self._view.filter_lines.text} in this part of the log"
        else:
            nothing = "reading"
        return [title, line((nothing, Role.BAD if self.problem else Role.TEXT))]

    def _position(self) -> str:
        """Which part of the log is in the window, and what is not shown."""
        window = self._view.window
        if self.problem and window.size:
            return self.problem
        if not window.size:
            return ""
        size = format_bytes(window.size, is_short=True)
        parts = [f"{size}, all" if window.start == 0 and window.end >= window.size else ""]
        if not parts[0]:
            start, end = (format_bytes(edge, is_short=True) for edge in (window.start, window.end))
            last = format_bytes(window.size - window.start, is_short=True)
            parts = [f"the last {last} of {size}" if window.end >= window.size else f"{start} to {end} of {size}"]
        if self._view.filter_lines.text:
            parts.append(f"only {self._view.filter_lines.text}")
        if self._view.search:
            parts.append(f"{self._view.num_matches()} rows with {self._view.search!r} in this part")
        elif self._skipped_bytes:
            parts.append(f"{format_bytes(self._skipped_bytes, is_short=True)} skipped, g reads from the start")
        elif not self._view.is_at_end:
            below = max(0, window.size - window.end)
            parts.append(f"{format_bytes(below, is_short=True)} more below, G follows" if below else "G follows")
        return "; ".join(parts)
