"""Feed of the simulated machine: the same interface as the real feed, without thread and socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bertd.api.models import (
    AnySubmission,
    DeviceView,
    EventView,
    GridEstimateView,
    JobView,
    LendEstimateView,
    LogView,
    RecipeView,
    RunView,
    ScoreView,
    SeriesAxis,
    SeriesView,
    SubmitFinetune,
    SubmitGrid,
)
from bertd.api.sweep_models import SweepView
from bertd.records import BudgetRequest
from tui.charts.chart_data import ChartData
from tui.charts.chart_view import CurvesRequest
from tui.charts.reference import Reference, reference_of_run
from tui.simulated import archive, charts, curves, device_views, glue_views, queue_views, views
from tui.simulated.box import RUN_ID, SimulatedBox
from tui.snapshot import Link, LinkState, Place, Snapshot

if TYPE_CHECKING:
    from bertd.run.recipe.schema import Recipe

_POINTS = 240
_RECIPE_AFTER = 3
"""Snapshots."""


class SimulatedFeed:
    """A feed whose time runs `speed` times as fast as the clock."""

    def __init__(self, *, speed: float = 60.0, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._speed = speed
        self._started_at = clock()
        self._box = SimulatedBox(epoch=self._started_at)
        self._series: tuple[int, SeriesView] | None = None
        self._zoomed: SeriesView | None = None
        self._request = CurvesRequest()
        self._events: tuple[EventView, ...] = ()
        self._scores: tuple[ScoreView, ...] = ()
        self._events_of: list[EventView] | None = None
        """The events of the box that both were made from."""
        self._recipe: Recipe | None = None
        self._num_snapshots = 0

    def start(self) -> None:
        """Do nothing: the state is a function of the time."""

    def close(self) -> None:
        """Do nothing."""

    def snapshot(self) -> Snapshot:
        """The current state."""
        box = self._advance_box()
        return Snapshot(
            now=box.now,
            link=Link(LinkState.SIMULATED),
            status=views.status(box),
            run_id=RUN_ID,
            series=self._curves(),
            events=tuple(box.events),
            device_history=device_views.history(box),
            charts=self._chart_data(),
        )

    def select_run(self, run_id: str) -> None:
        """Do nothing: there is only one run."""

    def choose(self, name: str) -> None:
        """Do nothing: this is one machine's feed."""

    def show_curves(self, request: CurvesRequest) -> None:
        self._request, self._series = request, None

    def read_curves(self, request: CurvesRequest) -> tuple[SeriesView, SeriesView | None]:
        """The whole curves, and those in the window."""
        return charts.whole(self._box, request), charts.window(self._box, request)

    def read_reference(self, run_id: str, name: str) -> Reference:
        return reference_of_run(curves.series(run_id, progress=1.0, columns=_POINTS), name=name)

    def open_run(self, run_id: str) -> None:
        """Do nothing: there is only one run."""

    def jobs(self) -> list[JobView]:
        return views.status(self._advance_box()).jobs

    def pause(self, job_id: int, *, hot: bool = False) -> JobView:
        return self._advance_box().apply_action("pause hot" if hot else "pause", job_id)

    def resume(self, job_id: int) -> JobView:
        return self._advance_box().apply_action("resume", job_id)

    def checkpoint(self, job_id: int) -> JobView:
        return self._advance_box().apply_action("checkpoint", job_id)

    def stop(self, job_id: int) -> JobView:
        return self._advance_box().apply_action("stop", job_id)

    def hold(self, job_id: int) -> JobView:
        return self._advance_box().apply_action("hold", job_id)

    def release(self, job_id: int) -> JobView:
        return self._advance_box().apply_action("release", job_id)

    def prioritize(self, job_id: int, priority: int) -> JobView:
        return self._advance_box().prioritize(job_id, priority)

    def submit(self, job: AnySubmission) -> JobView:
        return self._advance_box().submit(job)

    def finetune_later(self, run: str, arguments: Sequence[str], *, after: str) -> JobView:
        return self._advance_box().submit_later(run, after=after)

    def change_budget(self, run_id: str, request: BudgetRequest) -> RunView:
        box = self._advance_box()
        box.change_budget(request)
        return views.run(box)

    def would_start(self, job_id: int) -> list[JobView]:
        return self._advance_box().would_start(job_id)

    def estimate_lend(self, order: SubmitFinetune | SubmitGrid) -> LendEstimateView:
        return views.lend_estimate(self._advance_box())

    def estimate_grid(self, grid: SubmitGrid) -> GridEstimateView:
        return views.grid_estimate(grid)

    def log(self, job_id: int, *, offset: int, limit: int) -> LogView:
        return views.log(self._advance_box(), job_id, offset=offset, limit=limit)

    def scores(self) -> list[ScoreView]:
        return glue_views.scores(self._advance_box())

    def move(self, job_id: int, *, to: Place, job: int | None = None) -> JobView:
        return self._advance_box().move(job_id, to=to, other_id=job)

    def clone(self, job_id: int) -> JobView:
        return self._advance_box().clone(job_id)

    def drain(self, device_id: str) -> DeviceView:
        return self._set_drained(device_id, is_drained=True)

    def undrain(self, device_id: str) -> DeviceView:
        return self._set_drained(device_id, is_drained=False)

    def _set_drained(self, device_id: str, *, is_drained: bool) -> DeviceView:
        box = self._advance_box()
        box.set_drained(device_id, is_drained=is_drained)
        return next(device for device in views.status(box).devices if device.id == device_id)

    def job(self, job_id: int) -> JobView:
        return queue_views.job(self._advance_box(), job_id)

    def sweeps(self) -> list[SweepView]:
        return queue_views.sweeps(self._advance_box())

    def runs(self) -> list[RunView]:
        return archive.runs(self._advance_box())

    def run(self, run_id: str) -> RunView:
        return archive.run(self._advance_box(), run_id)

    def recipe(self, run_id: str) -> RecipeView:
        return archive.recipe(run_id)

    def several_series(self, run_ids: Sequence[str], *, x: SeriesAxis) -> list[SeriesView]:
        return archive.several_series(self._advance_box(), run_ids, x=x)

    def device_events(self) -> list[EventView]:
        return device_views.events(self._advance_box())

    def log_since(self, job_id: int, *, t: float, limit: int) -> LogView:
        return views.log_since(self._advance_box(), job_id, t=t, limit=limit)

    def _advance_box(self) -> SimulatedBox:
        self._box.advance(self._started_at + (self._clock() - self._started_at) * self._speed)
        return self._box

    def _curves(self) -> SeriesView:
        """The curves, computed again when a column of the chart is complete, as in the real feed."""
        column = int(self._box.progress * _POINTS)
        if self._series is None or self._series[0] != column:
            whole, self._zoomed = self.read_curves(self._request)
            self._series = (column, whole)
        return self._series[1]

    def _chart_data(self) -> ChartData:
        """What the charts show besides; a recipe is read after the first frame, as in the real feed."""
        self._num_snapshots += 1
        if self._num_snapshots == _RECIPE_AFTER:
            self._recipe = charts.recipe()
        if self._events_of is not self._box.events:
            self._events_of, self._events = self._box.events, charts.events(self._box)
            self._scores = tuple(glue_views.scores(self._box))
        return ChartData(RUN_ID, self._zoomed, self._events, self._scores, self._recipe)
