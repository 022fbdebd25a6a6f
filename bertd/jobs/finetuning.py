"""A finetuning under its runner: one attempt, ended early by a stop in its mailbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from subprocess import Popen

from bertd.jobs.compute import EndSignal, run_compute
from bertd.jobs.log_cap import cap_log
from bertd.jobs.verdict import judge_finetuning
from bertd.records import Command, CommandRecord, EndRecord, JobState, JournalRecord, Outcome, Verb
from bertd.run.journal import JournalWriter, read_journal
from bertd.run.mailbox import last_acknowledged, read_command
from bertd.run.paths import JobPaths

Finetune = Callable[[JobPaths], list[str]]
"""The command that finetunes."""

_LOOK_EVERY_S = 0.5


class Finetuning:
    """One life of a finetuning."""

    def __init__(self, paths: JobPaths, *, finetune: Finetune, end: EndSignal) -> None:
        self._paths = paths
        self._finetune = finetune
        self._end = end
        earlier = read_journal(paths.journal)
        self._num_earlier = len(earlier)
        self._next_command = last_acknowledged(earlier) + 1
        self._stop: Command | None = None

    def run(self) -> Outcome:
        """Until the child is over."""
        command = self._finetune(self._paths)
        exit_code = run_compute(command, end=self._end, tick_s=_LOOK_EVERY_S, on_tick=self._look)
        records = read_journal(self._paths.journal)[self._num_earlier :]
        outcome = judge_finetuning(exit_code, records, told_to_end=self._end.is_set, stop_asked=self._stop is not None)
        self._conclude(outcome, records=records)
        return outcome

    def _look(self, child: Popen[bytes]) -> None:
        cap_log()
        command = read_command(self._paths.control, number=self._next_command)
        if command is not None and command.verb is Verb.STOP and self._stop is None:
            self._stop = command
            child.kill()

    def _conclude(self, outcome: Outcome, *, records: list[JournalRecord]) -> None:
        """Write what the child did not live to write."""
        step = max((record.step for record in records if record.kind == "step"), default=0)
        closing: list[JournalRecord] = []
        if self._stop is not None:
            closing.append(
                CommandRecord(
                    t=time.time(),
                    step=step,
                    number=self._stop.number,
                    verb=self._stop.verb,
                    outcome="done",
                    detail="its process was ended",
                )
            )
        is_told = any(isinstance(record, EndRecord) for record in records)
        if outcome.state in (JobState.FAILED, JobState.CANCELLED) and not is_told:
            reason = "failed" if outcome.state is JobState.FAILED else "stopped"
            closing.append(
                EndRecord(t=time.time(), step=step, sequences=0, charged_s=0.0, reason=reason, detail=outcome.reason)
            )
        journal = JournalWriter(self._paths.journal)
        try:
            for record in closing:
                journal.append(record)
        finally:
            journal.close()
