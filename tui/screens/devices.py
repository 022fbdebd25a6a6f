"""View of the devices: a row each, and all of the selected one; a key takes it out of service, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from bertd.terminal_text import terminal_line
from tui.actions.keys import DEVICE_KEYS
from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, line
from tui.panels import device_details, device_rows, footer
from tui.panels.footer import KeyHint
from tui.screens.acting import ActingScreen
from tui.screens.polling import Request
from tui.snapshot import Feed, Snapshot
from tui.widgets.cursor_list import CursorList
from tui.widgets.panel import Panel
from tui.written_view import Table, devices_table

if TYPE_CHECKING:
    from bertd.api.models import DeviceView, EventView

_HEADER_AND_FOOTER = 2
_MIN_DETAIL_LINES = 8


class DevicesScreen(ActingScreen):
    """The daemon's ticks bring the readings; what was noticed of the devices is asked for."""

    POLL_INTERVAL_S = 5.0
    BINDINGS: ClassVar[list[BindingType]] = [Binding(key.keys, key.action, key.title, id=key.id) for key in DEVICE_KEYS]

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._events: list[EventView] = []
        self._list = CursorList[str](device_rows.draw, device_rows.device_ids, id="all-devices")
        self._details = Panel(self._draw_details, id="device")

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._list
        yield self._details
        yield self._footer

    def on_mount(self) -> None:
        """Focus the list, so that the arrow keys move the cursor at once."""
        self._list.focus()

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot, and divide the lines."""
        super().update(snapshot, options)
        self._divide()

    def on_resize(self) -> None:
        """Divide the lines again."""
        self._divide()

    def table(self) -> Table:
        """All devices, with the newest readings."""
        status = self._newest[0].status if self._newest is not None else None
        return devices_table(status.devices if status is not None else [])

    @on(CursorList.Moved)
    def show_chosen(self) -> None:
        """Show the device under the cursor."""
        self._details.redraw()
        self._footer.redraw()

    @property
    def extra_keys(self) -> footer.KeyHints:
        device = self._chosen_device()
        return (
            KeyHint("drain-or-undrain", "undrain" if device is not None and device.drained_by is not None else "drain"),
        )

    def next_request(self) -> Request | None:
        """What was noticed of the devices."""
        return self.feed.device_events

    def receive(self, answer: object) -> bool:
        """Keep the events."""
        assert isinstance(answer, list)
        self._events = answer
        return False

    async def action_drain(self) -> None:
        """Take the device out of service, or back; asks first."""
        device = self._chosen_device()
        if self.is_refused() or device is None:
            return
        name = f"device {device.id}"
        if device.drained_by is not None:
            await self.ask(
                f"Undrain {name}?",
                verb="undrain",
                consequence=f"It was taken out of service by {device.drained_by}. Jobs may start on it again.",
                call=lambda: _service_text(self.feed.undrain(device.id)),
            )
            return
        holders = device_rows.holders_of(device)
        keeps = f" {_job_names(holders)} it to the end." if holders else ""
        await self.ask(
            f"Drain {name}?",
            verb="drain",
            consequence=f"It starts no more jobs until it is undrained.{keeps}",
            call=lambda: _service_text(self.feed.drain(device.id)),
        )

    def _chosen_device(self) -> DeviceView | None:
        status = self._newest[0].status if self._newest is not None else None
        return next((each for each in status.devices if each.id == self._list.chosen), None) if status else None

    def _divide(self) -> None:
        """All rows where they fit beside the details, else as many as leave those their least."""
        if self._newest is None:
            return
        available = self.app.size.height - _HEADER_AND_FOOTER
        num_rows = max(1, len(self._list.shown_ids)) + 1
        lines = max(2, min(num_rows, available - _MIN_DETAIL_LINES))
        if self._list.styles.height is None or self._list.styles.height.value != lines:
            self._list.styles.height = lines

    def _draw_details(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        drawn = device_details.draw(snapshot, self._events, options, width, device_id=self._list.chosen)
        problem = [line((self.problem, Role.BAD))] if self.problem else []
        return [*problem, *drawn][:height]


def _job_names(job_ids: list[int]) -> str:
    verb = "keeps" if len(job_ids) == 1 else "keep"
    return f"Job{'s' * (len(job_ids) > 1)} {', '.join(map(str, job_ids))} {verb}"


def _service_text(device: DeviceView) -> str:
    state = "in service" if device.drained_by is None else f"drained by {device.drained_by}"
    return terminal_line(state)
