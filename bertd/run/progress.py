"""Progress of a run, folded from its journal record by record: position, charge, budget, devices. Pure.

Steps are reported about once a second, so the newest step record may be behind: a checkpoint, a validation and an end
record also show that their step was done. Every reader folds the journal here, so ranks, runner, daemon and dashboard
agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bertd.records import (
    AlertRecord,
    BudgetRecord,
    CheckpointRecord,
    CommandRecord,
    DevicesRecord,
    EndRecord,
    GridRecord,
    JournalRecord,
    LendRecord,
    Record,
    RollbackRecord,
    ScoreRecord,
    StartRecord,
    StartupRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.budget import Budget, BudgetChange, BudgetPlan, DeviceSeconds, add_budget_change


class RunProgress(Record):
    """The state of a run after some of its journal's records."""

    step: int = 0
    """The newest step; after a restart or a rollback it may be below `best_step`."""
    best_step: int = 0
    sequences: int = 0
    """At `step`."""
    charged_s: float | None = None
    """The highest charge in any record; None if no record has one."""
    acknowledged: int = 0
    """Number of the newest acknowledged command."""
    budget_changes: tuple[BudgetChange, ...] = ()
    num_devices: int | None = None
    """The newest; None if only the recipe has it."""
    past_device_seconds: DeviceSeconds = DeviceSeconds()
    reserve_s: float | None = None
    """The newest that the ranks reported."""
    startup_s: float | None = None
    """From the launch of rank 0 to its first step, in the newest attempt that came so far."""
    saved_step: int | None = None
    """Of the newest checkpoint that was reported."""
    saved_sequences: int | None = None
    """At `saved_step`; None in a checkpoint record of a version without the field."""

    def with_record(self, record: JournalRecord) -> RunProgress:
        """The progress after the next record of the journal."""
        change: dict[str, object] = {}
        if not isinstance(record, CommandRecord | AlertRecord | ScoreRecord | GridRecord | LendRecord):
            change["charged_s"] = max(self.charged_s or 0.0, record.charged_s)
        if isinstance(record, StepRecord | ValidationRecord) and record.reserve_s is not None:
            change["reserve_s"] = record.reserve_s
        match record:
            case StartRecord():
                # Trust the attempt, not the last DevicesRecord: a crash may have kept that change from being made.
                change |= _position(record) | {"num_devices": record.world_size}
            case RollbackRecord():
                change |= _position(record)
            case StepRecord() | EndRecord():
                change |= _position(record) | {"best_step": max(self.best_step, record.step)}
            case StartupRecord():
                change["startup_s"] = record.total_s
            case CheckpointRecord() | ValidationRecord():
                if isinstance(record, CheckpointRecord):
                    change |= {"saved_step": record.step, "saved_sequences": record.sequences}
                change["best_step"] = max(self.best_step, record.step)
                if record.step > self.step and record.sequences is not None:
                    change |= _position(record)
            case GridRecord():
                change |= {"step": record.step, "best_step": max(self.best_step, record.step)}
            case CommandRecord():
                change["acknowledged"] = max(self.acknowledged, record.number)
            case AlertRecord() if record.command is not None:
                change["acknowledged"] = max(self.acknowledged, record.command)
            case BudgetRecord():
                budget_change = BudgetChange(spent=record.spent, amount=record.after)
                change["budget_changes"] = add_budget_change(self.budget_changes, budget_change)
            case DevicesRecord():
                change["num_devices"] = record.after
                change["past_device_seconds"] = self.past_device_seconds.after_change(record)
        return self.model_copy(update=change) if change else self

    def with_steps(self, records: Sequence[StepRecord]) -> RunProgress:
        """The progress after consecutive records of steps, at least one: as `with_record` for each of them."""
        last = records[-1]
        change: dict[str, object] = _position(last) | {
            "charged_s": max(self.charged_s or 0.0, *(record.charged_s for record in records)),
            "best_step": max(self.best_step, *(record.step for record in records)),
        }
        reserves = (record.reserve_s for record in reversed(records) if record.reserve_s is not None)
        change["reserve_s"] = next(reserves, self.reserve_s)
        return self.model_copy(update=change)

    def budget_plan(self, recipe_budget: Budget) -> BudgetPlan:
        """The recipe's budget with the changes and the devices in the journal."""
        num_devices = recipe_budget.num_devices if self.num_devices is None else self.num_devices
        initial = replace(recipe_budget, num_devices=num_devices, past_device_seconds=self.past_device_seconds)
        return BudgetPlan(initial, self.budget_changes)


def _position(
    record: StartRecord | StepRecord | ValidationRecord | CheckpointRecord | RollbackRecord | EndRecord,
) -> dict[str, object]:
    return {"step": record.step, "sequences": record.sequences}


def fold_records(records: Iterable[JournalRecord]) -> RunProgress:
    """The progress after these records, oldest first."""
    progress = RunProgress()
    for record in records:
        progress = progress.with_record(record)
    return progress
