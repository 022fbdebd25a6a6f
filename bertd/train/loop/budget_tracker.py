"""The budget of a run while it trains: charged time, changes of the budget, and the schedule's progress.

A timed run keeps a reserve, measured on its own validation and save, and trains until the budget less the reserve is
spent. The schedule's progress reaches 1 there, and the last validation, checkpoint and export are inside the budget.
"""

from __future__ import annotations

from typing import Protocol

from bertd.records import BudgetRecord
from bertd.run.amounts.durations import parse_duration
from bertd.run.budget import Budget, BudgetPlan, TimeLeft, end_reserve_s, find_time_left
from bertd.run.recipe.schema import Recipe
from bertd.train.state import TrainState


class Clock(Protocol):
    """The clock that measures charged time; it charges nothing while suspended."""

    @property
    def is_suspended(self) -> bool: ...

    def now_s(self) -> float:
        """Seconds charged to the run so far."""
        ...

    def suspend(self) -> None: ...

    def resume(self) -> float:
        """Charge again; returns the CLOCK_MONOTONIC time from which it charges."""
        ...


class NoClock:
    """The clock of ranks other than the first, which decide nothing by time."""

    is_suspended = False

    def now_s(self) -> float:
        return 0.0

    def suspend(self) -> None:
        pass

    def resume(self) -> float:
        return 0.0


class BudgetTracker:
    """How much of the current budget is spent, and when the next events are due."""

    def __init__(self, recipe: Recipe, *, clock: Clock, plan: BudgetPlan | None = None) -> None:
        """Continue where the journal ends.

        Args:
            plan: the budget with the changes in the journal; None for the recipe's budget.
        """
        self.clock = clock
        self._plan = plan or BudgetPlan(recipe.granted)
        self.recipe = recipe.with_budget(self.granted.amount)
        """The recipe with the current budget."""

    @property
    def plan(self) -> BudgetPlan:
        """The budget with its changes."""
        return self._plan

    @property
    def granted(self) -> Budget:
        """The current budget."""
        return self._plan.granted

    def now_s(self) -> float:
        """Charged seconds."""
        return self.clock.now_s()

    def apply_change(self, record: BudgetRecord) -> None:
        """Change the amount from here on; the schedule continues from its current progress."""
        self._plan = self._plan.with_change(spent=record.spent, amount=record.after)
        self.recipe = self.recipe.with_budget(record.after)

    def progress(self, state: TrainState, *, charged_s: float | None = None) -> float:
        """Share of the budget that is spent, 0..1, now or at `charged_s`."""
        charged_s = self.now_s() if charged_s is None else charged_s
        return self.granted.progress(charged_s=charged_s, steps=state.step, sequences=state.sequences)

    def is_spent(self, state: TrainState, *, charged_s: float, step_s: float) -> bool:
        """Whether training ends here; a step of `step_s` that would end after a timed run's deadline is not started."""
        time_left = self._find_time_left(state, charged_s=charged_s)
        if time_left is not None:
            return step_s > time_left.training_s
        return self.progress(state, charged_s=charged_s) >= 1.0

    def remaining_s(self, state: TrainState) -> float | None:
        """Charged seconds until a timed run stops training; None for a budget of steps or sequences."""
        time_left = self._find_time_left(state, charged_s=self.now_s())
        return None if time_left is None else time_left.training_s

    def reserve_s(self, state: TrainState) -> float | None:
        """Charged seconds that a timed run keeps for its end; None for a budget of steps or sequences."""
        return _reserve_s(state) if self.granted.is_timed else None

    def last_validation_s(self, state: TrainState) -> float | None:
        """Charged seconds that a timed run has now for its last validation, less those for its save and export.

        None for a budget of steps or sequences. It counts on rank 0, which has the clock.
        """
        total_s = self.granted.total_s
        if total_s is None:
            return None
        return total_s - end_reserve_s(validation_s=None, save_s=state.save_s) - self.now_s()

    def has_time_to_validate(self, state: TrainState, *, charged_s: float) -> bool:
        """Whether a validation ends before a timed run stops training; the last one follows then anyway."""
        time_left = self._find_time_left(state, charged_s=charged_s)
        return time_left is None or time_left.training_s > (state.validation_s or 0.0)

    def schedule_progress(self, state: TrainState, *, charged_s: float, step_s: float) -> float:
        """Progress of the schedule at the middle of the coming step, 0..1; 1 where training ends.

        The middle, because the first step would otherwise be taken at rate 0.
        """
        begin = self._schedule_progress(state, charged_s=charged_s, steps=state.step, sequences=state.sequences)
        step_sequences = self.recipe.batch.sequences_at(begin)
        return self._schedule_progress(
            state,
            charged_s=charged_s + step_s / 2,
            steps=state.step + 0.5,
            sequences=state.sequences + step_sequences / 2,
        )

    def next_validation_s(self, charged_s: float) -> float:
        """When the next validation after one at `charged_s` is due: more often at the start of a timed budget."""
        section = self.recipe.validation
        total_s = self.granted.total_s
        is_early = total_s is not None and charged_s < section.early_until * total_s
        return charged_s + parse_duration(section.early_every if is_early else section.every)

    def next_checkpoint_s(self, charged_s: float, *, save_s: float) -> float:
        """When the next checkpoint after one at `charged_s` is due.

        A save starts early by its own duration, so that it is complete when the interval is over. A save that takes
        more than half the interval does not: the previous one would mostly be still in progress.
        """
        interval_s = self.recipe.checkpoint.interval_s(self.granted.total_s)
        return charged_s + (interval_s - save_s if save_s <= interval_s / 2 else interval_s)

    def _find_time_left(self, state: TrainState, *, charged_s: float) -> TimeLeft | None:
        return find_time_left(self.granted, charged_s=charged_s, reserve_s=_reserve_s(state))

    def _schedule_progress(self, state: TrainState, *, charged_s: float, steps: float, sequences: float) -> float:
        granted = self.granted
        spent = granted.spent(charged_s=charged_s, steps=steps, sequences=sequences)
        return self._plan.schedule_progress(spent, reserve=granted.convert_seconds(_reserve_s(state)))


def _reserve_s(state: TrainState) -> float:
    return end_reserve_s(validation_s=state.validation_s, save_s=state.save_s)
