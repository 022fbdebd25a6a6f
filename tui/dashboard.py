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
from textual import events, on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message_pump import MessagePump
from textual.screen import ModalScreen, Screen
from textual.timer import Timer
from textual.widgets import Input

from bertd.api.models import JobView
from bertd.errors import BertdError
from bertd.records import JobKind
from bertd.terminal_text import terminal_line
from tui.action_texts import PriorityChanges, pause_consequence, resume_consequence
from tui.allowed_actions import Action, pause_or_resume, refusal
from tui.display_options import DisplayOptions
from tui.key_queue import KeyQueue
from tui.keys import APP_KEYS, JOB_KEYS, LIST_KEYS, QUEUE_KEYS, VIEW_KEYS, guarded_keys
from tui.lines import Role
from tui.partial_update import crop_update, whole_update
from tui.screens.base import Message, StatusScreen
from tui.screens.registry import SCREEN_NAMES, make_screen
from tui.snapshot import Feed, Snapshot
from tui.theme import THEME
from tui.widgets.job_list import JobList

FLUSH_S = 1.0
"""Interval between screen updates."""
STARTUP_FLUSH_S = 0.1
"""Interval between screen updates until the daemon's first answer."""
MESSAGE_S = 8.0
"""How long the answer to an action stays in place of the keys."""


