"""What a daemon would have answered about the run at the replayed time. Pure."""

from __future__ import annotations

import math

import bertd
from bertd.api.models import JobView, RunView, ScoreView, SeriesView, StatusView, VersionView
from bertd.metrics.budget_view import build_budget_view
from bertd.metrics.run_view import build_run_view
from bertd.records import JobKind, JobState
from tui.charts.chart_view import CurvesRequest, newest_x
from tui.replay.journal_playing import JournalPlaying
from tui.replay.recorded_run import RecordedRun
from tui.snapshot import CURVES

POINTS = 240
_OVER = (JobState.DONE, JobState.FAILED)
_NUM_STATUS_EVENTS = 20


def run_view(run: RecordedRun, playing: JournalPlaying) -> RunView:
    """The run; charged as its newest record says."""
    summary, state = playing.summary, playing.state
    charged_s = summary.progress.charged_s or 0.0
    return build_run_view(
        run.recipe,
        summary,
        id=run.id,
        job_id=run.job_id,
        name=run.recipe.run.name,
        state=state.state,
        pause=state.pause,
        reason=state.reason,
        folder=str(run.folder),
        budget=build_budget_view(run.recipe, summary, charged_s=charged_s, is_over=state.state is JobState.DONE),
    )


def job_view(run: RecordedRun, playing: JournalPlaying) -> JobView:
    """Its job; which devices it had is not in the journal."""
    state, summary = playing.state, playing.summary
    view = run_view(run, playing)
    return JobView(
        id=run.job_id,
        kind=JobKind.PRETRAIN,
        name=run.recipe.run.name,
        state=state.state,
        pause=state.pause,
        reason=state.reason,
        priority=0,
        run_id=run.id,
        folder=str(run.folder),
        num_devices=summary.start.world_size if summary.start is not None else run.recipe.devices.count,
        devices=[],
        owner_uid=0,
        created_t=run.begin_t,
        started_t=state.started_t,
        ended_t=state.ended_t,
        progress=view.budget.progress,
    )


def status_view(run: RecordedRun, playing: JournalPlaying) -> StatusView:
    """A machine with one run."""
    is_over = playing.state.state in _OVER
    return StatusView(
        version=VersionView(
            bertd=bertd.__version__, api=1, pid=0, state_dir=str(run.folder.parent), started_t=run.begin_t
        ),
        runs=[run_view(run, playing)],
        num_runs=0 if is_over else 1,
        jobs=[job_view(run, playing)],
        devices=[],
        events=list(playing.events)[-_NUM_STATUS_EVENTS:],
    )


def whole_series(run: RecordedRun, playing: JournalPlaying, request: CurvesRequest) -> SeriesView:
    """All curves up to the replayed time."""
    half_life = request.smoothing * newest_x(run_view(run, playing), request.axis)
    return _series(run, playing, request, points=POINTS, half_life=half_life, has_positions=True)


def window_series(run: RecordedRun, playing: JournalPlaying, request: CurvesRequest) -> SeriesView | None:
    """The curves in the window and half of it on each side, if there is one."""
    window = request.window
    if window is None:
        return None
    low, high = window.low - window.size / 2, window.high + window.size / 2
    return _series(
        run, playing, request, points=2 * POINTS, half_life=request.smoothing * window.size, low=low, high=high
    )


def score_views(run: RecordedRun, playing: JournalPlaying) -> list[ScoreView]:
    """Scores in the run's own journal."""
    return [ScoreView(job_id=run.job_id, run_id=run.id, score=score) for score in playing.summary.scores]


def _series(
    run: RecordedRun,
    playing: JournalPlaying,
    request: CurvesRequest,
    *,
    points: int,
    half_life: float,
    low: float = -math.inf,
    high: float = math.inf,
    has_positions: bool = False,
) -> SeriesView:
    curves, axis = playing.curves, request.axis
    smoothed: dict[str, list[tuple[float, float]]] = {}
    if half_life > 0:
        smoothed = curves.read_smoothed(
            columns=CURVES, axis=axis, points=points, half_life=half_life, low=low, high=high
        )
    return SeriesView(
        run_id=run.id,
        x=axis,
        columns=curves.read(columns=CURVES, axis=axis, points=points, low=low, high=high),
        smoothed=smoothed,
        records_per_bin=curves.records_per_bin,
        positions=curves.read_positions(points=points) if has_positions else None,
    )
