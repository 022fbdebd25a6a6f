"""What every rank does between two steps, decided by rank 0 alone and obeyed by all at the same step.

Rank 0 reads one clock, the mailbox and its signals; the others only hear the order. So the learning rate cannot drift
between ranks, and nobody leaves while another waits in a collective: the old code read a clock on each rank.

A timed run keeps a reserve, measured on its own validation and save, and trains to the budget less the reserve: the
schedule's progress reaches 1 there, and validation, checkpoint and export fall inside the budget.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from threading import Event
from typing import Protocol

from bertd.records import BudgetRecord, Command, CommandKind, CommandRecord
from bertd.run.budget import Budget, BudgetPlan, RunPosition, answer_budget_command, training_end
from bertd.run.durations import format_duration, parse_duration
from bertd.run.mailbox import read_command
from bertd.run.paths import RunPaths
from bertd.run.recipe.schema import Recipe
from bertd.train.distributed.process_group import Ranks
from bertd.train.state import TrainState

_RESERVE_MARGIN = 1.3
"""A loaded disk is slower at the end than at the start."""
_REPORT_EVERY_S = 1.0
_SUSPEND_POLL_S = 0.1
"""How often held ranks look for orders."""


class ExitReason(IntEnum):
    """Why the ranks leave the loop."""

    NONE = 0
    BUDGET = 1
    STOPPED = 2
    PAUSED = 3


@dataclass(frozen=True)
class StepPlan:
    """The same on every rank."""

    progress: float
    """Of the schedule at the middle of the coming step, 0..1; 1 where training ends, the reserve before the budget's
    end. The middle, because the first step would otherwise be taken at rate 0."""
    charged_s: float
    validate: bool
    checkpoint: bool
    report: bool
    """Read the loss after the step: the only time that a step waits for the device."""
    exit_reason: ExitReason
    suspend: bool = False
    """Do no step; ask for the next order in a moment."""


class Clock(Protocol):
    """Charged time."""

    @property
    def is_suspended(self) -> bool:
        """Whether it stands."""
        ...

    def now_s(self) -> float:
        """Seconds charged to the run at this moment."""
        ...

    def suspend(self) -> None:
        """Stand still."""
        ...

    def resume(self) -> float:
        """Run again; CLOCK_MONOTONIC from which on."""
        ...


class StepController:
    """Rank 0's judgement."""

    def __init__(
        self,
        recipe: Recipe,
        paths: RunPaths,
        *,
        clock: Clock,
        acknowledged: int,
        stop_signal: Event,
        budget_plan: BudgetPlan | None = None,
    ) -> None:
        """Take up the run where the journal leaves it.

        Args:
            acknowledged: number of the last command the journal answers.
            stop_signal: set on SIGTERM.
            plan: the budget with the changes that the journal tells; None for the recipe's.
        """
        self._budget_plan = budget_plan or BudgetPlan(recipe.granted)
        self.recipe = recipe.with_budget(self.granted.amount)
        """With the budget as it is by now."""
        self._paths = paths
        self._clock = clock
        self._stop_signal = stop_signal
        self._last_handled = acknowledged
        """Number of the last command that is obeyed or being obeyed."""
        self._last_report_s = -_REPORT_EVERY_S
        self._suspend_reason: str | None = None
        self._stop_reason: str | None = None
        self.pending: Command | None = None
        """Read, obeyed by the order that is out, not acknowledged yet."""
        self.deferred: Command | None = None
        """Its checkpoint is being written; those behind it are read meanwhile."""
        self.reason = ""
        """Why the last order ended the loop, for people."""

    @property
    def granted(self) -> Budget:
        """The budget as it is by now."""
        return self._budget_plan.granted

    def now_s(self) -> float:
        """Charged seconds."""
        return self._clock.now_s()

    def plan_step(self, state: TrainState, *, step_s: float) -> StepPlan:
        """Look at clock, mailbox and signals; `step_s` is how long a step takes."""
        charged_s = self._clock.now_s()
        exit_reason = self._find_exit_reason(state, charged_s=charged_s, step_s=step_s)
        requested = self._read_mailbox()
        if requested is CommandKind.STOP and exit_reason is not ExitReason.BUDGET:
            exit_reason, self.reason = ExitReason.STOPPED, "a person asked for it"
        elif exit_reason is ExitReason.NONE and (requested is CommandKind.PAUSE or self._stop_signal.is_set()):
            exit_reason = ExitReason.PAUSED
            self.reason = "a person asked for it" if requested is CommandKind.PAUSE else "bertd was told to stop"
        elif requested is CommandKind.SUSPEND:
            self.suspend("a person asked for it")
        elif requested is CommandKind.RESUME:
            self._suspend_reason = None
        is_suspended = self._suspend_reason is not None
        is_due = charged_s - self._last_report_s >= _REPORT_EVERY_S and not is_suspended
        if is_due:
            self._last_report_s = charged_s
        return StepPlan(
            progress=self._schedule_progress(
                state,
                charged_s=charged_s + step_s / 2,
                steps=state.step + 0.5,
                sequences=state.sequences + self._step_sequences(state, charged_s=charged_s) / 2,
            ),
            charged_s=charged_s,
            validate=charged_s >= state.next_validation_s and not is_suspended,
            checkpoint=(charged_s >= state.next_checkpoint_s and not is_suspended)
            or requested is CommandKind.CHECKPOINT,
            report=is_due,
            exit_reason=exit_reason,
            suspend=is_suspended,
        )

    def suspend(self, reason: str) -> None:
        """Let the coming orders hold the ranks between two steps, until somebody resumes them."""
        self._suspend_reason = reason

    def stop(self, reason: str) -> None:
        """Let the next order end the run: it validates, saves and exports."""
        self._stop_reason = reason

    @property
    def suspend_reason(self) -> str:
        """Why the ranks are held; empty where they are not."""
        return self._suspend_reason or ""

    @property
    def clock(self) -> Clock:
        """The charged clock; it stands while the ranks do nothing."""
        return self._clock

    def wait(self) -> None:
        """Let a moment of a hold go by; a signal ends it at once."""
        # The other ranks wait in the broadcast of the next order, so this is far below any timeout of theirs.
        self._stop_signal.wait(_SUSPEND_POLL_S)

    def acknowledge(self) -> Command | None:
        """The pending command, now answered; None where there is none."""
        command, self.pending = self.pending, None
        if command is not None:
            self._last_handled = command.number
        return command

    def defer_until_saved(self) -> None:
        """The pending command's checkpoint has begun: go on with those behind it."""
        self.deferred = self.acknowledge()

    def next_validation_s(self, charged_s: float) -> float:
        """When the one after a validation at `charged_s` is due: more often at the start of a timed budget."""
        section = self.recipe.validation
        total_s = self.granted.total_s
        is_early = total_s is not None and charged_s < section.early_until * total_s
        return charged_s + parse_duration(section.early_every if is_early else section.every)

    def next_checkpoint_s(self, charged_s: float, *, save_s: float) -> float:
        """When the one after a checkpoint at `charged_s` is due.

        Sooner by what a save takes, so that it is whole when the interval is over; but not where it takes more than
        half of that, since it would mostly meet the one before still being written.
        """
        interval_s = self.recipe.checkpoint.interval_s(self.granted.total_s)
        return charged_s + (interval_s - save_s if save_s <= interval_s / 2 else interval_s)

    def answer_budget_command(self, state: TrainState) -> list[BudgetRecord | CommandRecord]:
        """Take over a budget that the mailbox asks for; the records that tell of it, none where none is asked."""
        command = read_command(self._paths.control, number=self._last_handled + 1)
        if command is None or command.verb is not CommandKind.BUDGET:
            return []
        position = RunPosition(t=time.time(), step=state.step, sequences=state.sequences, charged_s=self._clock.now_s())
        records = answer_budget_command(command, self.granted, position=position, reserve_s=_reserve_s(state))
        for record in records:
            if isinstance(record, BudgetRecord):
                self._budget_plan = self._budget_plan.with_change(spent=record.spent, amount=record.after)
                self.recipe = self.recipe.with_budget(record.after)
        self._last_handled = command.number
        return records

    def remaining_s(self, state: TrainState) -> float | None:
        """Charged seconds until a timed run stops training; None where work is budgeted."""
        deadline_s = self._deadline_s(state)
        return None if deadline_s is None else deadline_s - self.now_s()

    def _deadline_s(self, state: TrainState) -> float | None:
        """Charged time at which a timed run stops training; None for a budget of steps or sequences."""
        total_s = self.granted.total_s
        return None if total_s is None else training_end(total_s, reserve=_reserve_s(state))

    def _schedule_progress(self, state: TrainState, *, charged_s: float, steps: float, sequences: float) -> float:
        granted = self.granted
        spent = granted.spent(charged_s=charged_s, steps=steps, sequences=sequences)
        return self._budget_plan.schedule_progress(spent, reserve=granted.convert_seconds(_reserve_s(state)))

    def _step_sequences(self, state: TrainState, *, charged_s: float) -> int:
        """What the coming step takes, as far as can be told where it begins."""
        progress = self._schedule_progress(state, charged_s=charged_s, steps=state.step, sequences=state.sequences)
        return self.recipe.batch.sequences_at(progress)

    def _find_exit_reason(self, state: TrainState, *, charged_s: float, step_s: float) -> ExitReason:
        deadline_s = self._deadline_s(state)
        if deadline_s is not None:
            # A step that would end behind the deadline is not begun.
            is_spent = charged_s + step_s > deadline_s
        else:
            granted = self.granted
            is_spent = granted.progress(charged_s=charged_s, steps=state.step, sequences=state.sequences) >= 1.0
        if is_spent:
            self.reason = "the budget is spent"
            return ExitReason.BUDGET
        if self._stop_reason is not None:
            self.reason = self._stop_reason
            return ExitReason.STOPPED
        for rule in self.recipe.stop.parse_rules():
            if rule.is_met(charged_s=charged_s, validation_loss=state.validation_loss):
                loss = f"validation loss {state.validation_loss:.3f} after {format_duration(charged_s)}"
                self.reason = f"the recipe's rule {rule.text!r}: {loss}"
                return ExitReason.STOPPED
        return ExitReason.NONE

    def _read_mailbox(self) -> CommandKind | None:
        command = read_command(self._paths.control, number=self._last_handled + 1)
        # A budget that came in just now waits for the next `answer_budget_command`.
        self.pending = None if command is not None and command.verb is CommandKind.BUDGET else command
        return self.pending.verb if self.pending is not None else None


def _reserve_s(state: TrainState) -> float:
    """Charged time that a timed budget keeps for its last validation, save and export."""
    # An export writes the weights once, a checkpoint three times as much.
    export_s = save_s = state.save_s or 0.0
    return _RESERVE_MARGIN * ((state.validation_s or 0.0) + save_s + export_s)


def broadcast_plan(ranks: Ranks, plan: StepPlan | None) -> StepPlan:
    """Rank 0 passes its order, the others None; all get it."""
    values = [0.0] * 7
    if plan is not None:
        flags = (plan.validate, plan.checkpoint, plan.report)
        values = [plan.progress, plan.charged_s, *map(float, flags), float(plan.exit_reason), float(plan.suspend)]
    progress, charged_s, validate, checkpoint, report, exit_reason, suspend = ranks.broadcast(values)
    return StepPlan(
        progress=progress,
        charged_s=charged_s,
        validate=bool(validate),
        checkpoint=bool(checkpoint),
        report=bool(report),
        exit_reason=ExitReason(int(exit_reason)),
        suspend=bool(suspend),
    )
