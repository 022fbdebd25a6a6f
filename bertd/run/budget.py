"""The budget of a run, its changes, and the schedule's position in it: hours, GPU-hours, steps or sequences.

A budget may be changed during the run. The schedule then continues from its position and reaches 1 at the new end.
With changes at s1 < s2 < ... (spent at that moment) to amounts whose training ends at E1, E2, ..., and s0 = 0,
p0 = 0, E0 the recipe's,

    p(s) = pi + (1 - pi) (s - si) / (Ei - si)   for si <= s < s(i+1),   p(i+1) = p(s(i+1))

so the learning rate is continuous: only its slope changes. It depends only on what is spent and on the changes in the
journal, so steps that are repeated after a restart get the same rates. tests/run/test_budget.py has numbers.

A run may also continue on another number of devices. A budget of GPU-hours counts each period by the devices in use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bertd.errors import BertdError, BudgetError, RecipeError
from bertd.records import (
    BudgetRecord,
    BudgetRequest,
    BudgetUnit,
    Command,
    CommandRecord,
    DevicesRecord,
)
from bertd.run.amounts.durations import MAX_DURATION_S
from bertd.run.amounts.quantities import format_budget_amount, format_budget_change

MAX_RESERVE_SHARE = 0.5
"""Largest share of the budget kept for the last validation, save and export: even a budget of one minute on a slow disk
trains for half of it."""
_RESERVE_MARGIN = 1.3
"""A loaded disk is slower at the end than at the start."""
MAX_HOURS = MAX_DURATION_S / 3600
"""A century of one device: a larger number, such as a typing error, would give a date that datetime cannot hold."""
MAX_STEPS_OR_SEQUENCES = 10**15
MIN_BUDGET_S = 10.0
"""A shorter timed budget is spent before the first step: the start of a run, which is charged, takes about 6 s on an
idle machine and longer on a busy one."""


@dataclass(frozen=True)
class DeviceSeconds:
    """What was used before the run got its current devices."""

    charged_s: float = 0.0
    device_s: float = 0.0
    """Charged seconds times the devices in use."""

    def total_at(self, charged_s: float, *, num_devices: int) -> float:
        """Device-seconds when `charged_s` are charged, with `num_devices` in use since."""
        return self.device_s + (charged_s - self.charged_s) * num_devices

    def after_change(self, change: DevicesRecord) -> DeviceSeconds:
        """The totals up to the next change of the devices."""
        return DeviceSeconds(change.charged_s, self.total_at(change.charged_s, num_devices=change.before))


@dataclass(frozen=True)
class Budget:
    """An amount in one unit, and the devices it is charged for."""

    unit: BudgetUnit
    amount: float
    """In `unit`."""
    num_devices: int
    """Devices charged at the same time; a GPU-hour budget is spent this many times as fast."""
    past_device_seconds: DeviceSeconds = DeviceSeconds()

    def spent(self, *, charged_s: float, steps: float, sequences: float) -> float:
        """The amount used so far, in the budget's unit."""
        match self.unit:
            case BudgetUnit.HOURS:
                return charged_s / 3600
            case BudgetUnit.GPU_HOURS:
                return self.past_device_seconds.total_at(charged_s, num_devices=self.num_devices) / 3600
            case BudgetUnit.STEPS:
                return float(steps)
            case BudgetUnit.SEQUENCES:
                return float(sequences)

    @property
    def is_timed(self) -> bool:
        """Whether time, not work, ends the run."""
        return self.unit in (BudgetUnit.HOURS, BudgetUnit.GPU_HOURS)

    @property
    def total_s(self) -> float | None:
        """Charged seconds that the whole budget lasts; None for a budget of steps or sequences."""
        match self.unit:
            case BudgetUnit.HOURS:
                return self.amount * 3600
            case BudgetUnit.GPU_HOURS:
                return (
                    self.past_device_seconds.charged_s
                    + (self.amount * 3600 - self.past_device_seconds.device_s) / self.num_devices
                )
            case _:
                return None

    def progress(self, *, charged_s: float, steps: float, sequences: float) -> float:
        """Share of the budget that is spent, 0..1."""
        return min(1.0, self.spent(charged_s=charged_s, steps=steps, sequences=sequences) / self.amount)

    def convert_seconds(self, seconds: float) -> float:
        """Charged seconds in the budget's unit; 0 for a budget of steps or sequences."""
        if not self.is_timed:
            return 0.0
        return seconds * (self.num_devices if self.unit is BudgetUnit.GPU_HOURS else 1) / 3600


