"""The plan of each step, decided by rank 0 and broadcast to all ranks.

Only rank 0 reads the clock, the mailbox and the signals; the others receive its plan. So the learning rate is the same
on all ranks, and no rank leaves while another waits in a collective. The original code read a clock on each rank.
"""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass, fields
from enum import IntEnum
from threading import Event

from bertd.records import BudgetRecord, Command, CommandKind
from bertd.run.amounts.durations import format_duration
from bertd.run.budget import RunPosition, answer_budget_command
from bertd.train.checkpoint.async_saver import Checkpointer
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.budget_tracker import BudgetTracker
from bertd.train.loop.commands import PendingCommands
from bertd.train.loop.reporting import Reporter
from bertd.train.state import TrainState

_REPORT_EVERY_S = 1.0
_SUSPEND_POLL_S = 0.1
"""Time between two plans of suspended ranks."""
_REFUSED_PAUSE_RETRY_S = 60.0
"""Charged time after which a run whose pause at its mark the disk refused tries it again."""


class ExitReason(IntEnum):
    """Why the ranks leave the loop."""

    NONE = 0
    BUDGET = 1
    STOPPED = 2
    PAUSED = 3


@dataclass(frozen=True)
class StepPlan:
    """What to do in one iteration of the loop; the same on every rank."""

    exit_reason: ExitReason
    progress: float
    """Progress of the schedule at the middle of the coming step, 0..1."""
    suspend: bool
    """Do no step; get the next plan after a short wait."""
    validate: bool
    """Validate before the step; or before the pause."""
    checkpoint: bool
    report: bool
    """Read the loss of the step, when the next one is queued."""

    @property
    def only_steps(self) -> bool:
        """Whether there is nothing to do but a step."""
        return not (self.exit_reason or self.suspend or self.validate or self.checkpoint)


def broadcast_plan(ranks: Ranks, plan: StepPlan | None) -> StepPlan:
    """Return the plan of rank 0 on every rank; the others pass None."""
    values = [0.0] * len(fields(StepPlan)) if plan is None else [float(value) for value in astuple(plan)]
    exit_reason, progress, *flags = ranks.broadcast(values)
    return StepPlan(ExitReason(int(exit_reason)), progress, *(bool(flag) for flag in flags))


