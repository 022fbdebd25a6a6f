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

from bertd.records import BudgetRecord, Command, CommandRecord, Verb
from bertd.run.budget import Budget, BudgetPlan, Standing, obey_budget, training_end
from bertd.run.durations import format_duration, parse_duration
from bertd.run.mailbox import read_command
from bertd.run.paths import RunPaths
from bertd.run.recipe import Recipe
from bertd.train.checkpoint import TrainingState
from bertd.train.ranks import Ranks

_RESERVE_MARGIN = 1.3
"""A loaded disk is slower at the end than at the start."""
_REPORT_EVERY_S = 1.0
_HOLD_POLL_S = 0.1
"""How often held ranks look for orders."""


class Ending(IntEnum):
    """Why the ranks leave the loop."""

    NONE = 0
    BUDGET = 1
    STOPPED = 2
    PAUSED = 3


@dataclass(frozen=True)
class Order:
    """The same on every rank."""

    progress: float
    """Of the schedule at the middle of the coming step, 0..1; 1 where training ends, the reserve before the budget's
    end. The middle, because the first step would otherwise be taken at rate 0."""
    charged_s: float
    validate: bool
    checkpoint: bool
    report: bool
    """Read the loss after the step: the only time that a step waits for the device."""
    ending: Ending
    hold: bool = False
    """Do no step; ask for the next order in a moment."""


class Clock(Protocol):
    """Charged time."""

    @property
    def is_held(self) -> bool:
        """Whether it stands."""
        ...

    def now_s(self) -> float:
        """Seconds charged to the run at this moment."""
        ...

    def hold(self) -> None:
        """Stand still."""
        ...

    def go_on(self) -> float:
        """Run again; CLOCK_MONOTONIC from which on."""
        ...


