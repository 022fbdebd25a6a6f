"""Orders that no ranks will hear: answered in the journal by the daemon, where nobody has the job, or by its runner.

A pause or a save that was not obeyed is void by then. A budget is not: it is a grant, and it is taken over here as rank
0 would have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bertd.records import (
    BudgetRecord,
    Command,
    CommandKind,
    CommandRecord,
    DevicesRecord,
    JournalRecord,
    StartRecord,
    StepRecord,
)
from bertd.run.budget import Budget, DeviceSeconds, RunPosition, answer_budget_command
from bertd.run.journal import JournalReader, JournalWriter
from bertd.run.ledger import read_ledger
from bertd.run.mailbox import read_command
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe

_CHUNK_BYTES = 1 << 20


@dataclass
class _JournalState:
    """What the journal tells that an answer needs."""

    acknowledged: int = 0
    step: int = 0
    sequences: int = 0
    budget: BudgetRecord | None = None
    past_device_seconds: DeviceSeconds = DeviceSeconds()

    def fold(self, record: JournalRecord) -> None:
        match record:
            case CommandRecord():
                self.acknowledged = max(self.acknowledged, record.number)
            case StartRecord() | StepRecord():
                self.step, self.sequences = record.step, record.sequences
            case BudgetRecord():
                self.budget = record
            case DevicesRecord():
                self.past_device_seconds = self.past_device_seconds.after_change(record)


def answer_stale_commands(paths: RunPaths, *, still_valid: frozenset[CommandKind], detail: str, now: float) -> None:
    """Answer what lies in the mailbox, in order; the caller holds the job's folder, and no rank lives.

    Args:
        paths: of the job; only a run has a budget.
        kept: orders that are not void; the first of them, and what lies behind it, is left as it is.
        detail: why the others are void, for people.
        now: seconds since the epoch.

    Raises:
        RunFolderError: the journal or an order cannot be read.
        RecipeError: the recipe of a run whose budget is to be changed is gone.
        StorageError: the disk refused.
    """
    if read_command(paths.control, number=1) is None:
        return
    state = _read_journal_state(paths)
    answers: list[BudgetRecord | CommandRecord] = []
    while command := read_command(paths.control, number=state.acknowledged + 1):
        if command.verb in still_valid:
            break
        for record in _answer(command, state, paths=paths, detail=detail, now=now):
            state.fold(record)
            answers.append(record)
    if not answers:
        return
    journal = JournalWriter(paths.journal)
    try:
        for record in answers:
            journal.append(record)
    finally:
        journal.close()


def _read_journal_state(paths: RunPaths) -> _JournalState:
    reader, state = JournalReader(paths.journal), _JournalState()
    while records := reader.read(limit_bytes=_CHUNK_BYTES):
        for record in records:
            state.fold(record)
    return state


def _answer(
    command: Command, state: _JournalState, *, paths: RunPaths, detail: str, now: float
) -> list[BudgetRecord | CommandRecord]:
    if command.verb is CommandKind.BUDGET:
        charged_s = read_ledger(paths.ledger).ticked_s
        position = RunPosition(t=now, step=state.step, sequences=state.sequences, charged_s=charged_s)
        return answer_budget_command(command, _current_budget(state, paths), position=position)
    return [
        CommandRecord(
            t=now, step=state.step, number=command.number, verb=command.verb, outcome="refused", detail=detail
        )
    ]


def _current_budget(state: _JournalState, paths: RunPaths) -> Budget:
    granted = replace(read_recipe(paths.recipe).granted, past_device_seconds=state.past_device_seconds)
    return granted if state.budget is None else replace(granted, amount=state.budget.after)