class Dashboard(App[None]):
    """bert-tui on a terminal."""

    CSS_PATH = "app.tcss"
    TITLE = "bertd"
    ENABLE_COMMAND_PALETTE = True
    DEFAULT_MODE = "run"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "Quit", priority=True, show=False),
        Binding("ctrl+l", "repaint", "Repaint", priority=True, show=False),
        *(
            Binding(key.keys, key.action, key.title, id=key.title.lower().replace(" ", "-") or None)
            for key in [*JOB_KEYS, *VIEW_KEYS, *LIST_KEYS, *APP_KEYS]
            if key.action
        ),
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
        self._message: Message | None = None
        self._message_timer: Timer | None = None
        self._priorities = PriorityChanges()
        self._key_queue = KeyQueue(
            is_guarded=self._is_guarded_key, handle=self._handle_key, refuse=self._refuse_key, later=self.set_timer
        )
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
        """Start the periodic updates; exit on SIGTERM and SIGHUP, so that Textual restores the terminal."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit)
        self.app_resume_signal.subscribe(self, lambda _: self.action_repaint())
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

    async def on_event(self, event: events.Event) -> None:
        """Queue keys that come from the terminal; Textual handles everything else."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self._key_queue.put(event)
        else:
            await super().on_event(event)

    async def _handle_key(self, key: events.Key) -> None:
        target = self.focused or self.screen
        await super().on_event(key)
        self._follow_key(target)

    def _follow_key(self, node: MessagePump | None) -> None:
        """Pass through the message queues that the key bubbles through, then begin with the next key."""
        if node is None or node is self:
            self.call_later(self._key_queue.next_key)
        elif not node.call_later(self._follow_key, node._parent):
            self._follow_key(node._parent)

    def _is_guarded_key(self, key: events.Key) -> bool:
        if isinstance(self.screen, ModalScreen):
            return key.key in ("enter", "ctrl+j")
        return key.key in guarded_keys() and not isinstance(self.focused, Input)

    def _refuse_key(self, key: events.Key) -> None:
        if key.key in ("enter", "ctrl+j"):
            self._show_message("Enter came together with the text, as in a paste; press it again.", role=Role.WAITING)
        else:
            self._show_message(
                f"{key.key} came together with other letters, as in a paste, so nothing was done.", role=Role.WAITING
            )

    async def action_pause_or_resume(self) -> None:
        """Pause the job, or resume a paused one; asks first."""
        job = self._target_job
        action = pause_or_resume(job)
        if job is None or not self._check(action, job):
            return
        if action is Action.RESUME:
            await self._ask(action, job, resume_consequence(job), lambda: self._feed.resume(job.id))
        else:
            await self._ask(action, job, pause_consequence(job), lambda: self._feed.pause(job.id))

    async def action_pause_hot(self) -> None:
        """Suspend the job between two steps; it keeps its GPU memory. Asks first."""
        await self._check_and_ask(
            Action.PAUSE_HOT,
            "Its ranks stop between two steps and keep their devices and memory; its budget is not charged.",
            lambda job: self._feed.pause(job.id, hot=True),
        )

    async def action_checkpoint(self) -> None:
        """Save a checkpoint at the next step; asks first."""
        await self._check_and_ask(
            Action.CHECKPOINT,
            "It is written while training continues, and is kept beside the regular ones.",
            lambda job: self._feed.checkpoint(job.id),
        )

    async def action_hold(self) -> None:
        """Keep a queued job from starting; asks first."""
        await self._check_and_ask(
            Action.HOLD, "It keeps its place and starts only after a release.", lambda job: self._feed.hold(job.id)
        )

    async def action_release(self) -> None:
        """Let a held job start; asks first."""
        await self._check_and_ask(
            Action.RELEASE, "It starts as soon as it has devices.", lambda job: self._feed.release(job.id)
        )

    def action_prioritize(self, by: int) -> None:
        """Change a waiting job's priority by `by`; the other key undoes it, so it does not ask."""
        job = self._target_job
        if job is not None and self._check(Action.PRIORITIZE, job):
            priority = self._priorities.next(job, by)
            self._send_request(f"{job.name}: priority {priority}", lambda: self._feed.prioritize(job.id, priority))

    async def action_stop(self) -> None:
        """Stop the job for good, after the user has typed its name."""
        job = self._target_job
        if job is None or not self._check(Action.STOP, job):
            return

        from tui.screens.stop import StopDialog

        def stop(is_confirmed: bool | None) -> None:
            if is_confirmed:
                self._send_request(f"{job.name}: stop", lambda: self._feed.stop(job.id))

        run = self._snapshot.run if self._snapshot else None
        await self.push_screen(StopDialog(job, run if run is not None and run.job_id == job.id else None), stop)

    async def action_finetune(self) -> None:
        """Queue a finetuning of the run's newest export."""
        run = self._snapshot.run if self._snapshot is not None else None
        if not self._check(Action.FINETUNE, self._target_job) or run is None:
            return
        if run.export is None:
            self._show_message(f"{run.id} has no export yet; it gets one at a marker of its recipe and at its end.")
            return
        from tui.screens.finetune import FinetuneForm

        def show_answer(job: JobView | None) -> None:
            if job is not None:
                self._show_answer(f"{run.id}: finetune {job.name}", job)

        await self.push_screen(FinetuneForm(run, self._feed.submit), show_answer)

    @property
    def _target_job(self) -> JobView | None:
        """The selected job, else the shown run's."""
        return self._current_status_screen.target_job(self._snapshot) if self._snapshot is not None else None

    def _check(self, action: Action, job: JobView | None) -> bool:
        """Whether the shown state allows the action; says why not."""
        if self._snapshot is None:
            return False
        problem = refusal(action, job, self._snapshot, self._display_options)
        if problem:
            self._show_message(problem, role=Role.WAITING)
        return not problem

    async def _check_and_ask(self, action: Action, consequence: str, call: Callable[[JobView], JobView]) -> None:
        job = self._target_job
        if job is not None and self._check(action, job):
            await self._ask(action, job, consequence, lambda: call(job))
        elif job is None:
            self._check(action, job)

    async def _ask(self, action: Action, job: JobView, consequence: str, call: Callable[[], JobView]) -> None:
        """Send the request if the user chooses it."""
        from tui.screens.confirm import ConfirmDialog

        def act(is_chosen: bool | None) -> None:
            if is_chosen:
                self._keep_run_selected(job)
                self._send_request(f"{job.name}: {action}", call)

        what = job.run_id if job.kind is JobKind.PRETRAIN else f"job {job.id}, {job.name}"
        question = f"{action.capitalize()} {what}?"
        await self.push_screen(ConfirmDialog(question=question, verb=str(action), consequence=consequence), act)

    def _keep_run_selected(self, job: JobView) -> None:
        """Keep showing the run that is acted on, so that the same key acts on it again, not on another run."""
        run = self._snapshot.run if self._snapshot is not None else None
        if run is not None and run.job_id == job.id:
            self._feed.select_run(run.id)

    @work(group="acting")
    async def _send_request(self, what: str, call: Callable[[], JobView]) -> None:
        """Send the request in another thread, then show its result."""
        self._show_message(f"{what}: sent, waiting for the answer")
        try:
            job = await asyncio.to_thread(call)
        except BertdError as error:
            self._show_message(f"{what}: {error}", role=Role.BAD)
        else:
            self._show_answer(what, job)
        self.show_newest()

    def _show_answer(self, what: str, job: JobView) -> None:
        self._show_message(f"{what}: {job.state}{f', {job.reason}' if job.reason else ''}")

    def _show_message(self, text: str, *, role: Role = Role.STRONG) -> None:
        """Show it in place of the keys until the next one, escape, or MESSAGE_S seconds later."""
        self._message = Message(terminal_line(text), role)
        self._current_status_screen.show_message(self._message)
        if self._message_timer is not None:
            self._message_timer.stop()
        self._message_timer = self.set_timer(MESSAGE_S, self.action_dismiss_message)

    def action_repaint(self) -> None:
        """Paint all cells again: the terminal lost them, as in a suspension, or another program wrote over them."""
        self.refresh(layout=True)

    def action_dismiss_message(self) -> None:
        """Show the keys again."""
        self._message = None
        self._current_status_screen.show_message(None)

    async def action_search(self) -> None:
        """Search in this view, else in the log."""
        if not self._current_status_screen.open_search():
            await self.action_show_view("log")
            self._current_status_screen.open_search()

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
        self._current_status_screen.show_message(self._message)
        self.show_newest()

    def action_next_run(self) -> None:
        """Show the next run in the daemon's list."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.run is None or snapshot.status is None:
            return
        runs = {run.id: run.job_id for run in (*snapshot.status.runs, snapshot.run)}
        ids = sorted(runs, key=lambda id: -runs[id])
        self._feed.select_run(ids[(ids.index(snapshot.run.id) + 1) % len(ids)])
        self.show_newest()

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

    def action_toggle_log(self) -> None:
        """Toggle the logarithmic loss axis."""
        self._change_display_options(replace(self._display_options, log_y=not self._display_options.log_y))

    def action_toggle_zoom(self) -> None:
        """Toggle the x axis between the whole budget and the spent part."""
        self._change_display_options(
            replace(self._display_options, whole_budget=not self._display_options.whole_budget)
        )

    async def action_show_help(self) -> None:
        """Show all keys."""
        from tui.screens.help import HelpScreen

        await self.push_screen(HelpScreen(self._display_options))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """All actions by name, for the command palette."""
        queue = QUEUE_KEYS if self._current_status_screen.chosen_job_id is not None else []
        acting = [] if self._display_options.is_readonly else [*JOB_KEYS, *queue]
        for key in [*acting, *VIEW_KEYS, *LIST_KEYS[:1], *APP_KEYS]:
            yield SystemCommand(key.title, key.meaning, partial(self.run_action, key.action))
