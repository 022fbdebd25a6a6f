"""Zoom, pan and cursor stay on the axis and follow each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.charts.chart_range import shown_window
from tui.charts.chart_view import SMOOTHINGS, ChartView, Window, next_axis
from tui.drawing.ticks import Scale

WHOLE = Window(0.0, 1000.0)
SHOWN = shown_window(Scale(0.0, 500.0))


def _shown(chart: ChartView) -> Window:
    return chart.window or SHOWN


def test_zooming_in_keeps_the_cursor_where_it_is_on_the_screen() -> None:
    chart = ChartView(axis="step", cursor=400.0).zoomed(SHOWN, whole=WHOLE, into=True)
    assert chart.window == Window(200.0, 450.0)
    assert (400.0 - 200.0) / 250.0 == 400.0 / 500.0


def test_without_a_cursor_it_zooms_at_the_newest_end_and_out_again_to_the_whole() -> None:
    chart = ChartView(axis="step").zoomed(SHOWN, whole=WHOLE, into=True)
    assert chart.window == Window(250.0, 500.0)
    for _ in range(3):
        chart = chart.zoomed(_shown(chart), whole=WHOLE, into=False)
    assert chart.window is None


def test_the_cursor_begins_at_the_newest_step_and_takes_the_window_with_it() -> None:
    chart = ChartView(axis="step").with_cursor_moved(SHOWN, whole=WHOLE, start=420.0, share=0.1)
    assert chart.cursor == 420.0
    chart = ChartView(axis="step", window=Window(100, 200), cursor=195.0)
    moved = chart.with_cursor_moved(Window(100, 200), whole=WHOLE, start=0, share=0.1)
    assert moved.cursor == 205.0
    assert moved.window == Window(155.0, 255.0)


@given(
    st.lists(
        st.sampled_from(["in", "out", "left", "right", "pan left", "pan right", "far left", "far right"]), max_size=60
    )
)
def test_no_sequence_of_keys_leaves_the_axis(keys: list[str]) -> None:
    chart = ChartView(axis="step")
    for key in keys:
        shown = _shown(chart)
        if key in ("in", "out"):
            chart = chart.zoomed(shown, whole=WHOLE, into=key == "in")
        elif key.startswith("pan"):
            chart = chart.panned(shown, whole=WHOLE, share=-0.25 if "left" in key else 0.25)
        else:
            share = (-1 if "left" in key else 1) * (0.4 if "far" in key else 0.01)
            chart = chart.with_cursor_moved(shown, whole=WHOLE, start=400.0, share=share)
        shown = _shown(chart)
        assert WHOLE.low - 1e-6 <= shown.low < shown.high <= WHOLE.high + 1e-6
        assert chart.cursor is None or WHOLE.low <= chart.cursor <= WHOLE.high


def test_keys_cycle_through_axes_and_smoothings() -> None:
    chart = ChartView()
    seen = []
    for _ in SMOOTHINGS:
        seen.append(chart.smoothing)
        chart = chart.with_next_smoothing()
    assert tuple(seen) == SMOOTHINGS and chart.smoothing == SMOOTHINGS[0]
    assert next_axis("wall_s", ("progress", "step", "wall_s")) == "progress"
    assert next_axis("step", ("progress",)) == "progress"
