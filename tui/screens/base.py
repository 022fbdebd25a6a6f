"""Base class of the full-screen views: the run on top, the keys at the bottom."""

from __future__ import annotations

from textual.screen import Screen

from tui.display_options import DisplayOptions
from tui.panels import footer, header
from tui.snapshot import Snapshot
from tui.widgets.panel import Panel


class StatusScreen(Screen[None]):
    """Gets the newest state once a second and passes it to its panels."""

    def __init__(self) -> None:
        super().__init__()
        self._newest: tuple[Snapshot, DisplayOptions] | None = None
        self._header = Panel(header.draw, id="header", is_always_fresh=True)
        self._footer = Panel(footer.draw, id="footer", is_always_fresh=True)

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot; only changed cells are repainted."""
        self._newest = (snapshot, options)
        for panel in self.query(Panel):
            panel.update(snapshot, options)

    @property
    def chosen_job_id(self) -> int | None:
        """The job that keys act on; None: the shown run's job."""
        return None
