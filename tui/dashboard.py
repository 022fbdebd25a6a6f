"""The Textual application: keys, command palette, and one update per second from the feed to the screen.

Nothing here waits for the daemon: the feed has its own thread, each action runs in another, and widgets get the newest
state once a second, no matter how many steps the training made.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.console import RenderableType
from textual import events, on, work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.message_pump import MessagePump
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from bertd.errors import BertdError
from tui.actions.job_actions_app import JobActionsApp
from tui.actions.key_queue import KeyQueue
from tui.actions.keys import (
    APP_KEYS,
    CHART_KEYS,
    JOB_KEYS,
    LIST_KEYS,
    QUEUE_KEYS,
    REPLAY_KEYS,
    VIEW_KEYS,
    guarded_keys,
)
from tui.cached_stylesheet import CachedStylesheet
from tui.charts.chart_view import ChartView, CurvesRequest
from tui.display_options import DisplayOptions
from tui.drawing.lines import Role
from tui.drawing.partial_update import crop_update, whole_update
from tui.screens.base import StatusScreen
from tui.screens.registry import SCREEN_NAMES, make_screen
from tui.snapshot import Feed
from tui.theme import make_theme
from tui.widgets.job_list import JobList

if TYPE_CHECKING:
    from tui.replay.playback import Playback
    from tui.screens.events import EventsScreen
    from tui.screens.fleet import DaemonList

FLUSH_S = 1.0
"""Interval between screen updates."""
SLOW_FLUSH_S = 5.0
"""The same where each byte counts."""
STARTUP_FLUSH_S = 0.1
"""Interval between screen updates for a second after the run is changed."""
STARTUP_CHECK_S = 0.02
"""Interval between looks for the daemon's first answer."""


