"""Request what the charts of one run are drawn from: its curves, events, scores and recipe.

The feed's thread uses it, and another one when the view changes; it keeps nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bertd.api.client import Client
from bertd.api.models import EventView, RunView, ScoreView, SeriesView
from bertd.errors import RecipeError, RunFolderError, StillReadingError, UnknownJobError
from tui.charts.chart_data import ChartData
from tui.charts.chart_view import CurvesRequest, newest_x
from tui.charts.event_marks import MARKED_TYPES
from tui.snapshot import CURVES

if TYPE_CHECKING:
    from bertd.run.recipe.schema import Recipe

POINTS = 240
"""Points requested per curve: a cell has two dots across, so this fills a chart 120 cells wide."""
_MAX_EVENTS = 1000
"""The newest; the daemon answers no more at once."""


class CurveReader:
    """Asks one daemon."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def read_whole(self, run: RunView, request: CurvesRequest) -> tuple[SeriesView, str]:
        """The whole curves, and why there are none yet: a deleted run has none, nor has one whose journal the daemon
        still reads."""
        try:
            return self._client.series(
                run.id,
                x=request.axis,
                points=POINTS,
                columns=CURVES,
                half_life=request.smoothing * newest_x(run, request.axis) or None,
                has_positions=True,
            ), ""
        except (UnknownJobError, RunFolderError, StillReadingError) as error:
            empty = SeriesView(run_id=run.id, x=request.axis, columns={})
            return empty, str(error) if isinstance(error, StillReadingError) else ""

    def read_window(self, run: RunView, request: CurvesRequest) -> SeriesView | None:
        """The curves in the window, if there is one."""
        window = request.window
        if window is None:
            return None
        margin = window.size / 2  # Drawn at once when the window is moved.
        try:
            return self._client.series(
                run.id,
                x=request.axis,
                points=2 * POINTS,
                columns=CURVES,
                low=window.low - margin,
                high=window.high + margin,
                half_life=request.smoothing * window.size or None,
            )
        except (UnknownJobError, RunFolderError, StillReadingError):
            return None

    def read_events(self, run_id: str) -> tuple[EventView, ...]:
        """The run's events that a chart marks, oldest first; a deleted run has none."""
        try:
            return tuple(reversed(self._client.past_events(run=run_id, types=MARKED_TYPES, limit=_MAX_EVENTS)))
        except (UnknownJobError, RunFolderError):
            return ()

    def read_recipe(self, run_id: str) -> Recipe | None:
        """The run's recipe, if it has one that this version can read."""
        from bertd.run.recipe.load import parse_recipe  # Not before the first frame: it takes a tenth of a second.

        try:
            return parse_recipe(self._client.recipe(run_id).toml, name=f"the recipe of {run_id}")
        except (UnknownJobError, RunFolderError, RecipeError):
            return None

    def read_scores(self, run_id: str) -> tuple[ScoreView, ...]:
        """The scores of the run's finetunings; a deleted run has none."""
        try:
            return tuple(self._client.scores(run_id))
        except (UnknownJobError, RunFolderError):
            return ()


def with_event(data: ChartData, event: EventView) -> ChartData:
    """With an event, if it is the run's and a chart marks it."""
    if event.run_id != data.run_id or event.type not in MARKED_TYPES or any(event.id == one.id for one in data.events):
        return data
    return replace(data, events=(*data.events[1 - _MAX_EVENTS :], event))
