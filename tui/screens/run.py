"""The first screen: is it alive, how long, how good, how fast, on what, and what waits."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from tui.arrangement import HUGE, WIDE, Content, arrange
from tui.look import Look
from tui.panels import budget, curves, devices, events, footer, header, loss, queue, speed, welcome
from tui.snapshot import Snapshot
from tui.widgets.panel import Panel


class RunScreen(Screen[None]):
    """Everything about one run, and the queue around it."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide"), (HUGE, "-huge")]

    def __init__(self) -> None:
        super().__init__()
        self._newest: tuple[Snapshot, Look] | None = None

    def on_mount(self) -> None:
        """Show what arrived before the panels were there."""
        if self._newest is not None:
            self.update(*self._newest)

    def on_resize(self) -> None:
        """Share the lines out anew."""
        if self._newest is not None:
            self.update(*self._newest)

    def compose(self) -> ComposeResult:
        yield Panel(header.draw, id="header", is_always_fresh=True)
        yield Panel(welcome.draw, id="welcome", is_always_fresh=True)
        yield Panel(budget.draw, id="budget", classes="run")
        with Horizontal(id="curves", classes="run"):
            yield Panel(loss.LossPanel().draw, id="loss")
            with Vertical(id="small"):
                yield Panel(curves.speed_curve().draw, id="speed-curve", classes="small")
                yield Panel(curves.rate_curve().draw, id="rate-curve", classes="small")
                yield Panel(curves.gradient_curve().draw, id="gradient-curve", classes="small")
        with Horizontal(id="details", classes="run"):
            with Vertical(id="left"):
                yield Panel(speed.draw, id="speed")
                yield Panel(devices.draw, id="devices")
            with Vertical(id="right"):
                yield Panel(queue.draw, id="queue")
                yield Panel(events.draw, id="events")
        yield Panel(footer.draw, id="footer", is_always_fresh=True)

    def update(self, snapshot: Snapshot, look: Look) -> None:
        """Show the newest state; only what changed is repainted."""
        self._newest = (snapshot, look)
        if not self.is_mounted:
            return
        self._arrange(snapshot)
        for panel in self.query(Panel):
            if panel.display:
                panel.update(snapshot, look)

    def _arrange(self, snapshot: Snapshot) -> None:
        """Give each panel its lines; a style that stays as it is costs nothing."""
        has_run = snapshot.run is not None
        self.set_class(not has_run, "-empty")
        status = snapshot.status
        if status is None or not has_run:
            return
        content = Content(num_devices=len(status.devices), num_jobs=len(status.jobs))
        for name, height in arrange(self.app.size.width, self.app.size.height, content).items():
            target = "curves" if name == "loss" else name
            widget = self.query_one(f"#{target}")
            if widget.styles.height is None or widget.styles.height.value != height:
                widget.styles.height = height