class Dashboard(JobActionsApp):
    """bert-tui on a terminal."""

    CSS_PATH = "app.tcss"
    TITLE = "bertd"
    ENABLE_COMMAND_PALETTE = True
    DEFAULT_MODE = "run"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "Quit", priority=True, show=False),
        Binding("ctrl+l", "repaint", "Repaint", priority=True, show=False),
        *(
            Binding(key.keys, key.action, key.title, id=key.id)
            for key in [*JOB_KEYS, *VIEW_KEYS, *LIST_KEYS, *REPLAY_KEYS, *APP_KEYS]
            if key.action
        ),
    ]

    def __init__(self, feed: Feed, *, options: DisplayOptions, playback: Playback | None = None) -> None:
        """Show a feed; `playback` has the clock of a replay's."""
        super().__init__(feed, options=options)
        self._playback = playback
        self._status_screens: dict[str, StatusScreen] = {}
        for name in SCREEN_NAMES:
            self.add_mode(name, partial(self._get_status_screen, name))
        self.set_keymap({id: chosen.keys for id, chosen in options.keys.items()})
        self._key_queue = KeyQueue(
            is_guarded=self._is_guarded_key, handle=self._handle_key, refuse=self._refuse_key, later=self.set_timer
        )
        theme = make_theme(options.palette)
        self.register_theme(theme)
        self.theme = theme.name
        self.stylesheet = CachedStylesheet(variables=self.get_css_variables())

    def _get_status_screen(self, name: str) -> StatusScreen:
        """The view of that name, created on first use, so that the first frame waits for only one view."""
        if name not in self._status_screens:
            self._status_screens[name] = make_screen(name, self._feed)
        return self._status_screens[name]

    @property
    def _current_status_screen(self) -> StatusScreen:
        """The active view, below any dialog."""
        return self._get_status_screen(self.current_mode)

    def on_load(self) -> None:
        """The first layout already uses what the feed has."""
        self.show_newest()

    def on_ready(self) -> None:
        """Start the feed after the first frame, which its imports would delay."""
        self._feed.start()

    def on_mount(self) -> None:
        """Start the periodic updates; exit on SIGTERM and SIGHUP, so that Textual restores the terminal."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit)
        self.app_resume_signal.subscribe(self, lambda _: self.action_repaint())
        self._startup_timer = self.set_interval(STARTUP_CHECK_S, self._flush_when_connected)
        self.set_interval(SLOW_FLUSH_S if self._display_options.is_low_bandwidth else FLUSH_S, self.show_newest)

    def on_unmount(self) -> None:
        """Disconnect from the daemon."""
        self._feed.close()

    def _flush_when_connected(self) -> None:
        """Show the daemon's first answer at once, or why there is none."""
        newest, shown = self._feed.snapshot(), self._snapshot
        if newest.status is not None:
            self._startup_timer.stop()
        if newest.status is not None or shown is None or newest.link.problem != shown.link.problem:
            self.show_newest()

    def show_newest(self) -> None:
        """Show the feed's newest state."""
        self._snapshot = self._feed.snapshot()
        with self.batch_update():
            self._current_status_screen.update(self._snapshot, self._display_options)

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if renderable is not None and self._background_screens:
            renderable = whole_update(self.screen, self._background_screens)
        super()._display(screen, crop_update(renderable))

    def _change_display_options(self, options: DisplayOptions) -> None:
        self._display_options = options
        self.show_newest()

    async def on_event(self, event: events.Event) -> None:
        """Queue keys that come from the terminal; Textual handles everything else."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self._key_queue.put(event)
        else:
            await super().on_event(event)

    async def _handle_key(self, key: events.Key, number: int) -> None:
        target = self.focused or self.screen
        await super().on_event(key)
        self._follow_key(target, number)

    def _follow_key(self, node: MessagePump | None, number: int) -> None:
        """Pass through the message queues that the key bubbles through, then say that it is done."""
        if node is None or node is self:
            self.call_later(self._key_queue.finish, number)
        elif not node.call_later(self._follow_key, node._parent, number):
            self._follow_key(node._parent, number)

    def _is_guarded_key(self, key: events.Key) -> bool:
        if isinstance(self.screen, ModalScreen):
            return key.key in ("enter", "ctrl+j")
        return key.key in guarded_keys(self._display_options.keys) and not isinstance(self.focused, Input)

    def _refuse_key(self, key: events.Key) -> None:
        if key.key in ("enter", "ctrl+j"):
            self._show_message("Enter came together with the text, as in a paste; press it again.", role=Role.WAITING)
        else:
            self._show_message(
                f"{key.key} came together with other letters, as in a paste, so nothing was done.", role=Role.WAITING
            )

    def action_repaint(self) -> None:
        """Paint all cells again: the terminal lost them, as in a suspension, or another program wrote over them."""
        self.refresh(layout=True)

    async def action_search(self) -> None:
        """Search in this view, else in the log."""
        if not self._current_status_screen.open_search():
            await self.action_show_view("log")
            self._current_status_screen.open_search()

    async def action_show_view(self, name: str) -> None:
        """Switch to the view `name`."""
        if name == "log":
            from tui.screens.log import LogScreen

            run = self._snapshot.run if self._snapshot is not None else None
            chosen = self._current_status_screen.chosen_job_id
            screen = self._get_status_screen(name)
            assert isinstance(screen, LogScreen)
            screen.show_job(chosen if chosen is not None else run.job_id if run is not None else None)
        await self.switch_mode(name)
        self._current_status_screen.show_message(self._message)
        self.show_newest()

    def action_next_run(self) -> None:
        """Show the next run in the daemon's list."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.run is None or snapshot.status is None:
            return
        runs = {run.id: run.job_id for run in (*snapshot.status.runs, snapshot.run)}
        ids = sorted(runs, key=lambda id: -runs[id])
        chosen = ids[(ids.index(snapshot.run.id) + 1) % len(ids)]
        self._feed.select_run(chosen)
        self._show_newest_soon()

    def _show_newest_soon(self) -> None:
        """Show what is known, and what comes before the next update."""
        self.show_newest()
        for number in range(1, round(FLUSH_S / STARTUP_FLUSH_S)):
            self.set_timer(number * STARTUP_FLUSH_S, self.show_newest)

    def action_replay_pause(self) -> None:
        """Pause a replay, or go on."""
        if self._playback is not None:
            self._playback.toggle_pause()
            self._show_newest_soon()

    def action_replay_speed(self, factor: float) -> None:
        """Play a replay faster or slower."""
        if self._playback is not None:
            self._playback.multiply_speed(factor)
            self._show_newest_soon()

    def action_replay_jump(self, share: float) -> None:
        """Move a replay by a share of its run's time."""
        if self._playback is not None:
            self._playback.jump(share)
            self._show_newest_soon()

    @work(group="opening", exclusive=True)
    async def open_run(self, run_id: str) -> None:
        """Show any run, over or not, until another one is chosen."""
        try:
            await asyncio.to_thread(self._feed.open_run, run_id)
        except BertdError as error:
            self._show_message(f"{run_id}: {error}", role=Role.BAD)
            return
        await self.action_show_view("run")

    @on(JobList.Opened)
    def open_job(self, event: JobList.Opened) -> None:
        """Show the run that the chosen job trains or starts from."""
        self.open_run(event.run_id)

    async def on_daemon_list_opened(self, event: DaemonList.Opened) -> None:
        """Show the chosen daemon's run; keys act there from now on."""
        self._feed.choose(event.name)
        await self.action_show_view("run")

    def action_toggle_log(self) -> None:
        """Toggle the logarithmic loss axis."""
        self._change_display_options(replace(self._display_options, log_y=not self._display_options.log_y))

    def action_toggle_zoom(self) -> None:
        """Leave the zoom and the cursor; without any, toggle between the whole budget and the spent part."""
        chart = self._display_options.chart
        if not chart.is_whole:
            self.change_chart(chart.whole())
            return
        self._change_display_options(
            replace(self._display_options, whole_budget=not self._display_options.whole_budget)
        )

    def action_write_view(self) -> None:
        """Write the view as it is shown, below any dialog's, into the current folder."""
        if self.is_web:
            self._show_message("A browser writes no files here; start bert-tui in a terminal.", role=Role.WAITING)
            return
        from tui.screen_picture import draw_svg
        from tui.written_view import write_view

        screen, name = self._current_status_screen, self.current_mode
        try:
            written = write_view(
                name,
                svg=draw_svg(self, title=f"bert-tui {name}", is_light=self._display_options.palette == "light"),
                table=screen.table(),
                folder=Path.cwd(),
                now=time.time(),
            )
        except OSError as error:
            self._show_message(f"cannot write into this folder: {error.strerror or error}", role=Role.BAD)
            return
        self._show_message(f"wrote {' and '.join(str(path) for path in written)}")

    def change_chart(self, chart: ChartView) -> None:
        """Draw the charts so, at once from what is known; curves that the daemon must be asked for come later."""
        before = self._display_options.chart
        self._change_display_options(replace(self._display_options, chart=chart))
        if chart.request != before.request:
            self._request_curves(chart.request)

    @work(group="curves", exclusive=True)
    async def _request_curves(self, request: CurvesRequest) -> None:
        try:
            await asyncio.to_thread(self._feed.show_curves, request)
        except BertdError as error:
            self._show_message(f"the curves: {error}", role=Role.BAD)
            return
        self.show_newest()

    async def on_events_screen_point_wanted(self, event: EventsScreen.PointWanted) -> None:
        """Show the curves at the step of an event, of whichever run."""
        run = self._snapshot.run if self._snapshot is not None else None
        if run is None or run.id != event.run_id:
            try:
                await asyncio.to_thread(self._feed.open_run, event.run_id)
            except BertdError as error:
                self._show_message(f"{event.run_id}: {error}", role=Role.BAD)
                return
            self.show_newest()
        await self.show_at(event.step)

    async def on_events_screen_log_wanted(self, event: EventsScreen.LogWanted) -> None:
        """Show a job's log at the time of an event."""
        from tui.screens.log import LogScreen

        await self.action_show_view("log")
        screen = self._get_status_screen("log")
        assert isinstance(screen, LogScreen)
        screen.show_job_at(event.job_id, event.t)

    async def show_at(self, step: int) -> None:
        """Show the Run screen, with the chart's cursor at a step."""
        from tui.screens.run import RunScreen

        await self.action_show_view("run")
        screen = self._get_status_screen("run")
        assert isinstance(screen, RunScreen)
        screen.move_cursor_to_step(step)

    async def action_show_help(self) -> None:
        """Show all keys."""
        from tui.screens.help import HelpScreen

        await self.push_screen(HelpScreen(self._display_options, is_replay=self._playback is not None))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """All actions by name, for the command palette."""
        queue = QUEUE_KEYS if self._current_status_screen.chosen_job_id is not None else []
        acting = [] if self._display_options.is_readonly else [*JOB_KEYS, *queue]
        if self._playback is not None:
            acting = REPLAY_KEYS
        charts = CHART_KEYS if self.current_mode == "run" else []
        for key in [*acting, *VIEW_KEYS, *charts, *LIST_KEYS[:1], *APP_KEYS]:
            yield SystemCommand(key.title, key.meaning or key.title, partial(self.run_action, key.action))
