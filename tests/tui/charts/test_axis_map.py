"""Everything that has a time, a step or a share has its place on every axis."""

from __future__ import annotations

import pytest

from bertd.api.models import PositionsView, SeriesView
from tests.tui.fake_feed import FakeFeed
from tui.charts.axis_map import AxisMap
from tui.charts.chart_view import AXES

BEGAN_T = 1_000_000.0


def _series(**changes: object) -> SeriesView:
    """A step a second, a pause of 50 s after step 100, and a restart from step 150 to step 120."""
    columns: dict[str, object] = {
        "began_t": BEGAN_T,
        "t": [BEGAN_T + 100, BEGAN_T + 150, BEGAN_T + 200, BEGAN_T + 201, BEGAN_T + 281],
        "charged_s": [100.0, 100.0, 150.0, 151.0, 231.0],
        "progress": [0.1, 0.1, 0.15, 0.12, 0.2],
        "step": [100, 100, 150, 120, 200],
        "sequences": [400, 400, 600, 480, 800],
    }
    return SeriesView(run_id="r", x="step", columns={}, positions=PositionsView.model_validate(columns | changes))


def _map(series: SeriesView | None = None, *, left_s: float | None = 800.0) -> AxisMap:
    run = FakeFeed().status.runs[0]
    budget = run.budget.model_copy(update={"remaining_s": left_s, "projected_step": 1000, "charged_s": 231.0})
    return AxisMap(run.model_copy(update={"budget": budget}), series or _series(), now=BEGAN_T + 281)


def test_a_time_has_a_place_on_every_axis() -> None:
    places = {axis: _map().find(axis, by="t", value=BEGAN_T + 50) for axis in AXES}
    expected = {"progress": 0.05, "step": 50, "sequences": 200, "tokens": 200 * 128, "charged_s": 50, "wall_s": 50}
    assert places == pytest.approx(expected)


def test_a_step_that_was_made_twice_is_where_it_was_made_last() -> None:
    assert _map().find("wall_s", by="step", value=130) == pytest.approx(211)


def test_the_end_is_as_the_daemon_projects_it_and_events_after_the_newest_step_have_a_place() -> None:
    assert _map().end("step") == 1000
    assert _map().end("wall_s") == pytest.approx(281 + 800)
    assert _map().end("charged_s") == pytest.approx(231 + 800)
    assert _map(left_s=None).end("step") == 200
    assert _map(left_s=None).find("step", by="t", value=BEGAN_T + 999) == 200
    assert _map().find("step", by="t", value=BEGAN_T - 1) is None


def test_a_pause_has_a_width_in_wall_time_alone() -> None:
    (pause,) = _map().pauses("wall_s", paused_until=None)
    assert (pause.low, pause.high) == (100, 150)
    assert _map().pauses("charged_s", paused_until=None) == []
    newest = _map().pauses("wall_s", paused_until=BEGAN_T + 400)[-1]
    assert (newest.low, newest.high) == (281, 400)


def test_without_positions_there_is_the_axis_of_the_budget_alone() -> None:
    bare = AxisMap(FakeFeed().status.runs[0], SeriesView(run_id="r", x="progress", columns={}), now=BEGAN_T)
    assert bare.axes == ("progress",)
    assert bare.find("progress", by="progress", value=0.3) == 0.3
    assert bare.find("step", by="t", value=BEGAN_T) is None
    assert bare.pauses("wall_s", paused_until=None) == []


def test_a_place_moves_to_another_axis_and_back() -> None:
    for axis in AXES:
        there = _map().move(180.0, "step", axis)
        assert there is not None
        assert _map().move(there, axis, "step") == pytest.approx(180.0)
