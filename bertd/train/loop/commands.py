"""Pending mailbox commands on rank 0, from reading to answering.

A command is read again until it is answered. The answer to a command for a checkpoint is deferred until the checkpoint
is on disk. Commands after it are executed meanwhile and answered after it, so that the journal has the answers in the
order of the commands.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from bertd.records import AlertRecord, Command, CommandKind, CommandRecord
from bertd.run.mailbox import read_command
from bertd.train.loop.buffered_journal import RecordSink
from bertd.train.state import TrainState


class PendingCommands:
    """Reads the mailbox and writes the answers to the journal."""

    def __init__(self, control: Path | None, *, journal: RecordSink, acknowledged: int = 0) -> None:
        """Continue after the last command that the journal answers.

        Args:
            control: the mailbox's folder; None on ranks other than the first, which read no commands.
            acknowledged: number of the last command that the journal answers.
        """
        self._control = control
        self._journal = journal
        self._last_handled = acknowledged
        self._pending: Command | None = None
        self._deferred: Command | None = None
        self._answers_after_deferred: list[AlertRecord | CommandRecord] = []

    def read(self, state: TrainState) -> Command | None:
        """The oldest command that is neither answered nor deferred; None where there is none.

        Alerts of the daemon are written on the way.
        """
        self._pending = None
        while self._control is not None:
            self._pending = read_command(self._control, number=self._last_handled + 1)
            if not self.requests(CommandKind.ALERT):
                break
            assert self._pending is not None
            self.append_answer(AlertRecord.asked(self._pending, t=time.time(), step=state.step))
        return self._pending

    def requests(self, *kinds: CommandKind) -> bool:
        """Whether the command that was read last is one of these kinds and has no answer yet."""
        return self._pending is not None and self._pending.verb in kinds

    def answer(self, state: TrainState, *, is_done: bool, detail: str) -> None:
        """Acknowledge the command that was read last, if it has no answer yet."""
        if self._pending is not None:
            self.append_answer(_build_answer(self._pending, state, is_done=is_done, detail=detail))

    def answer_rest(self, state: TrainState) -> None:
        """Answer what is in the mailbox of a run that ended: nothing reads it after this.

        A run that ended trains no longer, as a pause or a stop asked; a budget cannot be granted to it.
        """
        where = f"at step {state.step}"
        while self._pending is not None or self.read(state) is not None:
            if self.requests(CommandKind.BUDGET):
                self.answer(state, is_done=False, detail=f"too late: training was over {where}; submit another run")
            elif self._pending is not None and self._pending.verb is CommandKind.UNREADABLE:
                self.answer(state, is_done=False, detail=self._pending.problem)
            else:
                self.answer(state, is_done=True, detail=f"the run ended {where}")

    def append_answer(self, record: AlertRecord | CommandRecord) -> None:
        """Acknowledge the command that was read last with this record."""
        self._finish_pending()
        if self._deferred is None:
            self._journal.append(record)
        else:
            self._answers_after_deferred.append(record)

    def defer_until_saved(self) -> None:
        """Defer the answer to the command that was read last, whose save has begun; the next one can be read."""
        self._deferred = self._finish_pending()

    def answer_deferred(self, state: TrainState, *, is_done: bool, detail: str) -> None:
        """Acknowledge the deferred command, whose save has ended, then those executed meanwhile."""
        command, self._deferred = self._deferred, None
        assert command is not None
        later, self._answers_after_deferred = self._answers_after_deferred, []
        for record in (_build_answer(command, state, is_done=is_done, detail=detail), *later):
            self._journal.append(record)

    def _finish_pending(self) -> Command | None:
        command, self._pending = self._pending, None
        if command is not None:
            self._last_handled = command.number
        return command


def _build_answer(command: Command, state: TrainState, *, is_done: bool, detail: str) -> CommandRecord:
    outcome: Literal["done", "refused"] = "done" if is_done else "refused"
    return CommandRecord.answer(command, t=time.time(), step=state.step, outcome=outcome, detail=detail)
