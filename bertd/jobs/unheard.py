"""Orders that no ranks will hear: answered in the journal by the daemon, where nobody has the job, or by its runner.

A pause or a save that was not obeyed is void by then. A budget is not: it is a grant, and it is taken over here as rank
0 would have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bertd.records import (
    BudgetRecord,
    Command,
    CommandRecord,
    DevicesRecord,
    JournalRecord,
    StartRecord,
    StepRecord,
    Verb,
)
from bertd.run.budget import Budget, DeviceTime, Standing, obey_budget
from bertd.run.journal import JournalReader, JournalWriter
from bertd.run.ledger import read_ledger
from bertd.run.mailbox import read_command
from bertd.run.paths import RunPaths
from bertd.run.recipe_file import read_recipe

_CHUNK_BYTES = 1 << 20


@dataclass
class _Known:
    """What the journal tells that an answer needs."""

    acknowledged: int = 0
    step: int = 0
    sequences: int = 0
    budget: BudgetRecord | None = None
    earlier: DeviceTime = DeviceTime()

    def fold(self, record: JournalRecord) -> None:
        match record:
            case CommandRecord():
                self.acknowledged = max(self.acknowledged, record.number)
            case StartRecord() | StepRecord():
                self.step, self.sequences = record.step, record.sequences
            case BudgetRecord():
                self.budget = record
            case DevicesRecord():
                self.earlier = self.earlier.until(record)


def settle_mailbox(paths: RunPaths, *, kept: frozenset[Verb], detail: str, now: float) -> None:
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
    known = _read(paths)
    answers: list[BudgetRecord | CommandRecord] = []
    while command := read_command(paths.control, number=known.acknowledged + 1):
        if command.verb in kept:
            break
        for record in _answer(command, known, paths=paths, detail=detail, now=now):
            known.fold(record)
            answers.append(record)
    if not answers:
        return
    journal = JournalWriter(paths.journal)
    try:
        for record in answers:
            journal.append(record)
    finally:
        journal.close()


def _read(paths: RunPaths) -> _Known:
    reader, known = JournalReader(paths.journal), _Known()
    while records := reader.read(limit_bytes=_CHUNK_BYTES):
        for record in records:
            known.fold(record)
    return known


def _answer(
    command: Command, known: _Known, *, paths: RunPaths, detail: str, now: float
) -> list[BudgetRecord | CommandRecord]:
    if command.verb is Verb.BUDGET:
        charged_s = read_ledger(paths.ledger).ticked_s
        standing = Standing(t=now, step=known.step, sequences=known.sequences, charged_s=charged_s)
        return obey_budget(command, _granted(known, paths), standing=standing)
    return [
        CommandRecord(
            t=now, step=known.step, number=command.number, verb=command.verb, outcome="refused", detail=detail
        )
    ]


def _granted(known: _Known, paths: RunPaths) -> Budget:
    granted = replace(read_recipe(paths.recipe).granted, earlier=known.earlier)
    return granted if known.budget is None else replace(granted, amount=known.budget.after)
