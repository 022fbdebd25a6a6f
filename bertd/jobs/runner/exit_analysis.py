"""How an attempt ended, judged by its exit code and by what it wrote in the journal. Pure.

The journal outranks the exit code: ranks that saved and said `paused` or `end` have ended so, whatever the launcher
made of their exit. Without that, the exit code says which class of death it was, and `Crash.exit_class` how many
restarts it is worth: bertd.jobs.runner.restart_policy has the numbers.
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
    78: (ExitClass.CONFIGURATION, "it cannot be configured so"),
}
"""Exit codes with a meaning of their own. Source: sysexits(3), as the classes of bertd.errors carry them."""
PERMANENT = frozenset({ExitClass.CONFIGURATION, ExitClass.NUMERIC, ExitClass.DATA})
"""Classes that another try would end in again."""
_SIGBUS_REASON = "; a file it maps was cut short under it: the data set was changed under the run, prepare it again"
_KILLED_REASON = "; the kernel was out of memory: lower batch.micro or the data workers, or free memory"

_SIGNAL_EXITS = 128
"""A shell, and torch's launcher, report signal n as 128 + n."""


@dataclass(frozen=True)
class Crash:
    """The ranks died in a way that a restart may mend."""

    cause: str
    exit_class: ExitClass = ExitClass.TRANSIENT


def classify_pretrain_exit(
    exit_code: int, records: list[JournalRecord], *, shutdown_requested: bool, oom_kills: int = 0
) -> Outcome | Crash:
    """What became of one attempt.

    Args:
        exit_code: of the launcher; negative for a signal that killed it.
        records: what the journal got during this attempt.
        shutdown_requested: the launcher was sent SIGTERM because the runner was.
        oom_kills: how often the kernel killed a process of this machine for memory meanwhile.
    """
    final = _final_record(records)
    if isinstance(final, EndRecord):
        return outcome_of_end(final)
    if isinstance(final, StateRecord):
        return Outcome(state=JobState.PAUSED, reason=final.reason, exit_code=0)
    exit_class = classify_exit_code(exit_code, oom_kills=oom_kills)
    reason = failure_reason(exit_code, records, oom_kills=oom_kills)
    if exit_class in PERMANENT:
        return Outcome(state=JobState.FAILED, reason=reason, exit_code=exit_code)
    if shutdown_requested:
        reason = "its runner was told to end before the ranks had saved; it goes on from its newest checkpoint"
        return Outcome(state=JobState.PAUSED, reason=reason, exit_code=0)
    if _were_suspended(records):
        cause = failure_reason(exit_code, records)
        reason = f"its ranks died while they were held ({cause}); it goes on from its newest checkpoint"
        return Outcome(state=JobState.PAUSED, reason=reason, exit_code=0)
    if exit_code == 0:
        return Crash("the ranks ended without saying why; last log lines in logs/job.log")
    return Crash(reason, exit_class)


def classify_exit_code(exit_code: int, *, oom_kills: int = 0) -> ExitClass:
    """Which class of death an exit code tells of."""
    if exit_code in KNOWN_EXITS:
        return KNOWN_EXITS[exit_code][0]
    number = _signal_of(exit_code)
    if number == signal.SIGBUS:
        return ExitClass.DATA
    if number == signal.SIGKILL and oom_kills:
        return ExitClass.RESOURCE
    return ExitClass.TRANSIENT


def classify_finetune_exit(
    exit_code: int, records: list[JournalRecord], *, shutdown_requested: bool, stop_requested: bool
) -> Outcome:
    """What became of a finetuning; it is never restarted, because it keeps no checkpoints."""
    final = _final_record(records)
    if isinstance(final, EndRecord) and final.reason == "finished":
        return Outcome(state=JobState.DONE, reason=_score_line(records) or final.detail, exit_code=0)
    if stop_requested:
        return Outcome(state=JobState.CANCELLED, reason="a person stopped it; it has no score", exit_code=0)
    if shutdown_requested:
        reason = "its runner was told to end; resume starts it from the beginning"
        return Outcome(state=JobState.PAUSED, reason=reason, exit_code=0)
    if exit_code == 0:
        reason = "it ended without a score; last log lines in logs/job.log"
        return Outcome(state=JobState.FAILED, reason=reason, exit_code=1)
    return Outcome(state=JobState.FAILED, reason=failure_reason(exit_code, records), exit_code=abs(exit_code))


def failure_reason(exit_code: int, records: list[JournalRecord], *, oom_kills: int = 0) -> str:
    """One line for people: the newest error alert of the attempt, else what the exit code tells."""
    for record in reversed(records):
        if isinstance(record, AlertRecord) and record.level == "error":
            return record.message
    where = "last log lines in logs/job.log"
    number = _signal_of(exit_code)
    if number is not None:
        hint = _KILLED_REASON if number == signal.SIGKILL and oom_kills else ""
        hint = _SIGBUS_REASON if number == signal.SIGBUS else hint
        return f"rank died by signal {number} ({_signal_name(number)}){hint}; {where}"
    if exit_code in KNOWN_EXITS:
        return f"{KNOWN_EXITS[exit_code][1]} (exit code {exit_code}); {where}"
    return f"rank ended with exit code {exit_code}; {where}"


def _signal_of(exit_code: int) -> int | None:
    number = -exit_code if exit_code < 0 else exit_code - _SIGNAL_EXITS
    return number if 0 < number < signal.NSIG else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time"


def _final_record(records: list[JournalRecord]) -> EndRecord | StateRecord | None:
    """The end or pause that the attempt ends in; None where it trained on behind it, or never said."""
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
    """What became of a pretraining that has said its last word."""
    if record.reason == "failed":
        return Outcome(state=JobState.FAILED, reason=record.detail, exit_code=1)
    reason = f"stopped: {record.detail}" if record.reason == "stopped" else record.detail
    return Outcome(state=JobState.DONE, reason=reason, exit_code=0)


def outcome_of_giving_up(crash: Crash, *, exit_code: int, checkpoint: str | None, best_step: int) -> Outcome:
    """What becomes of a pretraining whose ranks die again and again.

    Args:
        crash: the last.
        exit_code: of the launcher.
        checkpoint: name of the newest.
        best_step: which no attempt since has passed.
    """
    number = max_restarts(crash.exit_class)
    restarts = "1 restart" if number == 1 else f"{number} restarts"
    last = f"last checkpoint: {checkpoint}" if checkpoint else "there is no checkpoint"
    reason = f"{crash.cause}; given up after {restarts} without a step above {best_step}; {last}; mend the cause and "
    return Outcome(state=JobState.FAILED, reason=f"{reason}resume it", exit_code=exit_code if exit_code > 0 else 1)


def _score_line(records: list[JournalRecord]) -> str | None:
    scores = [record for record in records if isinstance(record, ScoreRecord)]
    if not scores:
        return None
    last = scores[-1]
    return f"{last.task} {last.metric} {last.score:.4f}, majority class {last.majority_score:.4f}"
