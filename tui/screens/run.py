"""The first screen: state, budget, loss, speed, devices, queue and events of a run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from bertd.errors import BertdError
from tui.actions.keys import CHART_KEYS
from tui.charts.axis_map import AxisMap
from tui.charts.chart_range import shown_window, x_scale
from tui.charts.chart_view import ChartView, Window, next_axis
from tui.display_options import DisplayOptions
from tui.drawing.lines import Role
from tui.layout import HUGE, WIDE, Content, allocate_lines
from tui.panels import budget, curves, devices, events, glue, loss, queue, speed, welcome
from tui.screens.base import Message, StatusScreen
from tui.snapshot import Feed, Snapshot
from tui.widgets.chart_panel import ChartPanel
from tui.widgets.panel import Panel

_SMALL_CHARTS = ("speed-curve", "rate-curve", "gradient-curve")
_GUTTER_CELLS = 6
"""About the width of the y axis."""
_MIN_CHART_LINES = 5
"""A small chart with fewer has no room for a curve."""


@dataclass(frozen=True)
class _Visible:
    """What the charts show."""

    chart: ChartView
    axis_map: AxisMap
    shown: Window
    whole: Window


class RunScreen(StatusScreen):
    """One run in full, with the queue and events."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.keys, key.action.removeprefix("screen."), key.title, id=key.id) for key in CHART_KEYS
    ]

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self._loss = loss.LossPanel()
        self._shown_run_id = ""
        self._panels = {
            "header": self._header,
            "welcome": Panel(welcome.draw, id="welcome", is_always_fresh=True),
            "budget": Panel(budget.draw, id="budget", classes="run"),
            "loss": ChartPanel(self._loss.draw, id="loss"),
            "speed-curve": ChartPanel(curves.speed_curve().draw, id="speed-curve", classes="small"),
            "rate-curve": ChartPanel(curves.rate_curve().draw, id="rate-curve", classes="small"),
            "gradient-curve": ChartPanel(curves.gradient_curve().draw, id="gradient-curve", classes="small"),
            "speed": Panel(speed.draw, id="speed"),
            "devices": Panel(devices.draw, id="devices"),
            "queue": Panel(queue.draw, id="queue"),
            "glue": Panel(glue.GluePanel().draw, id="glue", classes="run"),
            "events": Panel(events.draw, id="events"),
            "footer": self._footer,
        }
        self._small = Vertical(*(self._panels[name] for name in _SMALL_CHARTS), id="small")
        self._curves = Horizontal(
            self._panels["loss"],
            self._small,
            id="curves",
            classes="run band",
        )

    def compose(self) -> ComposeResult:
        panels = self._panels
        yield from (panels["header"], panels["welcome"], panels["budget"], self._curves)
        with Horizontal(id="details", classes="run band"):
            yield Vertical(panels["speed"], panels["devices"], id="left")
            yield Vertical(panels["queue"], panels["glue"], panels["events"], id="right")
        yield panels["footer"]

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot; only changed cells are repainted."""
        self._newest = (snapshot, options)
        self._reset_view_of_another_run(snapshot, options)
        self._set_panel_heights(snapshot, options)
        for panel in self._panels.values():
            panel.update(snapshot, options)

    def on_resize(self) -> None:
        """Divide the lines again."""
        if self._newest is not None:
            self.update(*self._newest)

    def _set_panel_heights(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Set each panel's height; an unchanged style causes no layout.

        The classes are set here rather than by Textual's breakpoints, which apply after the first layout and cause a
        second one.
        """
        width, height = self.app.size
        self.set_class(WIDE <= width < HUGE, "-wide")
        self.set_class(width >= HUGE, "-huge")
        has_run = snapshot.run is not None
        self.set_class(not has_run, "-empty")
        self.set_class(welcome.is_first_connecting(snapshot), "-connecting")
        if snapshot.status is None or not has_run:
            return
        content = Content(
            num_devices=len(snapshot.status.devices),
            num_jobs=len(snapshot.status.jobs),
            num_budget_lines=budget.num_compact_lines(snapshot, options, width - 2),
        )
        allocated = allocate_lines(width, height, content)
        num_charts = allocated["loss"] // _MIN_CHART_LINES
        self._small.display = num_charts > 0 and width >= HUGE
        for index, name in enumerate(_SMALL_CHARTS):
            self._panels[name].display = index < num_charts
        for name, lines in allocated.items():
            if name == "footer":
                continue  # It has its own height, for a message.
            widget: Widget = self._curves if name == "loss" else self._panels[name]
            if widget.styles.height is None or widget.styles.height.value != lines:
                widget.styles.height = lines

    def _reset_view_of_another_run(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Leave window and cursor when another run is shown: their places mean nothing there."""
        run_id = snapshot.run.id if snapshot.run is not None else ""
        is_other, self._shown_run_id = run_id != self._shown_run_id, run_id or self._shown_run_id
        if run_id and is_other and not options.chart.is_whole:
            self.call_later(self._change_chart, options.chart.whole())

    def _change_chart(self, chart: ChartView) -> None:
        from tui.dashboard import Dashboard

        assert isinstance(self.app, Dashboard)
        self.app.change_chart(chart)

    def _visible_window(self) -> _Visible | None:
        """What the charts show; None without a run with curves on the chosen axis."""
        if self._newest is None:
            return None
        snapshot, options = self._newest
        run = snapshot.run
        if run is None or snapshot.series is None:
            return None
        axis_map = self._loss.axis_map(snapshot)
        axis = options.chart.axis
        scale = x_scale(options.chart, axis, axis_map, is_whole_budget=loss.is_whole_budget(run, options))
        return _Visible(options.chart, axis_map, shown_window(scale), axis_map.whole(axis))

    def action_next_axis(self) -> None:
        """The next x axis; the cursor stays at its step."""
        visible = self._visible_window()
        if visible is None:
            return
        chart, axis_map = visible.chart, visible.axis_map
        axis = next_axis(chart.axis, axis_map.axes)
        cursor = None if chart.cursor is None else axis_map.move(chart.cursor, chart.axis, axis)
        self._change_chart(chart.on_axis(axis, cursor=cursor))

    def action_next_smoothing(self) -> None:
        """Another smoothing, or none."""
        if self._newest is not None:
            self._change_chart(self._newest[1].chart.with_next_smoothing())

    def action_zoom(self, into: bool) -> None:
        """Show half or twice as much."""
        if (visible := self._visible_window()) is not None:
            self._change_chart(visible.chart.zoomed(visible.shown, whole=visible.whole, into=into))

    def action_pan(self, direction: int) -> None:
        """Move the window by a quarter of its size."""
        if (visible := self._visible_window()) is not None:
            self._change_chart(visible.chart.panned(visible.shown, whole=visible.whole, share=direction / 4))

    def action_move_cursor(self, columns: int) -> None:
        """Move the cursor by columns of the chart; it begins at the newest step."""
        visible = self._visible_window()
        if visible is None:
            return
        share = columns / max(10, self._panels["loss"].size.width - _GUTTER_CELLS)
        newest = visible.axis_map.newest(visible.chart.axis)
        self._change_chart(
            visible.chart.with_cursor_moved(visible.shown, whole=visible.whole, start=newest, share=share)
        )

    def on_chart_panel_pointed(self, event: ChartPanel.Pointed) -> None:
        """Put the cursor there."""
        if (visible := self._visible_window()) is not None:
            x = visible.shown.low + event.share * visible.shown.size
            self._change_chart(visible.chart.with_cursor_at(x, shown=visible.shown, whole=visible.whole))

    def on_chart_panel_wheeled(self, event: ChartPanel.Wheeled) -> None:
        """Show half or twice as much, around the mouse."""
        if (visible := self._visible_window()) is not None:
            around = visible.shown.low + event.share * visible.shown.size
            self._change_chart(visible.chart.zoomed(visible.shown, whole=visible.whole, into=event.into, around=around))

    def on_chart_panel_dragged(self, event: ChartPanel.Dragged) -> None:
        """Move the window against the mouse, so that the curves follow it."""
        if (visible := self._visible_window()) is not None:
            self._change_chart(visible.chart.panned(visible.shown, whole=visible.whole, share=-event.share))

    @work(group="reference", exclusive=True)
    async def action_choose_reference(self) -> None:
        """Choose what the loss is compared with."""
        if self._newest is None or (run := self._newest[0].run) is None:
            return
        from tui.screens.reference import ReferenceDialog, comparable_runs

        try:
            jobs = await asyncio.to_thread(self._feed.jobs)
        except BertdError as error:
            self.show_message(Message(str(error), Role.BAD))
            return
        dialog = ReferenceDialog(
            comparable_runs(jobs, shown_run_id=run.id),
            self._feed.read_reference,
            before=self._newest[1].chart.reference,
        )
        chosen = await self.app.push_screen_wait(dialog)
        self._change_chart(replace(self._newest[1].chart, reference=chosen))

    def move_cursor_to_step(self, step: int) -> None:
        """Put the cursor at a step, if its place on the axis is known."""
        visible = self._visible_window()
        if visible is None:
            return
        x = visible.axis_map.find(visible.chart.axis, by="step", value=float(step))
        if x is not None:
            self._change_chart(visible.chart.with_cursor_at(x, shown=visible.shown, whole=visible.whole))
