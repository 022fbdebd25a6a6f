"""Classify how an attempt ended, by its exit code and its journal records. Pure.

The journal takes precedence: if the ranks' last record is `paused` or `end`, they ended so, whatever exit code the
launcher returned. Otherwise the exit code decides the exit class, and bertd.jobs.runner.restart_policy has the number
of restarts for each.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from bertd.errors import DeviceError, DeviceMemoryError, NumericsError, RecipeError, ShardError, StorageError
from bertd.jobs.runner.restart_policy import max_restarts
from bertd.records import (
    AlertRecord,
    CheckpointRecord,
    CommandRecord,
    EndRecord,
    ExitClass,
    ExportRecord,
    JobState,
    JournalRecord,
    Outcome,
    ScoreRecord,
    StateRecord,
    ValidationRecord,
)

KNOWN_EXITS = {
    RecipeError.exit_code: (ExitClass.CONFIGURATION, "its recipe is wrong"),
    ShardError.exit_code: (ExitClass.DATA, "its data or checkpoint is unusable"),
    DeviceError.exit_code: (ExitClass.CONFIGURATION, "its devices are not there"),
    DeviceMemoryError.exit_code: (
        ExitClass.CONFIGURATION,
        'a device\'s memory is too small: lower batch.micro, or let it be "auto"',
    ),
    StorageError.exit_code: (ExitClass.RESOURCE, "the disk refused a write"),
    NumericsError.exit_code: (ExitClass.NUMERIC, "its loss is not finite"),
    78: (ExitClass.CONFIGURATION, "its configuration is not possible"),
}
"""Exit codes with a known cause. Source: sysexits(3), as in the classes of bertd.errors."""
PERMANENT = frozenset({ExitClass.CONFIGURATION, ExitClass.NUMERIC, ExitClass.DATA})
"""Classes in which a restart would fail again."""
_SIGBUS_REASON = "; a file that it maps was truncated: the data set was changed during the run, prepare it again"
_PRETRAIN_REMEDY = "lower batch.micro, or free memory"
FINETUNE_REMEDY = "lower batch_size, shorten the task's texts, or free memory"
"""What to do where the kernel killed a process because the machine's memory ran out."""

_SIGNAL_EXITS = 128
"""A shell, and torch's launcher, report signal n as 128 + n."""


@dataclass(frozen=True)
class Crash:
    """The ranks died in a way that a restart may fix."""

    cause: str
    exit_class: ExitClass = ExitClass.TRANSIENT


def classify_pretrain_exit(
    exit_code: int, records: list[JournalRecord], *, shutdown_requested: bool, oom_kills: int = 0
) -> Outcome | Crash:
    """The outcome of one attempt, or the crash after which it may be restarted.

    Args:
        exit_code: of the launcher; negative for a signal that killed it.
        records: written to the journal during this attempt.
        shutdown_requested: the runner got SIGTERM and forwarded it to the launcher.
        oom_kills: processes of this machine that the kernel killed during the attempt because memory ran out.
    """
    final = final_record(records)
    if isinstance(final, EndRecord):
        return outcome_of_end(final)
    if isinstance(final, StateRecord):
        return Outcome(state=JobState.PAUSED, reason=final.reason, exit_code=0)
    exit_class = classify_exit_code(exit_code, oom_kills=oom_kills)
    reason = failure_reason(exit_code, records, oom_kills=oom_kills)
    if exit_class in PERMANENT:
        return Outcome(state=JobState.FAILED, reason=reason, exit_code=exit_code)
    if shutdown_requested:
        reason = "its runner was stopped before the ranks had saved; it resumes from its newest checkpoint"
        return Outcome(state=JobState.PAUSED, reason=reason, exit_code=0)
    if _were_suspended(records):
        cause = failure_reason(exit_code, records)
        reason = f"its ranks died while they were suspended ({cause}); it resumes from its newest checkpoint"
        return Outcome(state=JobState.PAUSED, reason=reason, exit_code=0)
    if exit_code == 0:
        return Crash("the ranks exited without a reason; last log lines in logs/job.log")
    return Crash(reason, exit_class)


def classify_exit_code(exit_code: int, *, oom_kills: int = 0) -> ExitClass:
    """The exit class of an exit code."""
    if exit_code in KNOWN_EXITS:
        return KNOWN_EXITS[exit_code][0]
    number = _signal_of(exit_code)
    if number == signal.SIGBUS:
        return ExitClass.DATA
    if _is_out_of_memory(exit_code, oom_kills=oom_kills):
        return ExitClass.RESOURCE
    return ExitClass.TRANSIENT


def classify_finetune_exit(
    exit_code: int,
    records: list[JournalRecord],
    *,
    shutdown_requested: bool,
    stop_requested: bool,
    oom_kills: int = 0,
) -> Outcome:
    """The outcome of a finetuning; it is never restarted by itself."""
    final = final_record(records)
    if isinstance(final, EndRecord) and final.reason == "finished":
        return Outcome(state=JobState.DONE, reason=_score_line(records) or final.detail, exit_code=0)
    if stop_requested:
        return Outcome(state=JobState.CANCELLED, reason="stopped by a person; it has no score", exit_code=0)
    if shutdown_requested:
        reason = "its runner was stopped; resume continues after its last saved epoch, or begins again without one"
        return Outcome(state=JobState.PAUSED, reason=reason, exit_code=0)
    if exit_code == 0:
        reason = "it ended without a score; last log lines in logs/job.log"
        return Outcome(state=JobState.FAILED, reason=reason, exit_code=1)
    reason = failure_reason(
        exit_code, records, oom_kills=oom_kills, memory_remedy=FINETUNE_REMEDY, what="the finetuning's process"
    )
    is_out_of_memory = _is_out_of_memory(exit_code, oom_kills=oom_kills)
    status = DeviceMemoryError.exit_code if is_out_of_memory else abs(exit_code)
    return Outcome(state=JobState.FAILED, reason=reason, exit_code=status)