@dataclass(frozen=True)
class BudgetChange:
    """A change of the budget to another amount."""

    spent: float
    """At that moment, in the budget's unit."""
    amount: float


def add_budget_change(changes: tuple[BudgetChange, ...], change: BudgetChange) -> tuple[BudgetChange, ...]:
    """Append a change. Drop those at or after its `spent`: the run was restarted from before them."""
    return (*(earlier for earlier in changes if earlier.spent < change.spent), change)


@dataclass(frozen=True)
class BudgetPlan:
    """A budget with its changes."""

    initial: Budget
    """The recipe's budget, with the current devices."""
    changes: tuple[BudgetChange, ...] = ()
    """In rising order of `spent`."""

    @property
    def granted(self) -> Budget:
        """The current budget."""
        return replace(self.initial, amount=self.changes[-1].amount) if self.changes else self.initial

    def with_change(self, *, spent: float, amount: float) -> BudgetPlan:
        """The plan with one more change; see `add_budget_change`."""
        return replace(self, changes=add_budget_change(self.changes, BudgetChange(spent=spent, amount=amount)))

    def schedule_progress(self, spent: float, *, reserve: float = 0.0) -> float:
        """The schedule's position, 0..1; 1 at the end of training.

        Args:
            spent: in the budget's unit.
            reserve: the part kept for the end of the run, in the same unit.
        """
        progress = since = 0.0
        amount = self.initial.amount
        for change in self.changes:
            if change.spent > spent:
                break
            progress = _advance_progress(
                progress, since=since, to=change.spent, end=training_end(amount, reserve=reserve)
            )
            since, amount = change.spent, change.amount
        return _advance_progress(progress, since=since, to=spent, end=training_end(amount, reserve=reserve))


def training_end(amount: float, *, reserve: float) -> float:
    """The amount that may be spent before the reserve begins."""
    return amount - min(reserve, MAX_RESERVE_SHARE * amount)


def _advance_progress(progress: float, *, since: float, to: float, end: float) -> float:
    return 1.0 if to >= end else progress + (1.0 - progress) * (to - since) / (end - since)


def require_whole_start(budget: Budget) -> None:
    """Refuse a timed budget that no run can train within.

    Raises:
        RecipeError: it is shorter than the start of a run.
    """
    if budget.total_s is not None and budget.total_s < MIN_BUDGET_S:
        given = format_budget_amount(budget.unit, budget.amount)
        raise RecipeError(
            f"budget: {given} is {budget.total_s:.4g} s, and the start of a run, which is charged, takes longer; give "
            f"{MIN_BUDGET_S:.0f}s or more"
        )


def check_budget_request(request: BudgetRequest, granted: Budget, *, spent: float, reserve: float = 0.0) -> None:
    """Check that the budget can be set to the requested amount.

    Args:
        spent: so far, in the budget's unit.
        reserve: needed for the end of the run, in the same unit, as far as it is known.

    Raises:
        RecipeError: the request is in another unit, more than a recipe may have, shorter than the start of a run, or
            not a whole number of steps or sequences.
        BudgetError: more than that is spent already; `bertd stop` ends a run.
    """
    asked = format_budget_amount(request.unit, request.amount)
    if request.unit is not granted.unit:
        raise RecipeError(f"budget: {asked}: this run counts {granted.unit}; give that")
    max_amount = MAX_HOURS if granted.is_timed else MAX_STEPS_OR_SEQUENCES
    if request.amount > max_amount:
        raise RecipeError(
            f"budget: {asked}: more than any run lasts; give at most {format_budget_amount(request.unit, max_amount)}"
        )
    if not granted.is_timed and request.amount != int(request.amount):
        raise RecipeError(f"budget: {request.amount:,} {request.unit}: give a whole number")
    if spent >= training_end(request.amount, reserve=reserve):
        end = min(reserve, MAX_RESERVE_SHARE * request.amount)
        kept = f", and its end takes {format_budget_amount(granted.unit, end)}" if reserve else ""
        raise BudgetError(
            f"budget: {asked} is too little: {format_budget_amount(granted.unit, spent)} of "
            f"{format_budget_amount(granted.unit, granted.amount)} is spent{kept}; give more, or end the run with "
            "`bertd stop`"
        )
    require_whole_start(replace(granted, amount=request.amount))


