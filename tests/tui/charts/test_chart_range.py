"""The visible ranges: outliers do not set the scale, a window is drawn in detail."""

from __future__ import annotations

import math

from bertd.api.models import SeriesView
from tests.tui.fake_feed import FakeFeed
from tui.charts.axis_labels import share_label, time_label, x_ticks
from tui.charts.axis_map import AxisMap
from tui.charts.chart_range import loss_scale, merged, x_scale
from tui.charts.chart_view import ChartView, Window
from tui.display_options import DisplayOptions
from tui.drawing.ticks import Scale

_STEPS = [(index / 1000, 2.0 + math.exp(-index / 300)) for index in range(1000)]


def test_a_spike_of_a_few_steps_does_not_set_the_scale() -> None:
    with_spike = [(x, 40.0 if 0.5 < x < 0.51 else y) for x, y in _STEPS]
    calm = loss_scale(_STEPS, [], [], Scale(0.0, 1.0), DisplayOptions())
    assert loss_scale(with_spike, [], [], Scale(0.0, 1.0), DisplayOptions()).high <= calm.high + 0.5


def test_a_nan_does_not_set_the_scale_and_a_validation_point_does() -> None:
    with_gap = [*_STEPS, (1.0, math.nan)]
    scale = loss_scale(with_gap, [], [[(0.5, 5.0)]], Scale(0.0, 1.0), DisplayOptions())
    assert scale.high >= 5.0 and math.isfinite(scale.low)
    assert loss_scale([], [], [], Scale(0.0, 1.0), DisplayOptions()).low == 0.0


def test_a_window_scales_by_what_it_shows() -> None:
    scale = loss_scale(_STEPS, [], [], Scale(0.9, 1.0), DisplayOptions())
    assert scale.high < 2.2


def test_without_a_window_x_ends_at_a_round_share_of_the_budget() -> None:
    run = FakeFeed().status.runs[0]
    axis_map = AxisMap(run, FakeFeed().current.series, now=FakeFeed().current.now)
    assert x_scale(ChartView(), "progress", axis_map, is_whole_budget=False) == Scale(0.0, 0.5)
    assert x_scale(ChartView(), "progress", axis_map, is_whole_budget=True) == Scale(0.0, 1.0)
    steps = x_scale(ChartView(axis="step"), "step", axis_map, is_whole_budget=True)
    assert steps.high == run.budget.projected_step
    chart = ChartView(axis="step", window=Window(5.0, 9.0))
    assert x_scale(chart, "step", axis_map, is_whole_budget=True) == Scale(5.0, 9.0)
    # Curves of the axis before: the window is of another unit.
    assert x_scale(chart, "progress", axis_map, is_whole_budget=True) == Scale(0.0, 1.0)


def test_detailed_curves_replace_the_coarse_ones_in_their_range() -> None:
    coarse = SeriesView(run_id="r", x="step", columns={"loss": [(0, 9.0), (10, 5.0), (20, 4.0)]})
    fine = SeriesView(run_id="r", x="step", columns={"loss": [(8, 6.0), (9, 5.5), (10, 5.0), (11, 4.9)]})
    assert merged(coarse, fine).columns["loss"] == [(0, 9.0), *fine.columns["loss"], (20, 4.0)]
    assert merged(coarse, None) is coarse
    assert merged(coarse, fine.model_copy(update={"x": "wall_s"})) is coarse
    assert merged(coarse, fine.model_copy(update={"run_id": "other"})) is coarse


def test_times_and_shares_are_labelled_as_people_say_them() -> None:
    texts = [time_label(seconds) for seconds in (0, 5, 90, 1800, 3600, 5400, 43_200, 172_800)]
    assert texts == ["0s", "5s", "1m30", "30m", "1h", "1h30", "12h", "2d"]
    assert share_label(0.125) == "12.5 %"
    assert x_ticks("wall_s", Scale(0.0, 43_200.0), 96) == [7200.0 * number for number in range(7)]
    assert x_ticks("charged_s", Scale(0.0, 30 * 86_400.0), 60)[1] == 6 * 86_400
