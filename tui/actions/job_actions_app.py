"""The actions on jobs: refused where the shown state forbids them, asked about, sent in another thread, answered.

The dashboard adds the views and the keys.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable

from textual import work
from textual.app import App
from textual.timer import Timer

from bertd.api.models import JobView
from bertd.errors import BertdError
from bertd.records import JobKind
from bertd.terminal_text import terminal_line
from tui.actions.action_texts import PriorityChanges, pause_consequence, resume_consequence
from tui.actions.allowed_actions import Action, pause_or_resume, refusal
from tui.display_options import DisplayOptions
from tui.drawing.lines import Role
from tui.screens.base import Message, StatusScreen
from tui.snapshot import Feed, Snapshot

MESSAGE_S = 8.0
"""How long the answer to an action stays in place of the keys."""


class JobActionsApp(App[None]):
    """Each action is on the job that is selected, else on that of the shown run."""

    def __init__(self, feed: Feed, *, options: DisplayOptions) -> None:
        # Set here too: Textual decides now how to follow NO_COLOR, and should use no colours rather than greys.
        super().__init__(ansi_color=True)
        self._feed = feed
        self._display_options = options
        self._snapshot: Snapshot | None = None
        self._message: Message | None = None
        self._message_timer: Timer | None = None
        self._priorities = PriorityChanges()

    @property
    @abstractmethod
    def _current_status_screen(self) -> StatusScreen:
        """The active view, below any dialog."""

    @abstractmethod
    def show_newest(self) -> None:
        """Show the feed's newest state."""

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

    def action_dismiss_message(self) -> None:
        """Show the keys again."""
        self._message = None
        self._current_status_screen.show_message(None)