def _is_out_of_memory(exit_code: int, *, oom_kills: int) -> bool:
    return _signal_of(exit_code) == signal.SIGKILL and oom_kills > 0


def failure_reason(
    exit_code: int,
    records: list[JournalRecord],
    *,
    oom_kills: int = 0,
    memory_remedy: str = _PRETRAIN_REMEDY,
    what: str = "rank",
) -> str:
    """One line of text: the newest error alert of the attempt, else the meaning of the exit code.

    Args:
        exit_code: negative, or 128 more, for a signal.
        records: written to the journal during the attempt.
        oom_kills: processes of this machine that the kernel killed during it because memory ran out.
        memory_remedy: what to do then.
        what: the process that ended.
    """
    if (alert := _newest_error_alert(records)) is not None:
        return alert.message
    where = "last log lines in logs/job.log"
    number = _signal_of(exit_code)
    if number is not None:
        if _is_out_of_memory(exit_code, oom_kills=oom_kills):
            return f"the kernel killed it, since the machine's memory ran out: {memory_remedy}; {where}"
        hint = _SIGBUS_REASON if number == signal.SIGBUS else ""
        return f"{what} died by signal {number} ({_signal_name(number)}){hint}; {where}"
    if exit_code in KNOWN_EXITS:
        return f"{KNOWN_EXITS[exit_code][1]} (exit code {exit_code}); {where}"
    return f"{what} ended with exit code {exit_code}; {where}"


def exit_text(exit_code: int, *, oom_kills: int) -> str:
    """How a program that is not bertd's ended.

    Args:
        exit_code: negative for a signal; 128 more than one as its shell reports it.
        oom_kills: processes of this machine that the kernel killed while it ran because memory ran out.
    """
    if _is_out_of_memory(exit_code, oom_kills=oom_kills):
        return "the kernel killed it, since the machine's memory ran out"
    if exit_code < 0:
        return f"ended by signal {-exit_code} ({_signal_name(-exit_code)})"
    return f"exit status {exit_code}"


def has_error_alert(records: list[JournalRecord]) -> bool:
    """Whether the ranks have written to the journal why they failed."""
    return _newest_error_alert(records) is not None


def _newest_error_alert(records: list[JournalRecord]) -> AlertRecord | None:
    alerts = (record for record in reversed(records) if isinstance(record, AlertRecord))
    return next((alert for alert in alerts if alert.level == "error"), None)


def _signal_of(exit_code: int) -> int | None:
    number = -exit_code if exit_code < 0 else exit_code - _SIGNAL_EXITS
    return number if 0 < number < signal.NSIG else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time"


def final_record(records: list[JournalRecord]) -> EndRecord | StateRecord | None:
    """The end or pause record that the attempt ends with; None if it trained after it, or wrote none."""
    for record in reversed(records):
        if isinstance(record, EndRecord):
            return record
        if isinstance(record, StateRecord):
            return record if record.state is JobState.PAUSED and not record.is_hot else None
        if not isinstance(
            record, AlertRecord | CommandRecord | CheckpointRecord | ExportRecord | ValidationRecord | ScoreRecord
        ):
            return None
    return None


def _were_suspended(records: list[JournalRecord]) -> bool:
    states = [record for record in records if isinstance(record, StateRecord)]
    return bool(states) and states[-1].is_hot


def outcome_of_end(record: EndRecord) -> Outcome:
    """The outcome of a pretraining that has written its end record."""
    if record.reason == "failed":
        return Outcome(state=JobState.FAILED, reason=record.detail, exit_code=1)
    reason = f"stopped: {record.detail}" if record.reason == "stopped" else record.detail
    return Outcome(state=JobState.DONE, reason=reason, exit_code=0)


def outcome_of_giving_up(crash: Crash, *, exit_code: int, checkpoint: str | None, best_step: int) -> Outcome:
    """The outcome of a pretraining that is not restarted again.

    Args:
        crash: the last one.
        exit_code: of the launcher.
        checkpoint: name of the newest checkpoint.
        best_step: that no attempt since has passed.
    """
    number = max_restarts(crash.exit_class)
    restarts = "1 restart" if number == 1 else f"{number} restarts"
    last = f"last checkpoint: {checkpoint}" if checkpoint else "there is no checkpoint"
    reason = f"{crash.cause}; given up after {restarts} without a step above {best_step}; {last}; fix the cause and "
    is_out_of_memory = _is_out_of_memory(exit_code, oom_kills=int(crash.exit_class is ExitClass.RESOURCE))
    status = DeviceMemoryError.exit_code if is_out_of_memory else max(1, exit_code)
    return Outcome(state=JobState.FAILED, reason=f"{reason}resume it", exit_code=status)


def _score_line(records: list[JournalRecord]) -> str | None:
    scores = [record for record in records if isinstance(record, ScoreRecord)]
    if not scores:
        return None
    last = scores[-1]
    return f"{last.task} {last.metric} {last.score:.4f}, majority class {last.majority_score:.4f}"