def end_reserve_s(*, validation_s: float | None, save_s: float | None) -> float:
    """Charged seconds to keep of a timed budget for its last validation, save and export.

    Args:
        validation_s: the slowest validation so far; None before the first.
        save_s: the slowest checkpoint so far; None before the first.
    """
    # An export writes the weights once, a checkpoint three times as much.
    export_s = save_s = save_s or 0.0
    return _RESERVE_MARGIN * ((validation_s or 0.0) + save_s + export_s)


def restart_reserve_s(reserve_s: float | None) -> float:
    """Charged seconds that a run without ranks needs at least: to start them again, and for its end.

    Args:
        reserve_s: that the ranks reported last; None if they have not.
    """
    return MIN_BUDGET_S + (reserve_s or 0.0)


@dataclass(frozen=True)
class TimeLeft:
    """The time left of a timed budget, in charged seconds."""

    training_s: float
    """Until training stops; below 0 once it should have."""
    reserve_s: float
    """Kept after that for the end of the run."""


def find_time_left(budget: Budget, *, charged_s: float, reserve_s: float) -> TimeLeft | None:
    """The time left by which the ranks stop and which is shown; None for a budget of steps or sequences.

    Args:
        charged_s: so far.
        reserve_s: see `end_reserve_s`; at most `MAX_RESERVE_SHARE` of the budget is kept.
    """
    if budget.total_s is None:
        return None
    end_s = training_end(budget.total_s, reserve=reserve_s)
    return TimeLeft(
        training_s=end_s - charged_s, reserve_s=max(0.0, min(budget.total_s - end_s, budget.total_s - charged_s))
    )


@dataclass(frozen=True)
class RunPosition:
    """How far a run is at one moment."""

    t: float
    """Seconds since the epoch."""
    step: int
    sequences: int
    charged_s: float


def make_budget_record(
    request: BudgetRequest, granted: Budget, *, position: RunPosition, reserve_s: float = 0.0
) -> BudgetRecord | None:
    """The journal record for a budget request; None if the budget has that amount already.

    Raises:
        RecipeError: the request is in another unit, or not a whole number of steps or sequences.
        BudgetError: more than that is spent already.
    """
    if request.unit is granted.unit and request.amount == granted.amount:
        return None
    spent = granted.spent(charged_s=position.charged_s, steps=position.step, sequences=position.sequences)
    check_budget_request(request, granted, spent=spent, reserve=granted.convert_seconds(reserve_s))
    return BudgetRecord(
        t=position.t,
        step=position.step,
        sequences=position.sequences,
        charged_s=position.charged_s,
        unit=granted.unit,
        before=granted.amount,
        after=request.amount,
        spent=spent,
    )


def answer_budget_command(
    command: Command, granted: Budget, *, position: RunPosition, reserve_s: float = 0.0
) -> list[BudgetRecord | CommandRecord]:
    """The records that apply or refuse a budget command, its acknowledgement last."""
    assert command.budget is not None
    records: list[BudgetRecord | CommandRecord] = []
    outcome: Literal["done", "refused"] = "done"
    detail = f"the budget is {format_budget_amount(granted.unit, granted.amount)} already"
    try:
        change = make_budget_record(command.budget, granted, position=position, reserve_s=reserve_s)
        if change is not None:
            records.append(change)
            detail = format_budget_change(change.unit, change.before, change.after)
    except BertdError as error:
        outcome, detail = "refused", str(error)
    answer = CommandRecord.answer(command, t=position.t, step=position.step, outcome=outcome, detail=detail)
    return [*records, answer]
