"""Run a grid of finetunings: hand its trials to workers, longest first, and collect their scores.

Each trial has a folder with a journal of its own, in which its worker writes. This runner alone writes the grid's
journal: the score of each trial, copied from the trial's journal, then a grid record. So a crash at any moment loses
no score: a trial whose journal has one is not run again, and what the grid's journal lacks is copied at the next start.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import BertdError, CheckpointError, DeviceError, NumericsError, RunFolderError, StorageError
from bertd.jobs.runner.child_process import StopSignal
from bertd.jobs.runner.exit_analysis import FINETUNE_REMEDY, failure_reason
from bertd.jobs.runner.grid.grid_outcome import TrialOutcome, find_grid_outcome, make_grid_record
from bertd.jobs.runner.grid.grid_workers import Worker, WorkerCommand, WorkerEvent, WorkerPool, worker_slots
from bertd.jobs.runner.grid.trial_table import TrialTable
from bertd.jobs.runner.log_truncation import truncate_log
from bertd.records import (
    AlertRecord,
    Command,
    CommandKind,
    CommandRecord,
    EndRecord,
    FinetuneSpec,
    GridSpec,
    GridTrial,
    JobState,
    Keep,
    Outcome,
)
from bertd.run.atomic_files import atomic_write
from bertd.run.grid.finetune_halving import most_trials
from bertd.run.grid.grid_schedule import RunningTrial, TimeLeft, find_time_left, measure_speeds, merge_speeds
from bertd.run.journal import JournalWriter, read_journal, read_scores
from bertd.run.log import log_line
from bertd.run.machine.processes import oom_kills
from bertd.run.mailbox import read_command
from bertd.run.paths import JobPaths
from bertd.run.progress import fold_records
from bertd.validation_text import describe_problem

_TICK_S = 0.5
_MAX_DEATHS = 2
"""Workers that a trial may kill."""
_MAX_FALSE_STARTS = 3
"""Workers in a row that may die before they are ready."""
_UNKNOWN_ERROR = 1
"""Exit code of a trial that ended by an exception that is not a BertdError."""
_GRID_ERRORS = (DeviceError, StorageError)
"""Errors that every other trial would meet too."""


def read_grid_spec(path: Path) -> GridSpec:
    """Read a grid.json.

    Raises:
        RunFolderError: it is missing or wrong.
    """
    try:
        return GridSpec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read: {error.strerror}; submit the grid again") from error
    except ValidationError as error:
        raise RunFolderError(f"{path}: {describe_problem(error.errors()[0])}; submit the grid again") from error


class GridRunner:
    """Runs the trials of a grid that have no score yet."""

    def __init__(self, paths: JobPaths, *, worker: WorkerCommand, stop_signal: StopSignal) -> None:
        """Read what earlier runners of this grid wrote."""
        self._paths = paths
        self._spec = read_grid_spec(paths.grid_spec)
        self._stop_signal = stop_signal
        self._slots = worker_slots(self._spec, os.environ)
        self._pool = WorkerPool(command=worker, stop_signal=stop_signal)
        earlier = read_journal(paths.journal)
        self._journal = JournalWriter(paths.journal)
        self._next_command = fold_records(earlier).acknowledged + 1
        self._table = TrialTable(self._spec, earlier)
        self._deaths: Counter[str] = Counter()
        self._false_starts = 0
        self._oom_kills = oom_kills()
        self._stop_command: Command | None = None
        self._fatal: Outcome | None = None

    def run(self) -> Outcome:
        """Run the trials and return the outcome of the grid."""
        try:
            self._recover()
            self._run_workers()
        except BertdError as error:
            self._fatal = Outcome(state=JobState.FAILED, reason=str(error), exit_code=error.exit_code)
        finally:
            interrupted = [worker.trial for worker in self._pool.running()]
            self._pool.kill_all()
        for trial in interrupted:
            if trial is not None and self._copy_score(trial):
                self._record(trial, outcome="scored")
        outcome = self._close()
        self._journal.close()
        return outcome

    # ---- The trials --------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Copy scores that an earlier runner had no time to copy; queue the trials without one."""
        for trial in self._spec.trials:
            if trial.name not in self._table.scored:
                self._copy_score(trial)
        base = self._table.model_trial()
        if base is not None and self._table.needs_model and not self._model_of(base).is_dir():
            log_line(f"runner: {base.name}: its model, which others start from, is gone; it is finetuned again")
            self._table.forget(base)
        self._table.queue_rest()
        self._record(None)
        self._end_hopeless()
        self._delete_models(self._table.beaten())

    def _run_workers(self) -> None:
        free = deque(range(len(self._slots)))
        while not self._is_over():
            while free and len(self._pool) < len(self._table.pending) + len(self._pool.running()):
                slot = free.popleft()
                self._start_worker(slot, self._slots[slot])
            for worker in self._pool.idle():
                self._hand_out(worker)
            for event in self._pool.wait(_TICK_S):
                if self._apply(event):
                    free.append(event.worker.slot)
                self._end_hopeless()
            truncate_log()
            self._read_mailbox()

    def _is_over(self) -> bool:
        if self._stop_signal.is_set or self._stop_command is not None or self._fatal is not None:
            return True
        return not self._table.pending and not self._pool.running()

    def _start_worker(self, slot: int, variables: dict[str, str]) -> None:
        try:
            self._pool.start(slot, variables)
        except OSError as error:
            raise StorageError(f"cannot start a worker: {error.strerror}; free memory, processes or files") from error

    def _hand_out(self, worker: Worker) -> None:
        if not self._table.pending:
            self._pool.end(worker)
            return
        trial = self._table.take()
        if trial is None:
            return
        paths = self._paths.trial(trial.name)
        try:
            paths.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{paths.root}: cannot make the trial's folder: {error.strerror}") from error
        atomic_write(paths.finetune_spec, self._finetune_spec(trial).model_dump_json(indent=2))
        worker.order(trial, paths.root)

    def _apply(self, event: WorkerEvent) -> bool:
        """Act on what a worker reported; whether its slot is free."""
        worker, trial = event.worker, event.worker.trial
        if event.reply is None:
            worker.trial = None
            self._handle_exit(worker, trial, exit_code=event.exit_code)
            return True
        if event.reply.event == "ready":
            worker.has_loaded = worker.is_ready = True
            self._false_starts = 0
        elif trial is not None:
            worker.trial = None
            # One that failed exits.
            worker.is_ready = event.reply.exit_code == 0
            self._end_trial(trial, exit_code=event.reply.exit_code)
        return False

    def _handle_exit(self, worker: Worker, trial: GridTrial | None, *, exit_code: int) -> None:
        kills, self._oom_kills = oom_kills() - self._oom_kills, oom_kills()
        if trial is None:
            if not worker.has_loaded:
                self._false_starts += 1
                log_line(f"runner: a worker ended with exit code {exit_code} before its first trial")
            if self._false_starts >= _MAX_FALSE_STARTS:
                reason = _worker_failure(exit_code, oom_kills=kills)
                self._fatal = Outcome(
                    state=JobState.FAILED, reason=f"no worker can start: {reason}", exit_code=abs(exit_code)
                )
            return
        if self._copy_score(trial):
            # It died between its score and its reply.
            self._record(trial, outcome="scored")
            return
        self._deaths[trial.name] += 1
        cause = _worker_failure(exit_code, oom_kills=kills)
        log_line(f"runner: {trial.name}: {cause}")
        if self._deaths[trial.name] < _MAX_DEATHS:
            self._table.put_back(trial)
        else:
            self._record(trial, outcome="failed", detail=f"killed {_MAX_DEATHS} workers; the last time: {cause}")

    def _end_trial(self, trial: GridTrial, *, exit_code: int) -> None:
        if self._copy_score(trial):
            self._record(trial, outcome="scored")
            self._delete_models(self._table.beaten())
            return
        # An unknown error left its traceback in the log, and no alert; one in the journal is of an earlier attempt.
        records = [] if exit_code == _UNKNOWN_ERROR else read_journal(self._paths.trial(trial.name).journal)
        reason = failure_reason(exit_code, records, what="the trial")
        self._record(trial, outcome="diverged" if exit_code == NumericsError.exit_code else "failed", detail=reason)
        # CheckpointError has the exit code of a wrong data file, which other tasks may not have.
        alerts = [record for record in records if isinstance(record, AlertRecord)]
        is_source_unusable = bool(alerts) and alerts[-1].code == CheckpointError.__name__ and trial.via is None
        if exit_code in {error.exit_code for error in _GRID_ERRORS} or is_source_unusable:
            self._fatal = Outcome(state=JobState.FAILED, reason=f"{trial.name}: {reason}", exit_code=exit_code)

    def _finetune_spec(self, trial: GridTrial) -> FinetuneSpec:
        if trial.via is None:
            return self._spec.finetune_spec(trial)
        base = self._table.model_trial()
        assert base is not None
        return self._spec.finetune_spec(trial, source=self._model_of(base))

    def _model_of(self, trial: GridTrial) -> Path:
        return self._paths.trial(trial.name).finetuned_model

    def _copy_score(self, trial: GridTrial) -> bool:
        """Copy the score of a trial into the grid's journal; whether it has one, and its model if others need that."""
        scores = read_scores(self._paths.trial(trial.name).journal)
        if not scores or (self._spec.keep_of(trial) is Keep.BEST and scores[-1].kept is None):
            return False
        score = scores[-1].model_copy(update={"trial": trial.name})
        self._journal.append(score)
        self._table.add_score(trial.name, score)
        return True

    def _delete_models(self, trials: Iterable[GridTrial]) -> None:
        """Delete what they kept; a crash in between is made good when the grid continues."""
        for trial in trials:
            shutil.rmtree(self._model_of(trial), ignore_errors=True)

    def _end_hopeless(self) -> None:
        # Again, until no other one waits for those that have just ended.
        while verdicts := self._table.end_hopeless():
            for verdict in verdicts:
                self._record(verdict.trial, outcome=verdict.outcome, detail=verdict.detail)

    def _record(self, trial: GridTrial | None, *, outcome: TrialOutcome | None = None, detail: str = "") -> None:
        record = make_grid_record(
            self._spec,
            self._table,
            t=time.time(),
            time_left=self._time_left(),
            trial=trial,
            outcome=outcome,
            detail=detail,
        )
        self._journal.append(record)
        if trial is not None and outcome != "scored":
            self._table.unscored[trial.name] = record

    def _time_left(self) -> TimeLeft:
        now_s = time.monotonic()
        running = [
            RunningTrial(worker.trial, elapsed_s=now_s - worker.began_s)
            for worker in self._pool.running()
            if worker.trial is not None
        ]
        speeds = merge_speeds(self._spec.epoch_seconds, measure_speeds(self._table.scored.values()))
        pending = most_trials(self._spec, self._table.pending)
        return find_time_left(pending, speeds=speeds, num_workers=len(self._slots), running=running)

    # ---- The end -----------------------------------------------------------------------------------

    def _read_mailbox(self) -> None:
        command = read_command(self._paths.control, number=self._next_command)
        if command is not None and command.verb is CommandKind.UNREADABLE:
            log_line(f"runner: {command.problem}")
            self._next_command += 1
        elif command is not None and command.verb is CommandKind.STOP:
            self._stop_command = command

    def _describe_model(self, base: GridTrial) -> str:
        return f"{self._model_of(base)} stays for `bertd resume`; deleted, it is made again when the grid is resumed"

    def _find_outcome(self) -> Outcome:
        return find_grid_outcome(
            self._spec,
            self._table,
            fatal=self._fatal,
            stop_requested=self._stop_command is not None,
            shutdown_requested=self._stop_signal.is_set,
        )

    def _close(self) -> Outcome:
        """The outcome, with the records that say so."""
        outcome, now = self._find_outcome(), time.time()
        num_over = self._table.num_over
        if self._stop_command is not None:
            detail = "its workers were killed"
            self._journal.append(
                CommandRecord.answer(self._stop_command, t=now, step=num_over, outcome="done", detail=detail)
            )
        if self._spec.keep is Keep.NOTHING and outcome.state is not JobState.PAUSED:
            if outcome.state is JobState.CANCELLED or not self._table.needs_model:
                # No trial will start from them any more.
                self._delete_models(self._spec.trials)
            elif (base := self._table.model_trial()) is not None and self._model_of(base).is_dir():
                outcome = outcome.model_copy(update={"reason": f"{outcome.reason}; {self._describe_model(base)}"})
        if outcome.state is JobState.CANCELLED:
            for trial in self._spec.trials:
                shutil.rmtree(self._paths.trial(trial.name).epoch_state, ignore_errors=True)
        if outcome.state is not JobState.PAUSED:
            reasons = {JobState.DONE: "finished", JobState.CANCELLED: "stopped", JobState.FAILED: "failed"}
            self._journal.append(
                EndRecord.model_validate(
                    {
                        "t": now,
                        "step": num_over,
                        "sequences": 0,
                        "charged_s": 0.0,
                        "reason": reasons[outcome.state],
                        "detail": outcome.reason,
                    }
                )
            )
        return outcome


def _worker_failure(exit_code: int, *, oom_kills: int) -> str:
    return failure_reason(exit_code, [], oom_kills=oom_kills, memory_remedy=FINETUNE_REMEDY, what="its worker")
