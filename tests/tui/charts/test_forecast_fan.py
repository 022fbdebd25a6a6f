"""The forecast is drawn from the newest validation to the end of the budget, and its band widens to its own."""

from __future__ import annotations

import pytest

from bertd.records import ForecastRecord
from tests.tui.fake_feed import FakeFeed
from tui.charts.axis_map import AxisMap
from tui.charts.forecast_fan import fan, forecast_texts, shown_forecast
from tui.display_options import DisplayOptions
from tui.drawing.lines import plain_text
from tui.panels.loss import LossPanel, is_whole_budget

FORECAST = ForecastRecord(
    t=0.0,
    step=9000,
    charged_s=36_000,
    progress=0.4,
    loss=1.7,
    low=1.6,
    high=1.9,
    end_step=23_000,
    curve=[(0.4, 2.2), (0.7, 1.9), (1.0, 1.7)],
    basis="a test",
)


@pytest.mark.parametrize("axis", ["progress", "step", "wall_s"])
def test_the_band_is_closed_at_the_newest_validation_and_ends_with_the_forecasts(axis: str) -> None:
    feed = FakeFeed()
    axis_map = AxisMap(feed.status.runs[0], feed.current.series, now=feed.current.now)
    points = fan(FORECAST, axis_map, axis)  # type: ignore[arg-type]  # Each is an axis.
    assert [expected for expected, _ in points] == [2.2, 1.9, 1.7]
    first, last = points[0][1], points[-1][1]
    assert (first.low, first.high) == (2.2, 2.2)
    assert (last.low, last.high) == pytest.approx((1.6, 1.9))
    assert last.x == pytest.approx(axis_map.end(axis))  # type: ignore[arg-type]  # The same.
    assert first.x < points[1][1].x < last.x


def test_its_numbers_are_in_the_legend_in_as_many_words_as_fit() -> None:
    assert forecast_texts(FORECAST) == ("1.700 (1.600 to 1.900)", "1.700")
    feed = FakeFeed()
    feed.change_run(forecast=FORECAST)
    for width, said in ((120, "final 1.700 (1.600 to 1.900)"), (60, "final 1.700"), (40, "1.700")):
        heading = plain_text(LossPanel().draw(feed.current, DisplayOptions(), width, 12)).splitlines()[0]
        assert said in heading and len(heading) <= width


def test_with_a_forecast_the_chart_goes_to_the_end_of_the_budget_unless_the_user_does_not_want_it() -> None:
    run = FakeFeed().status.runs[0].model_copy(update={"forecast": FORECAST})
    bare = run.model_copy(update={"forecast": None})
    assert is_whole_budget(run, DisplayOptions()) and not is_whole_budget(bare, DisplayOptions())
    assert not is_whole_budget(run, DisplayOptions(whole_budget=True))
    assert is_whole_budget(bare, DisplayOptions(whole_budget=True))


def test_a_run_that_is_over_has_its_loss_and_no_forecast() -> None:
    feed = FakeFeed()
    run = feed.status.runs[0].model_copy(update={"forecast": FORECAST})
    assert shown_forecast(run) is FORECAST
    over = run.model_copy(update={"end": object()})
    assert shown_forecast(over) is None
