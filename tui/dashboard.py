"""The Textual application: keys, command palette, and one update per second from the feed to the screen.

Nothing here waits for the daemon: the feed has its own thread, each action runs in another, and widgets get the newest
state once a second, no matter how many steps the training made.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import ClassVar

from rich.console import RenderableType
from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from bertd.api.models import JobView, SubmitFinetune
from bertd.errors import BertdError
from bertd.records import JobState
from bertd.terminal_text import terminal_line
from tui.display_options import DisplayOptions
from tui.keys import APP_KEYS, JOB_KEYS, QUEUE_KEYS, VIEW_KEYS
from tui.partial_update import crop_update, whole_update
from tui.screens.base import StatusScreen
from tui.screens.registry import SCREEN_NAMES, make_screen
from tui.snapshot import Feed, Snapshot
from tui.theme import THEME

FLUSH_S = 1.0
"""Interval between screen updates."""
STARTUP_FLUSH_S = 0.1
"""Interval between screen updates until the daemon's first answer."""


class Dashboard(App[None]):
    """bert-tui on a terminal."""

    CSS_PATH = "app.tcss"
    TITLE = "bertd"
    ENABLE_COMMAND_PALETTE = True
    DEFAULT_MODE = "run"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.keys, key.action, key.title, id=key.title.lower().replace(" ", "-"))
        for key in [*JOB_KEYS, *VIEW_KEYS, *APP_KEYS]
    ]

    def __init__(self, feed: Feed, *, options: DisplayOptions) -> None:
        # Set here too: Textual decides now how to follow NO_COLOR, and should use no colours rather than greys.
        super().__init__(ansi_color=True)
        self._feed = feed
        self._display_options = options
        self._status_screens: dict[str, StatusScreen] = {}
        for name in SCREEN_NAMES:
            self.add_mode(name, partial(self._get_status_screen, name))
        self._snapshot: Snapshot | None = None
        self.register_theme(THEME)
        self.theme = THEME.name

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
        """Start the feed; the first layout already uses what it has."""
        self._feed.start()
        self.show_newest()

    def on_mount(self) -> None:
        """Start the periodic updates; exit on SIGTERM, so that Textual restores the terminal."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self._startup_timer = self.set_interval(STARTUP_FLUSH_S, self._flush_until_connected)
        self.set_interval(FLUSH_S, self.show_newest)

    def on_unmount(self) -> None:
        """Disconnect from the daemon."""
        self._feed.close()

    def _flush_until_connected(self) -> None:
        self.show_newest()
        if self._snapshot is not None and self._snapshot.status is not None:
            self._startup_timer.stop()

    def show_newest(self) -> None:
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

    def action_pause_or_resume(self) -> None:
        """Pause the job, or resume a paused one."""
        job = self._require_target_job()
        if job is None:
            return
        self._keep_run_selected(job)
        if job.state is JobState.PAUSED:
            self._send_request(f"{job.name}: resume", lambda: self._feed.resume(job.id))
        else:
            self._send_request(f"{job.name}: pause", lambda: self._feed.pause(job.id))

    def action_pause_hot(self) -> None:
        """Suspend the job between two steps; it keeps its GPU memory."""
        job = self._require_target_job()
        if job is not None:
            self._keep_run_selected(job)
            self._send_request(f"{job.name}: pause hot", lambda: self._feed.pause(job.id, hot=True))

    def action_checkpoint(self) -> None:
        """Save a checkpoint at the next step."""
        job = self._require_target_job()
        if job is not None:
            self._send_request(f"{job.name}: checkpoint", lambda: self._feed.checkpoint(job.id))

    def action_hold(self) -> None:
        """Keep a queued job from starting."""
        job = self._require_target_job()
        if job is not None:
            self._send_request(f"{job.name}: hold", lambda: self._feed.hold(job.id))

    def action_release(self) -> None:
        """Let a held job start."""
        job = self._require_target_job()
        if job is not None:
            self._send_request(f"{job.name}: release", lambda: self._feed.release(job.id))

    def action_prioritize(self, by: int) -> None:
        """Change a waiting job's priority by `by`."""
        job = self._require_target_job()
        if job is not None:
            self._send_request(f"{job.name}: priority", lambda: self._feed.prioritize(job.id, job.priority + by))

    def action_stop(self) -> None:
        """Stop the job for good, after the user has typed its name."""
        job = self._require_target_job()
        if job is None:
            return

        from tui.screens.stop import StopDialog

        def stop(is_confirmed: bool | None) -> None:
            if is_confirmed:
                self._send_request(f"{job.name}: stop", lambda: self._feed.stop(job.id))

        run = self._snapshot.run if self._snapshot else None
        self.push_screen(StopDialog(job, run if run is not None and run.job_id == job.id else None), stop)

    def action_finetune(self) -> None:
        """Queue a finetuning of the run's newest export."""
        if self._require_target_job() is None or self._snapshot is None or self._snapshot.run is None:
            return
        run = self._snapshot.run
        from tui.screens.finetune import FinetuneForm

        def submit(job: SubmitFinetune | None) -> None:
            if job is not None:
                self._send_request(f"{run.id}: finetune {job.task}", lambda: self._feed.submit(job))

        self.push_screen(FinetuneForm(run), submit)

    def _require_target_job(self) -> JobView | None:
        """The selected job, else the shown run's; None, with a message, if there is none or the view is read-only."""
        if self._display_options.is_readonly:
            self._show_message("This view is read-only; start bert-tui without --readonly to act.", severity="warning")
            return None
        chosen, snapshot = self._current_status_screen.chosen_job_id, self._snapshot
        jobs = snapshot.status.jobs if snapshot is not None and snapshot.status is not None else []
        if chosen is not None:
            job = next((one for one in jobs if one.id == chosen), None)
        else:
            job = snapshot.job if snapshot is not None else None
        if job is None:
            self._show_message("There is no job to act on.", severity="warning")
        return job

    def _keep_run_selected(self, job: JobView) -> None:
        """Keep showing the run that is being paused, so that the same key resumes it, not another run."""
        snapshot = self._snapshot
        run = snapshot.run if snapshot is not None else None
        if run is not None and run.job_id == job.id and snapshot is not None and snapshot.run_id != run.id:
            self._feed.select_run(run.id)

    @work(group="acting")
    async def _send_request(self, what: str, call: Callable[[], JobView]) -> None:
        """Send the request in another thread, then show its result."""
        try:
            job = await asyncio.to_thread(call)
        except BertdError as error:
            self._show_message(f"{what}: {error}", severity="error")
        else:
            self._show_message(f"{what}: {job.state}{f', {job.reason}' if job.reason else ''}")
        self.show_newest()

    def _show_message(self, text: str, *, severity: str = "information") -> None:
        level = severity if severity in ("warning", "error") else "information"
        self.notify(terminal_line(text), severity=level, markup=False)  # type: ignore[arg-type]  # a closed set

    async def action_show_view(self, name: str) -> None:
        """Switch to the view `name`."""
        if name == "log":
            from tui.screens.log import LogScreen

            job = self._snapshot.job if self._snapshot is not None else None
            chosen = self._current_status_screen.chosen_job_id
            screen = self._get_status_screen(name)
            assert isinstance(screen, LogScreen)
            screen.show_job(chosen if chosen is not None else job.id if job is not None else None)
        await self.switch_mode(name)
        self.show_newest()

    def action_next_run(self) -> None:
        """Show the next run in the daemon's list."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.run is None or snapshot.status is None:
            return
        ids = [run.id for run in snapshot.status.runs]
        self._feed.select_run(ids[(ids.index(snapshot.run.id) + 1) % len(ids)])
        self.show_newest()

    def action_toggle_log(self) -> None:
        """Toggle the logarithmic loss axis."""
        self._change_display_options(replace(self._display_options, log_y=not self._display_options.log_y))

    def action_toggle_zoom(self) -> None:
        """Toggle the x axis between the whole budget and the spent part."""
        self._change_display_options(
            replace(self._display_options, whole_budget=not self._display_options.whole_budget)
        )

    def action_show_help(self) -> None:
        """Show all keys."""
        from tui.screens.help import HelpScreen

        self.push_screen(HelpScreen())

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """All actions by name, for the command palette."""
        queue = QUEUE_KEYS if self._current_status_screen.chosen_job_id is not None else []
        for key in [*JOB_KEYS, *queue, *VIEW_KEYS, *APP_KEYS]:
            yield SystemCommand(key.title, key.meaning, partial(self.run_action, key.action))
