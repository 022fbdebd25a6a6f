"""View of all finetuning scores."""

from __future__ import annotations

from textual.app import ComposeResult

from bertd.api.models import ScoreView
from tui.display_options import DisplayOptions
from tui.lines import Line, Role, line
from tui.panels import scores
from tui.screens.polling import PollingScreen
from tui.snapshot import Feed, Snapshot
from tui.widgets.scroller import Scroller


class ScoresScreen(PollingScreen):
    """Scores grouped by task and export."""

    POLL_INTERVAL_S = 5.0

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._scores: list[ScoreView] = []

    def compose(self) -> ComposeResult:
        yield self._header
        yield Scroller(self._draw, id="all-scores")
        yield self._footer

    def fetch(self) -> None:
        """Request all scores."""
        self._scores = self.feed.scores()

    def _draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        problem = [line((self.problem, Role.BAD))] if self.problem else []
        return [*scores.draw(self._scores, options, width), *problem]
