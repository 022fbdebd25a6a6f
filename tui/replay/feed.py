"""Feed of a replay: a thread folds the journal up to the replayed time, and gives what a daemon gave then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace

from bertd.api.models import EventView, JobView, RecipeView, RunView, ScoreView, SeriesAxis, SeriesView
from bertd.api.sweep_models import SweepView
from bertd.errors import BertdError
from bertd.run.recipe.load import format_recipe
from tui.charts.chart_data import ChartData
from tui.charts.chart_view import CurvesRequest
from tui.charts.event_marks import MARKED_TYPES
from tui.charts.reference import Reference, reference_of_run
from tui.replay import views
from tui.replay.journal_playing import JournalPlaying
from tui.replay.playback import Playback
from tui.replay.recorded_run import RecordedRun, find_end
from tui.replay.refused_requests import RefusedRequests
from tui.snapshot import Link, LinkState, Snapshot

logger = logging.getLogger(__name__)

_EVERY_S = 0.5


class ReplayFeed(RefusedRequests):
    """Shows one run at the time of `playback`."""

    def __init__(self, run: RecordedRun, playback: Playback) -> None:
        self._run = run
        self.playback = playback
        self._playing = JournalPlaying(run)
        self._lock = threading.Lock()
        """Of all below, and of what is folded."""
        self._request = CurvesRequest()
        self._newest = Snapshot(now=playback.now(), link=Link(LinkState.REPLAY), run_id=run.id)
        self._problem = ""
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow the replayed time; its first moment is there at once."""
        if self._thread is None:
            self.catch_up()
            self._thread = threading.Thread(target=self._follow, name="replay", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._is_closed = True
        self.playback.changed.set()

    def _follow(self) -> None:
        while not self._is_closed:
            try:
                self.catch_up()
            except BertdError as error:
                # Such as a disk that does not answer; it is tried again.
                logger.warning("%s", error)
                self._problem = str(error)
            self.playback.changed.wait(_EVERY_S)

    def catch_up(self) -> None:
        """Fold all up to the replayed time, or until a key changes it.

        Raises:
            RunFolderError: the journal cannot be read.
        """
        self.playback.changed.clear()
        end_t = find_end(self._run.journal)
        if end_t is not None:
            self.playback.extend(end_t)
        now, is_end = self.playback.now(), self.playback.state().is_at_end
        if now < self._playing.folded_t:
            with self._lock:
                self._playing = JournalPlaying(self._run)
        while not self._is_closed:
            with self._lock:
                has_more = self._playing.advance(now, is_end=is_end)
            if not has_more:
                break
            if self.playback.changed.is_set():
                return
        self._problem = ""
        self._publish(now)

    def _publish(self, now: float) -> None:
        with self._lock:
            run, playing = self._run, self._playing
            events = tuple(playing.events)
            marked = tuple(event for event in events if event.type in MARKED_TYPES)
            self._newest = Snapshot(
                now=now,
                link=Link(LinkState.REPLAY),
                status=views.status_view(run, playing),
                run_id=run.id,
                series=views.whole_series(run, playing, self._request),
                events=events,
                charts=ChartData(
                    run.id,
                    views.window_series(run, playing, self._request),
                    marked,
                    tuple(views.score_views(run, playing)),
                    run.recipe,
                ),
            )

    def snapshot(self) -> Snapshot:
        """What was folded last; never blocks."""
        newest = replace(self._newest, playback=self.playback.state())
        return replace(newest, curves_note=self._problem) if self._problem else newest

    def select_run(self, run_id: str) -> None:
        """Do nothing: there is only one run."""

    def open_run(self, run_id: str) -> None:
        """Do nothing: there is only one run."""

    def choose(self, name: str) -> None:
        """Do nothing: there is no daemon."""

    def show_curves(self, request: CurvesRequest) -> None:
        with self._lock:
            self._request = request
        self._publish(self._newest.now)

    def read_reference(self, run_id: str, name: str) -> Reference:
        return reference_of_run(self.several_series([run_id], x="progress")[0], name=name)

    def jobs(self) -> list[JobView]:
        with self._lock:
            return [views.job_view(self._run, self._playing)]

    def job(self, job_id: int) -> JobView:
        return self.jobs()[0]

    def runs(self) -> list[RunView]:
        with self._lock:
            return [views.run_view(self._run, self._playing)]

    def run(self, run_id: str) -> RunView:
        return self.runs()[0]

    def recipe(self, run_id: str) -> RecipeView:
        return RecipeView(run_id=self._run.id, toml=format_recipe(self._run.recipe))

    def several_series(self, run_ids: Sequence[str], *, x: SeriesAxis) -> list[SeriesView]:
        with self._lock:
            series = views.whole_series(self._run, self._playing, CurvesRequest(axis=x))
        return [series for _ in run_ids]

    def sweeps(self) -> list[SweepView]:
        """None: a journal is of one run."""
        return []

    def device_events(self) -> list[EventView]:
        """None: what the daemon noticed of devices is not in a journal."""
        return []

    def scores(self) -> list[ScoreView]:
        with self._lock:
            return views.score_views(self._run, self._playing)