class StepController:
    """Makes the plans; only rank 0 calls `plan_step`."""

    def __init__(
        self,
        *,
        budget: BudgetTracker,
        commands: PendingCommands,
        checkpointer: Checkpointer,
        reporter: Reporter,
        stop_signal: Event,
        pause_mark_s: float | None = None,
    ) -> None:
        """Plan the steps of one attempt.

        Args:
            stop_signal: set on SIGTERM.
            pause_mark_s: charged time at which the run validates and pauses by itself; see bertd.run.pause_mark.
        """
        self._budget = budget
        self._commands = commands
        self._checkpointer = checkpointer
        self._reporter = reporter
        self._stop_signal = stop_signal
        self._pause_mark_s = pause_mark_s
        self._last_report_s = -_REPORT_EVERY_S
        self._suspend_reason: str | None = None
        self._stop_reason: str | None = None
        self._is_at_mark = False
        """The last plan pauses the run at its mark."""
        self.exit_detail = ""
        """Why the last plan ends the loop, as text."""

    def plan_step(self, state: TrainState, *, step_s: float, queued_s: float = 0.0) -> tuple[StepPlan, TrainState]:
        """Decide from clock, mailbox and signals what happens next.

        Args:
            step_s: how long a step takes.
            queued_s: how long the device still works on the steps before it, at most.

        Returns:
            The plan, and the state updated with the saves that have ended.
        """
        state = self._checkpointer.collect_finished(state)
        command = self._read_command(state)
        charged_s = self._budget.now_s()
        exit_reason = self._decide_exit(command, state, charged_s=charged_s, step_s=queued_s + step_s)
        if exit_reason is ExitReason.NONE:
            self._update_suspension(command)
        is_suspended = self._suspend_reason is not None
        saves = False
        if exit_reason is ExitReason.NONE:
            saves, state = self._checkpointer.decide(state, charged_s=charged_s, is_suspended=is_suspended)
        is_validation_due = (
            charged_s >= state.next_validation_s
            and not is_suspended
            # Not just before the end, which does one of its own: the reserve has the time for one.
            and self._budget.has_time_to_validate(state, charged_s=charged_s)
        )
        plan = StepPlan(
            exit_reason=exit_reason,
            progress=self._budget.schedule_progress(state, charged_s=charged_s + queued_s, step_s=step_s),
            suspend=is_suspended,
            validate=self._is_at_mark if exit_reason else is_validation_due,
            checkpoint=saves,
            report=not is_suspended and self._is_report_due(charged_s),
        )
        self._reporter.report_sleep(state)
        return plan, state

    def suspend(self, reason: str) -> None:
        """Make the coming plans suspend the ranks until a command resumes them."""
        self._suspend_reason = reason

    def stop(self, reason: str) -> None:
        """Make the next plan end the run, with validation, save and export."""
        self._stop_reason = reason

    def follow_suspension(self, plan: StepPlan, state: TrainState) -> None:
        """Stop the charged clock while the ranks do nothing, and answer the command that requested it.

        The trainer calls this after the update that is queued on the device: its time is charged, and its record comes
        before that of the suspension.
        """
        # The copy for a save that was requested during the suspension is work, so it is charged; not so the wait for an
        # earlier save to be written.
        is_idle = plan.suspend and plan.exit_reason is ExitReason.NONE and not plan.checkpoint
        clock = self._budget.clock
        if is_idle and not clock.is_suspended:
            clock.suspend()
            self._reporter.report_suspended(state, reason=self._suspend_reason or "")
        elif clock.is_suspended and not is_idle:
            self._reporter.report_resumed(state, since_s=clock.resume())
        if plan.exit_reason is ExitReason.NONE and self._commands.requests(CommandKind.SUSPEND, CommandKind.RESUME):
            activity = "holds" if plan.suspend else "trains"
            self._commands.answer(state, is_done=True, detail=f"{activity} at step {state.step}")

    def wait(self) -> None:
        """Wait a moment while suspended; SIGTERM ends the wait at once."""
        # Short, because all ranks meet in the broadcast of the next plan, which has a timeout.
        self._stop_signal.wait(_SUSPEND_POLL_S)

    def _read_command(self, state: TrainState) -> Command | None:
        """Return the next command, after answering any that change the budget, and those that are no commands."""
        while (command := self._commands.read(state)) is not None:
            if command.verb is CommandKind.BUDGET:
                self._change_budget(command, state)
            elif command.verb is CommandKind.UNREADABLE:
                self._reporter.alert(state, code="command_refused", message=command.problem)
                self._commands.answer(state, is_done=False, detail=command.problem)
            else:
                break
        return command

    def _change_budget(self, command: Command, state: TrainState) -> None:
        charged_s = self._budget.now_s()
        position = RunPosition(t=time.time(), step=state.step, sequences=state.sequences, charged_s=charged_s)
        records = answer_budget_command(
            command, self._budget.granted, position=position, reserve_s=self._budget.reserve_s(state) or 0.0
        )
        for record in records:
            if isinstance(record, BudgetRecord):
                self._reporter.append(record)
                self._budget.apply_change(record)
            else:
                self._commands.append_answer(record)

    def _decide_exit(
        self, command: Command | None, state: TrainState, *, charged_s: float, step_s: float
    ) -> ExitReason:
        """Return the first reason that applies, in the order below, and set `exit_detail`."""
        exit_reason, self.exit_detail = ExitReason.NONE, ""
        kind = None if command is None else command.verb
        requested_by = "" if command is None else f"requested by {command.asked_by}"
        self._is_at_mark = False
        reaches_mark = self._reaches_mark(state, charged_s=charged_s)
        if self._budget.is_spent(state, charged_s=charged_s, step_s=step_s):
            exit_reason, self.exit_detail = ExitReason.BUDGET, "the budget is spent"
        elif kind is CommandKind.STOP:
            exit_reason, self.exit_detail = ExitReason.STOPPED, requested_by
        elif self._stop_reason is not None:
            exit_reason, self.exit_detail = ExitReason.STOPPED, self._stop_reason
        elif not reaches_mark and (rule := self._find_met_rule(state, charged_s=charged_s)):
            # At the mark the loss is measured first; a rule that it meets ends the run when it continues.
            exit_reason, self.exit_detail = ExitReason.STOPPED, rule
        elif kind is CommandKind.PAUSE:
            exit_reason, self.exit_detail = ExitReason.PAUSED, requested_by
        elif self._stop_signal.is_set():
            exit_reason, self.exit_detail = ExitReason.PAUSED, "bertd was told to stop"
        elif reaches_mark:
            exit_reason, self._is_at_mark = ExitReason.PAUSED, True
            self.exit_detail = f"reached {format_duration(charged_s)}, where its sweep decides whether it continues"
            self._pause_mark_s = charged_s + _REFUSED_PAUSE_RETRY_S
        return exit_reason

    def _reaches_mark(self, state: TrainState, *, charged_s: float) -> bool:
        """Whether the run is to pause by itself; a run that has not trained yet has no loss to compare."""
        return self._pause_mark_s is not None and charged_s >= self._pause_mark_s and state.step > 0

    def _find_met_rule(self, state: TrainState, *, charged_s: float) -> str:
        """Describe the recipe's stop rule that ends the run; empty if none is met."""
        for rule in self._budget.recipe.stop.parse_rules():
            if rule.is_met(charged_s=charged_s, validation_loss=state.validation_loss):
                loss = f"validation loss {state.validation_loss:.3f} after {format_duration(charged_s)}"
                return f"the recipe's rule {rule.text!r}: {loss}"
        return ""

    def _update_suspension(self, command: Command | None) -> None:
        if command is not None and command.verb is CommandKind.SUSPEND:
            self.suspend(f"requested by {command.asked_by}")
        elif command is not None and command.verb is CommandKind.RESUME:
            self._suspend_reason = None

    def _is_report_due(self, charged_s: float) -> bool:
        is_due = charged_s - self._last_report_s >= _REPORT_EVERY_S
        if is_due:
            self._last_report_s = charged_s
        return is_due
