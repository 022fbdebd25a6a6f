"""Feed of the simulated machine: the same interface as the real feed, without thread and socket."""

from __future__ import annotations

import time
from collections.abc import Callable

from bertd.api.models import JobView, LogView, ScoreView, SeriesView, SubmitFinetune
from tui.simulated import curves, views
from tui.simulated.box import RUN_ID, SimulatedBox
from tui.snapshot import Link, LinkState, Snapshot

_POINTS = 240


class SimulatedFeed:
    """A feed whose time runs `speed` times as fast as the clock."""

    def __init__(self, *, speed: float = 60.0, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._speed = speed
        self._started_at = clock()
        self._box = SimulatedBox(epoch=self._started_at)
        self._series: tuple[int, SeriesView] | None = None

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
        )

    def select_run(self, run_id: str) -> None:
        """Do nothing: there is only one run."""

    def choose(self, name: str) -> None:
        """Do nothing: this is one machine's feed."""

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

    def submit(self, job: SubmitFinetune) -> JobView:
        return self._advance_box().submit(job)

    def log(self, job_id: int, *, offset: int, limit: int) -> LogView:
        return views.log(self._advance_box(), job_id, offset=offset, limit=limit)

    def scores(self) -> list[ScoreView]:
        return views.scores(self._advance_box())

    def _advance_box(self) -> SimulatedBox:
        self._box.advance(self._started_at + (self._clock() - self._started_at) * self._speed)
        return self._box

    def _curves(self) -> SeriesView:
        """The curves, computed again when a column of the chart is complete, as in the real feed."""
        column = int(self._box.progress * _POINTS)
        if self._series is None or self._series[0] != column:
            self._series = (column, curves.series(RUN_ID, progress=self._box.progress, columns=_POINTS))
        return self._series[1]