class Conductor:
    """Rank 0's judgement."""

    def __init__(
        self,
        recipe: Recipe,
        paths: RunPaths,
        *,
        clock: Clock,
        acknowledged: int,
        stop_signal: Event,
        plan: BudgetPlan | None = None,
    ) -> None:
        """Take up the run where the journal leaves it.

        Args:
            acknowledged: number of the last command the journal answers.
            stop_signal: set on SIGTERM.
            plan: the budget with the changes that the journal tells; None for the recipe's.
        """
        self._plan = plan or BudgetPlan(recipe.granted)
        self.recipe = recipe.with_budget(self.granted.amount)
        """With the budget as it is by now."""
        self._paths = paths
        self._clock = clock
        self._stop_signal = stop_signal
        self._heard = acknowledged
        """Number of the last command that is obeyed or being obeyed."""
        self._last_report_s = -_REPORT_EVERY_S
        self._hold_reason: str | None = None
        self._stop_reason: str | None = None
        self.pending: Command | None = None
        """Read, obeyed by the order that is out, not acknowledged yet."""
        self.saving: Command | None = None
        """Its checkpoint is being written; those behind it are read meanwhile."""
        self.reason = ""
        """Why the last order ended the loop, for people."""

    @property
    def granted(self) -> Budget:
        """The budget as it is by now."""
        return self._plan.granted

    def now_s(self) -> float:
        """Charged seconds."""
        return self._clock.now_s()

    def decide(self, state: TrainingState, *, step_s: float) -> Order:
        """Look at clock, mailbox and signals; `step_s` is how long a step takes."""
        charged_s = self._clock.now_s()
        ending = self._ending(state, charged_s=charged_s, step_s=step_s)
        asked = self._read_mailbox()
        if asked is Verb.STOP and ending is not Ending.BUDGET:
            ending, self.reason = Ending.STOPPED, "a person asked for it"
        elif ending is Ending.NONE and (asked is Verb.PAUSE or self._stop_signal.is_set()):
            ending = Ending.PAUSED
            self.reason = "a person asked for it" if asked is Verb.PAUSE else "bertd was told to stop"
        elif asked is Verb.HOLD:
            self.hold("a person asked for it")
        elif asked is Verb.RESUME:
            self._hold_reason = None
        is_held = self._hold_reason is not None
        is_due = charged_s - self._last_report_s >= _REPORT_EVERY_S and not is_held
        if is_due:
            self._last_report_s = charged_s
        return Order(
            progress=self._schedule_progress(
                state,
                charged_s=charged_s + step_s / 2,
                steps=state.step + 0.5,
                sequences=state.sequences + self._step_sequences(state, charged_s=charged_s) / 2,
            ),
            charged_s=charged_s,
            validate=charged_s >= state.next_validation_s and not is_held,
            checkpoint=(charged_s >= state.next_checkpoint_s and not is_held) or asked is Verb.CHECKPOINT,
            report=is_due,
            ending=ending,
            hold=is_held,
        )

    def hold(self, reason: str) -> None:
        """Let the coming orders hold the ranks between two steps, until somebody resumes them."""
        self._hold_reason = reason

    def stop(self, reason: str) -> None:
        """Let the next order end the run: it validates, saves and exports."""
        self._stop_reason = reason

    @property
    def hold_reason(self) -> str:
        """Why the ranks are held; empty where they are not."""
        return self._hold_reason or ""

    @property
    def clock(self) -> Clock:
        """The charged clock; it stands while the ranks do nothing."""
        return self._clock

    def wait(self) -> None:
        """Let a moment of a hold go by; a signal ends it at once."""
        # The other ranks wait in the broadcast of the next order, so this is far below any timeout of theirs.
        self._stop_signal.wait(_HOLD_POLL_S)

    def acknowledge(self) -> Command | None:
        """The pending command, now answered; None where there is none."""
        command, self.pending = self.pending, None
        if command is not None:
            self._heard = command.number
        return command

    def set_aside(self) -> None:
        """The pending command's checkpoint has begun: go on with those behind it."""
        self.saving = self.acknowledge()

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

    def obey_budget(self, state: TrainingState) -> list[BudgetRecord | CommandRecord]:
        """Take over a budget that the mailbox asks for; the records that tell of it, none where none is asked."""
        command = read_command(self._paths.control, number=self._heard + 1)
        if command is None or command.verb is not Verb.BUDGET:
            return []
        standing = Standing(t=time.time(), step=state.step, sequences=state.sequences, charged_s=self._clock.now_s())
        records = obey_budget(command, self.granted, standing=standing, reserve_s=_reserve_s(state))
        for record in records:
            if isinstance(record, BudgetRecord):
                self._plan = self._plan.changed(spent=record.spent, amount=record.after)
                self.recipe = self.recipe.with_budget(record.after)
        self._heard = command.number
        return records

    def left_s(self, state: TrainingState) -> float | None:
        """Charged seconds until a timed run stops training; None where work is budgeted."""
        deadline_s = self._deadline_s(state)
        return None if deadline_s is None else deadline_s - self.now_s()

    def _deadline_s(self, state: TrainingState) -> float | None:
        """Charged time at which a timed run stops training; None for a budget of steps or sequences."""
        total_s = self.granted.total_s
        return None if total_s is None else training_end(total_s, reserve=_reserve_s(state))

    def _schedule_progress(self, state: TrainingState, *, charged_s: float, steps: float, sequences: float) -> float:
        granted = self.granted
        spent = granted.spent(charged_s=charged_s, steps=steps, sequences=sequences)
        return self._plan.schedule_progress(spent, reserve=granted.in_unit(_reserve_s(state)))

    def _step_sequences(self, state: TrainingState, *, charged_s: float) -> int:
        """What the coming step takes, as far as can be told where it begins."""
        progress = self._schedule_progress(state, charged_s=charged_s, steps=state.step, sequences=state.sequences)
        return self.recipe.batch.sequences_at(progress)

    def _ending(self, state: TrainingState, *, charged_s: float, step_s: float) -> Ending:
        deadline_s = self._deadline_s(state)
        if deadline_s is not None:
            # A step that would end behind the deadline is not begun.
            is_spent = charged_s + step_s > deadline_s
        else:
            granted = self.granted
            is_spent = granted.progress(charged_s=charged_s, steps=state.step, sequences=state.sequences) >= 1.0
        if is_spent:
            self.reason = "the budget is spent"
            return Ending.BUDGET
        if self._stop_reason is not None:
            self.reason = self._stop_reason
            return Ending.STOPPED
        for rule in self.recipe.stop.parsed():
            if rule.holds(charged_s=charged_s, validation_loss=state.validation_loss):
                loss = f"validation loss {state.validation_loss:.3f} after {format_duration(charged_s)}"
                self.reason = f"the recipe's rule {rule.text!r}: {loss}"
                return Ending.STOPPED
        return Ending.NONE

    def _read_mailbox(self) -> Verb | None:
        command = read_command(self._paths.control, number=self._heard + 1)
        # A budget that came in just now waits for the next `obey_budget`.
        self.pending = None if command is not None and command.verb is Verb.BUDGET else command
        return self.pending.verb if self.pending is not None else None


def _reserve_s(state: TrainingState) -> float:
    """Charged time that a timed budget keeps for its last validation, save and export."""
    # An export writes the weights once, a checkpoint three times as much.
    export_s = save_s = state.save_s or 0.0
    return _RESERVE_MARGIN * ((state.validation_s or 0.0) + save_s + export_s)


def share_order(ranks: Ranks, order: Order | None) -> Order:
    """Rank 0 passes its order, the others None; all get it."""
    values = [0.0] * 7
    if order is not None:
        flags = (order.validate, order.checkpoint, order.report)
        values = [order.progress, order.charged_s, *map(float, flags), float(order.ending), float(order.hold)]
    progress, charged_s, validate, checkpoint, report, ending, hold = ranks.share(values)
    return Order(
        progress=progress,
        charged_s=charged_s,
        validate=bool(validate),
        checkpoint=bool(checkpoint),
        report=bool(report),
        ending=Ending(int(ending)),
        hold=bool(hold),
    )
