"""View of all finetuning scores, and of the grids that make them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, line
from tui.panels import scores
from tui.screens.polling import PollingScreen, Request
from tui.snapshot import Feed, Snapshot
from tui.widgets.scroller import Scroller
from tui.widgets.search_bar import SearchBar
from tui.written_view import Table, scores_table

if TYPE_CHECKING:
    from bertd.api.models import RunView, ScoreView


class ScoresScreen(PollingScreen):
    """Asks for the scores, and for what is kept of the shown run."""

    POLL_INTERVAL_S = 5.0

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._scores: list[ScoreView] | None = None
        """None: not known yet."""
        self._run: RunView | None = None
        """The run that was shown when the scores were asked for, with its kept checkpoints and grids."""
        self.search_bar: SearchBar = SearchBar("show only the scores with this text; esc shows all")

    def compose(self) -> ComposeResult:
        yield self._header
        yield Scroller(self._draw, id="all-scores")
        yield self.search_bar
        yield self._footer

    def next_request(self) -> Request | None:
        """All scores, and what is kept of the shown run."""
        run = self._newest[0].run if self._newest is not None else None
        return partial(self._fetch, run.id if run is not None else None)

    def _fetch(self, run_id: str | None) -> tuple[list[ScoreView], RunView | None]:
        return self.feed.scores(), self.feed.run(run_id) if run_id is not None else None

    def receive(self, answer: object) -> bool:
        """Keep the scores; at once ask for the run, if none was shown when this was asked."""
        assert isinstance(answer, tuple)
        self._scores, self._run = answer
        return self._run is None and self._newest is not None and self._newest[0].run is not None

    def table(self) -> Table:
        """All scores."""
        return scores_table(self._scores or [])

    def _draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        problem = [line((self.problem, Role.BAD))] if self.problem else []
        run_id = snapshot.run.id if snapshot.run is not None else None
        shown = self._run if self._run is not None and self._run.id == run_id else None
        return [*scores.draw(self._scores, shown, snapshot, options, width), *problem]
