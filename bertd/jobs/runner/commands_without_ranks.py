"""Answer the commands in a run's mailbox while it has no ranks: before an attempt, or between two."""

from __future__ import annotations

import time

from bertd.jobs.runner.attempt_follower import AttemptFollower
from bertd.jobs.runner.stale_commands import answer_stale_commands
from bertd.records import Command, CommandKind, CommandRecord, JobState, Outcome, StateRecord
from bertd.run.journal import append_records
from bertd.run.ledger import Ledger
from bertd.run.mailbox import commands_after, read_command
from bertd.run.paths import RunPaths

_END_COMMANDS = frozenset({CommandKind.PAUSE, CommandKind.SUSPEND, CommandKind.STOP})
"""Commands that are applied while there are no ranks, or that wait for the next ranks."""


class CommandsWithoutRanks:
    """The mailbox of a run whose journal has no other writer than its runner."""

    def __init__(self, paths: RunPaths, *, follower: AttemptFollower, ledger: Ledger) -> None:
        self._paths = paths
        self._follower = follower
        self._ledger = ledger

    def next(self) -> Command | None:
        """The first command without an answer."""
        return read_command(self._paths.control, number=self._follower.progress.acknowledged + 1)

    def is_end_requested(self) -> bool:
        """Whether there is a command that ends the run without ranks: a pause, or a stop with no checkpoint."""
        for command in commands_after(self._paths.control, number=self._follower.progress.acknowledged):
            if command.verb is CommandKind.PAUSE:
                return True
            if command.verb is CommandKind.STOP:
                # The ranks end at a stop, so later commands do not matter.
                return self._follower.newest_checkpoint() is None
        return False

    def apply(self) -> Outcome | None:
        """Answer the commands; return the outcome of a pause or stop.

        A stop with a checkpoint is left for the next ranks, which export.

        Raises:
            RunFolderError: the journal or a command cannot be read.
            StorageError: the disk refused.
        """
        if self.next() is None:
            return None
        checkpoint = self._follower.newest_checkpoint()
        detail = f"it has no ranks at the moment; its newest checkpoint is {checkpoint or 'none'}"
        answer_stale_commands(self._paths, still_valid=_END_COMMANDS, detail=detail, now=time.time())
        self._follower.follow()
        command = self.next()
        if command is None:
            return None
        if command.verb is CommandKind.STOP:
            if checkpoint is not None:
                return None
            self.acknowledge(command, detail="there is nothing to export")
            reason = f"stopped by {command.asked_by} before it had a checkpoint; nothing was exported"
            return Outcome(state=JobState.CANCELLED, reason=reason, exit_code=0)
        no_memory = "; without ranks there is no memory to keep, so the pause is cold"
        suffix = no_memory if command.verb is CommandKind.SUSPEND else ""
        outcome = self.record_pause(f"requested by {command.asked_by} while it had no ranks{suffix}")
        self.acknowledge(command, detail=outcome.reason)
        return outcome

    def acknowledge(self, command: Command, *, detail: str) -> None:
        """Write that a command was done."""
        step = self._follower.progress.step
        answer = CommandRecord.answer(command, t=time.time(), step=step, outcome="done", detail=detail)
        append_records(self._paths.journal, [answer])

    def record_pause(self, reason: str) -> Outcome:
        """Write that the run is paused; return that outcome."""
        pause = StateRecord(
            t=time.time(),
            step=self._follower.progress.step,
            charged_s=self._ledger.state.ticked_s,
            state=JobState.PAUSED,
            reason=reason,
        )
        append_records(self._paths.journal, [pause])
        return Outcome(state=JobState.PAUSED, reason=reason, exit_code=0)
