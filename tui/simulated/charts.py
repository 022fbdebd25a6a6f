"""What the charts of the simulated run are drawn from: curves on every axis, events of its past, its recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertd.api.models import EventView, PositionsView, SeriesAxis, SeriesView
from bertd.records import ForecastRecord
from tui.charts.chart_view import CurvesRequest, Window
from tui.charts.event_marks import MARKED_TYPES
from tui.simulated import curves
from tui.simulated.box import (
    BATCH,
    BUDGET_S,
    CHECKPOINT_EVERY_S,
    JOB_ID,
    RUN_ID,
    START_PROGRESS,
    STEPS_PER_S,
    Downtime,
    SimulatedBox,
    checkpoint_text,
)

if TYPE_CHECKING:
    from bertd.run.recipe.schema import Recipe

_COLUMNS = 240
_POSITIONS = 120
_RUN_S = 38_880.0
"""Seconds from its start to the begin of the simulation."""


def whole(box: SimulatedBox, request: CurvesRequest) -> SeriesView:
    """The whole curves, with positions."""
    series = curves.series(RUN_ID, progress=box.progress, columns=_COLUMNS)
    return _on_axis(box, series, request).model_copy(update={"positions": _positions(box)})


def window(box: SimulatedBox, request: CurvesRequest) -> SeriesView | None:
    """The curves in the window."""
    if request.window is None:
        return None
    series = curves.series(RUN_ID, progress=box.progress, columns=8 * _COLUMNS)
    shown = _on_axis(box, series, request)
    kept = Window(request.window.low - request.window.size / 2, request.window.high + request.window.size / 2)
    return shown.model_copy(
        update={
            name: {
                column: [pair for pair in points if kept.low <= pair[0] <= kept.high]
                for column, points in getattr(shown, name).items()
            }
            for name in ("columns", "smoothed")
        }
    )


def events(box: SimulatedBox) -> tuple[EventView, ...]:
    """The run's events that a chart marks: its past, then what the simulation added."""
    past = [
        _event(box, index, charged_s, "checkpoint", checkpoint_text(int(charged_s * STEPS_PER_S), "interval"))
        for index, charged_s in enumerate(_multiples(CHECKPOINT_EVERY_S, until=START_PROGRESS * BUDGET_S))
    ]
    others: tuple[tuple[float, str, str, dict[str, object]], ...] = (
        (0.1, "export", "export at 10 % of the budget", {"markers": [0.1]}),
        (curves.CRASH_PROGRESS, "restart", "restart: rank 3 died: CUDA error 719; attempt 2 begins in 1 s", {}),
        (curves.SPIKE_PROGRESS, "alert", "warning loss_spike: the loss rose by 0.9 nats in 20 steps", {}),
        (curves.PAUSE_PROGRESS, "state", "paused at step 7822: paused by you", {"state": "paused"}),
    )
    past += [
        _event(box, len(past) + index, share * BUDGET_S, type, text).model_copy(update={"data": data})
        for index, (share, type, text, data) in enumerate(others)
    ]
    since = [event for event in box.events if event.type in MARKED_TYPES and event.t > box.epoch]
    return (*sorted(past, key=lambda event: event.t), *since)


def forecast(box: SimulatedBox) -> ForecastRecord | None:
    """A forecast after each validation, from a tenth of the budget on; its band narrows."""
    at = int(box.progress / curves.VALIDATE_EVERY + 1e-6) * curves.VALIDATE_EVERY
    if at < 0.1:
        return None
    shares = [at + (1 - at) * index / 40 for index in range(41)]
    final, half = curves.validation_loss(1.0), 0.01 + 0.06 * (1 - at)
    return ForecastRecord(
        t=_time_at(box, at * BUDGET_S),
        step=int(at * BUDGET_S * STEPS_PER_S),
        charged_s=at * BUDGET_S,
        progress=at,
        loss=final,
        low=final - half,
        high=final + half,
        end_step=int(BUDGET_S * STEPS_PER_S),
        curve=[(share, curves.smooth_loss(share) + 0.06) for share in shares],
        basis="the simulation's own curve",
    )


def recipe() -> Recipe:
    """Only its schedule and its peak learning rate matter here; the rest is 24hBERT's."""
    from bertd.run.recipe.load import parse_recipe

    text = (
        f'[run]\nname = "academic-large"\n[budget]\nhours = 24\n[data]\nshards = "wiki-books"\n'
        f"[optimizer]\npeak_lr = {curves.PEAK_LR}\n[schedule]\nwarmup = {curves.WARMUP}\n"
    )
    return parse_recipe(text, name="the simulated recipe")


def _event(box: SimulatedBox, index: int, charged_s: float, type: str, text: str) -> EventView:
    t = _time_at(box, charged_s)
    return EventView(id=-1000 + index, t=t, type=type, job_id=JOB_ID, run_id=RUN_ID, text=text, data={})


def _multiples(every: float, *, until: float) -> list[float]:
    return [every * number for number in range(1, int(until / every) + 1)]


def _time_at(box: SimulatedBox, charged_s: float) -> float:
    """When the run had been charged this much, before a downtime that began there."""
    down_s = sum(each.seconds for each in box.downtimes if each.charged_s < charged_s)
    return box.epoch - _RUN_S + charged_s + down_s


def _positions(box: SimulatedBox) -> PositionsView:
    evenly = [box.charged_s * index / _POSITIONS for index in range(1, _POSITIONS + 1)]
    rows = {(_time_at(box, charged_s), charged_s) for charged_s in evenly}
    for down in box.downtimes:
        rows |= _ends(box, down)
    ordered = sorted(rows)
    return PositionsView(
        began_t=box.epoch - _RUN_S,
        t=[t for t, _ in ordered],
        charged_s=[charged_s for _, charged_s in ordered],
        progress=[charged_s / BUDGET_S for _, charged_s in ordered],
        step=[int(charged_s * STEPS_PER_S) for _, charged_s in ordered],
        sequences=[int(charged_s * STEPS_PER_S) * BATCH for _, charged_s in ordered],
    )


def _ends(box: SimulatedBox, down: Downtime) -> set[tuple[float, float]]:
    begin = _time_at(box, down.charged_s)
    return {(begin, down.charged_s), (begin + down.seconds, down.charged_s)}


def _on_axis(box: SimulatedBox, series: SeriesView, request: CurvesRequest) -> SeriesView:
    """The curves on the axis that is asked for, and the loss smoothed."""
    smoothed = [(x, (3 * curves.smooth_loss(x) + y) / 4) for x, y in series.columns["loss"][::2]]
    return SeriesView(
        run_id=RUN_ID,
        x=request.axis,
        columns={name: _moved(box, request.axis, points) for name, points in series.columns.items()},
        smoothed={"loss": _moved(box, request.axis, smoothed)} if request.smoothing else {},
    )


def _moved(box: SimulatedBox, axis: SeriesAxis, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points whose x is the share of the budget, on another axis."""
    return [(_x(box, axis, progress * BUDGET_S), y) for progress, y in points]


def _x(box: SimulatedBox, axis: SeriesAxis, charged_s: float) -> float:
    match axis:
        case "progress":
            return charged_s / BUDGET_S
        case "charged_s":
            return charged_s
        case "wall_s":
            return _time_at(box, charged_s) - _time_at(box, 0.0)
        case "step":
            return charged_s * STEPS_PER_S
        case "sequences":
            return charged_s * STEPS_PER_S * BATCH
        case "tokens":
            return charged_s * STEPS_PER_S * BATCH * curves.SEQUENCE_LENGTH
