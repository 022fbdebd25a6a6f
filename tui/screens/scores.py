"""View of all finetuning scores."""

from __future__ import annotations

from textual.app import ComposeResult

from bertd.api.models import ScoreView
from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, line
from tui.panels import scores
from tui.screens.polling import PollingScreen, Request
from tui.snapshot import Feed, Snapshot
from tui.widgets.scroller import Scroller
from tui.widgets.search_bar import SearchBar
from tui.written_view import Table, scores_table


class ScoresScreen(PollingScreen):
    """Scores grouped by task and export."""

    POLL_INTERVAL_S = 5.0

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._scores: list[ScoreView] | None = None
        """None: not known yet."""
        self.search_bar: SearchBar = SearchBar("show only the scores with this text; esc shows all")

    def compose(self) -> ComposeResult:
        yield self._header
        yield Scroller(self._draw, id="all-scores")
        yield self.search_bar
        yield self._footer

    def next_request(self) -> Request | None:
        """All scores."""
        return self.feed.scores

    def receive(self, answer: object) -> bool:
        """Keep the scores."""
        assert isinstance(answer, list)
        self._scores = answer
        return False

    def table(self) -> Table:
        """All scores."""
        return scores_table(self._scores or [])

    def _draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        problem = [line((self.problem, Role.BAD))] if self.problem else []
        return [*scores.draw(self._scores, options, width), *problem]
