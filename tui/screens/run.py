"""The first screen: state, budget, loss, speed, devices, queue and events of a run."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from tui.display_options import DisplayOptions
from tui.layout import HUGE, WIDE, Content, allocate_lines
from tui.panels import budget, curves, devices, events, loss, queue, speed, welcome
from tui.screens.base import StatusScreen
from tui.snapshot import Snapshot
from tui.widgets.panel import Panel

_SMALL_CHARTS = ("speed-curve", "rate-curve", "gradient-curve")
_MIN_CHART_LINES = 5
"""A small chart with fewer has no room for a curve."""


class RunScreen(StatusScreen):
    """One run in full, with the queue and events."""

    def __init__(self) -> None:
        super().__init__()
        self._panels = {
            "header": self._header,
            "welcome": Panel(welcome.draw, id="welcome", is_always_fresh=True),
            "budget": Panel(budget.draw, id="budget", classes="run"),
            "loss": Panel(loss.LossPanel().draw, id="loss"),
            "speed-curve": Panel(curves.speed_curve().draw, id="speed-curve", classes="small"),
            "rate-curve": Panel(curves.rate_curve().draw, id="rate-curve", classes="small"),
            "gradient-curve": Panel(curves.gradient_curve().draw, id="gradient-curve", classes="small"),
            "speed": Panel(speed.draw, id="speed"),
            "devices": Panel(devices.draw, id="devices"),
            "queue": Panel(queue.draw, id="queue"),
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
            yield Vertical(panels["queue"], panels["events"], id="right")
        yield panels["footer"]

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot; only changed cells are repainted."""
        self._newest = (snapshot, options)
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
