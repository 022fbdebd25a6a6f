"""The mouse on the charts: a click sets the cursor, the wheel zooms, dragging pans."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual import events
from textual.pilot import Pilot

from tests.tui.fake_feed import FakeFeed
from tests.tui.settled import settled
from tui.charts.chart_view import ChartView, Window
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.drawing.glyphs import ASCII, UNICODE, Glyphs
from tui.widgets.chart_panel import ChartPanel

SIZE = (200, 60)


def _app(glyphs: Glyphs = UNICODE) -> Dashboard:
    return Dashboard(FakeFeed(), options=DisplayOptions(glyphs=glyphs))


def _chart(app: Dashboard) -> ChartView:
    return app._display_options.chart


def _columns(app: Dashboard, name: str) -> tuple[int, int]:
    """First and last cell of the chart's area."""
    first, columns = app.screen.query_one(f"#{name}", ChartPanel)._chart_columns()
    assert columns > 10
    return first, first + columns - 1


async def _scroll(pilot: Pilot[None], name: str, x: int, *, up: bool) -> None:
    panel = pilot.app.screen.query_one(f"#{name}", ChartPanel)
    kind = events.MouseScrollUp if up else events.MouseScrollDown
    at = panel.region.offset + (x, 5)
    panel.post_message(kind(panel, x, 5, 0, 0, 0, False, False, False, at.x, at.y))
    await settled(pilot)


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("name", ["loss", "speed-curve", "rate-curve", "gradient-curve"])
async def test_a_click_sets_the_cursor_there(name: str, glyphs: Glyphs) -> None:
    app = _app(glyphs)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        first, last = _columns(app, name)
        for x, share in ((first, 0.0), ((first + last) // 2, 0.5), (last, 1.0)):
            await pilot.click(f"#{name}", offset=(x, 3))
            await settled(pilot)
            assert _chart(app).cursor == pytest.approx(share, abs=0.02)


async def test_a_click_beside_the_curves_does_nothing() -> None:
    app = _app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.click("#loss", offset=(1, 3))
        await pilot.click("#devices", offset=(10, 3))
        await settled(pilot)
        assert _chart(app).is_whole


async def test_the_wheel_zooms_around_the_mouse_and_back() -> None:
    app = _app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        first, last = _columns(app, "loss")
        quarter = first + (last - first) // 4
        await _scroll(pilot, "loss", quarter, up=True)
        window = _chart(app).window
        assert window is not None
        assert window.size == pytest.approx(0.5)
        assert window.low + window.size / 4 == pytest.approx(0.25, abs=0.01)
        await _scroll(pilot, "loss", quarter, up=False)
        assert _chart(app).window is None


async def test_dragging_pans_and_sets_no_cursor() -> None:
    app = _app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        app.change_chart(ChartView(window=Window(0.2, 0.3)))
        await settled(pilot)
        first, last = _columns(app, "loss")
        half = (last - first) // 2
        await pilot.mouse_down("#loss", offset=(last, 4))
        await pilot.hover("#loss", offset=(last - half // 2, 4))
        await pilot.hover("#loss", offset=(last - half, 4))
        await pilot.mouse_up("#loss", offset=(last - half, 4))
        await settled(pilot)
        window = _chart(app).window
        assert window is not None
        assert window.low == pytest.approx(0.25, abs=0.002)
        assert window.size == pytest.approx(0.1)
        assert _chart(app).cursor is None
        await pilot.hover("#loss", offset=(first + 3, 4))
        await settled(pilot)
        assert replace(_chart(app), cursor=None).window == window
