"""Answer the commands in a mailbox that no rank is left to read.

The runner calls it between attempts, the daemon if no runner has the job. A pause or a save that was not applied is
refused: its time is over. A budget change still counts, and is applied here as rank 0 would have done.
"""

from __future__ import annotations

from collections.abc import Sequence

from bertd.records import AlertRecord, BudgetRecord, Command, CommandKind, CommandRecord
from bertd.run.budget import RunPosition, answer_budget_command, restart_reserve_s
from bertd.run.journal import append_records
from bertd.run.journal_digest import read_progress
from bertd.run.ledger import read_ledger
from bertd.run.mailbox import read_command
from bertd.run.paths import RunPaths
from bertd.run.progress import RunProgress
from bertd.run.recipe.load import read_recipe


def answer_stale_commands(paths: RunPaths, *, still_valid: frozenset[CommandKind], detail: str, now: float) -> None:
    """Answer the commands in the mailbox, in order; the caller holds the lock on the folder, and no rank is alive.

    Args:
        paths: of the job; only a run has a budget.
        still_valid: commands to keep; the first of them, and all commands after it, stay unanswered.
        detail: why the others are refused, for the journal.
        now: seconds since the epoch.

    Raises:
        RunFolderError: the journal or a command cannot be read.
        RecipeError: the recipe of a run whose budget is to be changed is gone.
        StorageError: the disk refused.
    """
    if read_command(paths.control, number=1) is None:
        return
    progress = read_progress(paths.journal)
    answers: list[AlertRecord | BudgetRecord | CommandRecord] = []
    while command := read_command(paths.control, number=progress.acknowledged + 1):
        if command.verb in still_valid:
            break
        for record in _answer(command, progress, paths=paths, detail=detail, now=now):
            progress = progress.with_record(record)
            answers.append(record)
    if answers:
        append_records(paths.journal, answers)


def _answer(
    command: Command, progress: RunProgress, *, paths: RunPaths, detail: str, now: float
) -> Sequence[AlertRecord | BudgetRecord | CommandRecord]:
    if command.verb is CommandKind.BUDGET:
        charged_s = read_ledger(paths.ledger).ticked_s
        position = RunPosition(t=now, step=progress.step, sequences=progress.sequences, charged_s=charged_s)
        plan = progress.budget_plan(read_recipe(paths.recipe).granted)
        reserve_s = restart_reserve_s(progress.reserve_s)
        return answer_budget_command(command, plan.granted, position=position, reserve_s=reserve_s)
    if command.verb is CommandKind.ALERT:
        return [AlertRecord.asked(command, t=now, step=progress.step)]
    why = command.problem or detail
    return [CommandRecord.answer(command, t=now, step=progress.step, outcome="refused", detail=why)]
