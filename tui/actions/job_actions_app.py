"""The actions on jobs: refused where the shown state forbids them, asked about, sent in another thread, answered.

The dashboard adds the views and the keys.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual import work
from textual.app import App
from textual.timer import Timer

from bertd.errors import BertdError
from bertd.records import JobKind, JobState
from bertd.run.amounts.quantities import format_budget_amount
from bertd.terminal_text import terminal_line
from tui.actions.action_costs import (
    CostRow,
    checkpoint_costs,
    find_run_of,
    hot_pause_costs,
    pause_costs,
    resume_costs,
    started_row,
)
from tui.actions.action_texts import PriorityChanges, pause_consequence, resume_consequence
from tui.actions.allowed_actions import Action, pause_or_resume, refusal
from tui.actions.host_text import on_host
from tui.actions.keys import label_of
from tui.actions.undo import Undo, undo_of_action, undo_of_budget, undo_of_submission
from tui.display_options import DisplayOptions
from tui.drawing.lines import Role
from tui.screens.base import Message, StatusScreen
from tui.snapshot import Feed, Snapshot

if TYPE_CHECKING:
    from bertd.api.models import JobView, RunView

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
        self._undo: tuple[Undo, str] | None = None
        """Takes back the last action, on the daemon of that host."""

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
        if not self._check(action, job) or job is None:
            return
        run = self._find_run(job)
        if action is Action.RESUME:
            status = self._snapshot.status if self._snapshot is not None else None
            costs = resume_costs(job, run, status)
            await self._ask(action, job, resume_consequence(job), lambda: self._feed.resume(job.id), costs=costs)
        else:
            await self._ask(
                action,
                job,
                pause_consequence(job),
                lambda: self._feed.pause(job.id),
                costs=pause_costs(job, run),
                more_costs=self._started_by_freeing(job),
            )

    async def action_pause_hot(self) -> None:
        """Suspend the job between two steps; it keeps its GPU memory. Asks first."""
        await self._check_and_ask(
            Action.PAUSE_HOT,
            "Its ranks stop between two steps and keep their devices and memory.",
            lambda job: self._feed.pause(job.id, hot=True),
            lambda job: hot_pause_costs(),
        )

    async def action_checkpoint(self) -> None:
        """Save a checkpoint at the next step; asks first."""
        await self._check_and_ask(
            Action.CHECKPOINT,
            "It is written while training continues, and is kept beside the regular ones.",
            lambda job: self._feed.checkpoint(job.id),
            lambda job: checkpoint_costs(self._find_run(job)),
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
        if self._check(Action.PRIORITIZE, job) and job is not None:
            priority = self._priorities.next(job, by)
            self._send_request(
                f"{job.name}: priority {priority}",
                lambda: self._feed.prioritize(job.id, priority),
                undo=lambda answer: undo_of_action(Action.PRIORITIZE, answer, self._feed, before=job),
            )

    async def action_stop(self) -> None:
        """Stop the job for good, after the user has typed its name."""
        job = self._target_job
        if not self._check(Action.STOP, job) or job is None:
            return

        from tui.screens.stop import StopDialog

        def stop(is_confirmed: bool | None) -> None:
            if is_confirmed:
                self._send_request(
                    f"{job.name}: stop",
                    lambda: self._feed.stop(job.id),
                    undo=lambda answer: undo_of_action(Action.STOP, answer, self._feed, before=job),
                )

        dialog = StopDialog(job, self._find_run(job), more_costs=self._started_by_freeing(job), host=self._host)
        await self.push_screen(dialog, stop)

    async def action_finetune(self) -> None:
        """Queue a finetuning of one of the run's exports."""
        run = self._snapshot.run if self._snapshot is not None else None
        if not self._check(Action.FINETUNE, self._target_job):
            return
        if run is None:
            self._show_message("There is no run to finetune.", role=Role.WAITING)
            return
        from tui.screens.forms.finetune import FinetuneForm

        def show_answer(job: JobView | None) -> None:
            if job is not None:
                self._keep_undo(undo_of_submission(job, self._feed))
                self._show_answer(f"{run.id}: finetune {job.name}", job)

        await self.push_screen(FinetuneForm(run, self._feed, clock=self._now, host=self._host), show_answer)

    async def action_budget(self) -> None:
        """Change the run's budget."""
        job = self._target_job
        if not self._check(Action.BUDGET, job) or job is None:
            return
        run = self._find_run(job)
        if run is None:
            self._show_message(f"{job.name}: its run is not known yet; show it first with enter.", role=Role.WAITING)
            return
        from tui.screens.forms.budget import BudgetForm

        def show_answer(answer: RunView | None) -> None:
            if answer is not None:
                self._keep_undo(undo_of_budget(run, self._feed))
                self._show_run_answer(f"{run.name}: budget", answer)
                self.show_newest()

        form = BudgetForm(
            run, change=self._feed.change_budget, clock=self._now, devices=len(job.devices), host=self._host
        )
        await self.push_screen(form, show_answer)

    async def action_new_run(self) -> None:
        """Queue a pretraining from a recipe."""
        if not self._check(Action.NEW_RUN, None):
            return
        from tui.screens.forms.new_run import NewRunForm

        def show_answer(job: JobView | None) -> None:
            if job is not None:
                self._keep_undo(undo_of_submission(job, self._feed))
                self._show_answer(f"new run {job.name}", job)

        jobs = self._snapshot.status.jobs if self._snapshot is not None and self._snapshot.status is not None else []
        num_waiting = sum(job.state is JobState.QUEUED for job in jobs)
        form = NewRunForm(submit=self._feed.submit, read_runs=self._feed.runs, num_waiting=num_waiting, host=self._host)
        await self.push_screen(form, show_answer)

    def action_undo(self) -> None:
        """Take back the last action, once."""
        if not self._check(Action.NEW_RUN, None):
            return
        remembered, self._undo = self._undo, None
        if remembered is None or remembered[1] != self._host:
            self._show_message("There is nothing to take back here.", role=Role.WAITING)
        else:
            undo, _ = remembered
            self._send_request(undo.what, undo.call)

    @property
    def _host(self) -> str:
        """The machine of the daemon that is acted on."""
        return self._snapshot.host if self._snapshot is not None else ""

    def _keep_undo(self, undo: Undo | None) -> None:
        self._undo = None if undo is None else (undo, self._host)

    def _now(self) -> float:
        return self._snapshot.now if self._snapshot is not None else 0.0

    def _find_run(self, job: JobView) -> RunView | None:
        """The run that the job trains, if it is known."""
        return find_run_of(job, self._snapshot) if self._snapshot is not None else None

    def _started_by_freeing(self, job: JobView) -> Callable[[], list[CostRow]] | None:
        """Asks which jobs would start on the devices that this one gives back; None if it has none."""
        return (lambda: [started_row(self._feed.would_start(job.id))]) if job.devices else None

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

    async def _check_and_ask(
        self,
        action: Action,
        consequence: str,
        call: Callable[[JobView], JobView],
        costs: Callable[[JobView], list[CostRow]] = lambda job: [],
    ) -> None:
        job = self._target_job
        if job is not None and self._check(action, job):
            await self._ask(action, job, consequence, lambda: call(job), costs=costs(job))
        elif job is None:
            self._check(action, job)

    async def _ask(
        self,
        action: Action,
        job: JobView,
        consequence: str,
        call: Callable[[], JobView],
        *,
        costs: Sequence[CostRow] = (),
        more_costs: Callable[[], Sequence[CostRow]] | None = None,
    ) -> None:
        """Send the request if the user chooses it."""
        from tui.screens.confirm import ConfirmDialog

        def act(is_chosen: bool | None) -> None:
            if is_chosen:
                self._keep_run_selected(job)
                self._send_request(
                    f"{job.name}: {action}",
                    call,
                    undo=lambda answer: undo_of_action(action, answer, self._feed, before=job),
                )

        what = job.run_id if job.kind is JobKind.PRETRAIN else f"job {job.id}, {job.name}"
        question = on_host(f"{action.capitalize()} {what}?", self._host)
        dialog = ConfirmDialog(
            question=question, verb=str(action), consequence=consequence, costs=costs, more_costs=more_costs
        )
        await self.push_screen(dialog, act)

    def _keep_run_selected(self, job: JobView) -> None:
        """Keep showing the run that is acted on, so that the same key acts on it again, not on another run."""
        run = self._snapshot.run if self._snapshot is not None else None
        if run is not None and run.job_id == job.id:
            self._feed.select_run(run.id)

    @work(group="acting")
    async def _send_request(
        self,
        what: str,
        call: Callable[[], JobView | RunView],
        *,
        undo: Callable[[JobView], Undo | None] = lambda answer: None,
    ) -> None:
        """Send the request in another thread, then show its result; `undo` finds what takes it back."""
        self._show_message(f"{what}: sent, waiting for the answer")
        try:
            answer = await asyncio.to_thread(call)
        except BertdError as error:
            self._show_message(f"{what}: {error}", role=Role.BAD)
        else:
            from bertd.api.models import RunView  # Not before the first frame.

            if isinstance(answer, RunView):
                self._show_run_answer(what, answer)
            else:
                self._keep_undo(undo(answer))
                self._show_answer(what, answer)
        self.show_newest()

    def _show_answer(self, what: str, job: JobView) -> None:
        self._show_message(f"{what}: {job.state}{f', {job.reason}' if job.reason else ''}{self._undo_hint}")

    def _show_run_answer(self, what: str, run: RunView) -> None:
        amount = format_budget_amount(run.budget.unit, run.budget.amount)
        self._show_message(f"{what}: sent; it has {amount} as of now{self._undo_hint}")

    @property
    def _undo_hint(self) -> str:
        return f"; {label_of('undo', self._display_options.keys)} takes it back" if self._undo is not None else ""

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
