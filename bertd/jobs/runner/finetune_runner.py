"""Run a finetuning job: one attempt, which a stop command in the mailbox kills."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from subprocess import Popen

from bertd.jobs.runner.child_process import StopSignal, run_child_process
from bertd.jobs.runner.exit_analysis import classify_finetune_exit
from bertd.jobs.runner.log_truncation import truncate_log
from bertd.records import Command, CommandKind, CommandRecord, EndRecord, JobState, JournalRecord, Outcome
from bertd.run.journal import append_records, read_journal
from bertd.run.log import log_line
from bertd.run.machine.processes import oom_kills
from bertd.run.mailbox import read_command
from bertd.run.paths import JobPaths
from bertd.run.progress import fold_records

FinetuneCommand = Callable[[JobPaths], list[str]]
"""Builds the command that finetunes."""

_TICK_S = 0.5


class FinetuneRunner:
    """Runs one attempt of a finetuning."""

    def __init__(self, paths: JobPaths, *, finetune: FinetuneCommand, stop_signal: StopSignal) -> None:
        self._paths = paths
        self._finetune = finetune
        self._stop_signal = stop_signal
        earlier = read_journal(paths.journal)
        self._num_earlier = len(earlier)
        self._next_command = fold_records(earlier).acknowledged + 1
        self._stop_command: Command | None = None

    def run(self) -> Outcome:
        """Run the child to its end and return the outcome."""
        command = self._finetune(self._paths)
        earlier_oom_kills = oom_kills()
        exit_code = run_child_process(command, stop_signal=self._stop_signal, tick_s=_TICK_S, on_tick=self._tick)
        records = read_journal(self._paths.journal)[self._num_earlier :]
        outcome = classify_finetune_exit(
            exit_code,
            records,
            shutdown_requested=self._stop_signal.is_set,
            stop_requested=self._stop_command is not None,
            oom_kills=oom_kills() - earlier_oom_kills,
        )
        self._write_missing_records(outcome, records=records)
        if outcome.state is JobState.CANCELLED:
            shutil.rmtree(self._paths.epoch_state, ignore_errors=True)
        return outcome

    def _tick(self, child: Popen[bytes]) -> None:
        truncate_log()
        command = read_command(self._paths.control, number=self._next_command)
        if command is not None and command.verb is CommandKind.UNREADABLE:
            log_line(f"runner: {command.problem}")
            self._next_command += 1
        elif command is not None and command.verb is CommandKind.STOP and self._stop_command is None:
            self._stop_command = command
            child.kill()

    def _write_missing_records(self, outcome: Outcome, *, records: list[JournalRecord]) -> None:
        """Write the acknowledgement and the end record if the child was killed before it wrote them."""
        step = fold_records(records).step
        closing: list[JournalRecord] = []
        if self._stop_command is not None:
            detail = "its process was killed"
            closing.append(
                CommandRecord.answer(self._stop_command, t=time.time(), step=step, outcome="done", detail=detail)
            )
        has_end_record = any(isinstance(record, EndRecord) for record in records)
        if outcome.state in (JobState.FAILED, JobState.CANCELLED) and not has_end_record:
            reason = "failed" if outcome.state is JobState.FAILED else "stopped"
            closing.append(
                EndRecord(t=time.time(), step=step, sequences=0, charged_s=0.0, reason=reason, detail=outcome.reason)
            )
        append_records(self._paths.journal, closing)
