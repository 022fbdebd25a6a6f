"""How an attempt ended, judged by its exit code and by what it wrote in the journal. Pure.

The journal outranks the exit code: ranks that saved and said `paused` or `end` have ended so, whatever the launcher
made of their exit. Without that, the exit codes of the BertdErrors mean that another try would fail as well;
everything else (a signal, an exception) is worth a restart.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from bertd.errors import DeviceError, NumericsError, RecipeError, ShardError, StorageError
from bertd.records import (
    AlertRecord,
    CheckpointRecord,
    CommandRecord,
    EndRecord,
    ExportRecord,
    JobState,
    JournalRecord,
    Outcome,
    ScoreRecord,
    StateRecord,
    ValidationRecord,
)

PERMANENT = {
    RecipeError.exit_code: "its recipe is wrong",
    ShardError.exit_code: "its data or checkpoint is unusable",
    DeviceError.exit_code: "its devices are not there",
    StorageError.exit_code: "the disk refused a write",
    NumericsError.exit_code: "its loss is not finite",
    78: "it cannot be configured so",
}
"""Exit codes that another try would give again. Source: sysexits(3), as the classes of bertd.errors carry them."""

_SIGNAL_EXITS = 128
"""A shell, and torch's launcher, report signal n as 128 + n."""


@dataclass(frozen=True)
class Crash:
    """The ranks died in a way that a restart may mend."""

    cause: str


def judge_pretraining(exit_code: int, records: list[JournalRecord], *, told_to_end: bool) -> Outcome | Crash:
    """What became of one attempt.

    Args:
        exit_code: of the launcher; negative for a signal that killed it.
        records: what the journal got during this attempt.
        told_to_end: the launcher was sent SIGTERM because the runner was.
    """
    said = _last_word(records)
    if isinstance(said, EndRecord):
        return _outcome_of_end(said)
    if isinstance(said, StateRecord):
        return Outcome(state=JobState.PAUSED, reason=said.reason, exit_code=0)
    if exit_code in PERMANENT:
        return Outcome(state=JobState.FAILED, reason=failure_reason(exit_code, records), exit_code=exit_code)
    if told_to_end:
        reason = "its runner was told to end before the ranks had saved; it goes on from its newest checkpoint"
        return Outcome(state=JobState.PAUSED, reason=reason, exit_code=0)
    if exit_code == 0:
        return Crash("the ranks ended without saying why; last log lines in logs/job.log")
    return Crash(failure_reason(exit_code, records))


def judge_finetuning(exit_code: int, records: list[JournalRecord], *, told_to_end: bool, stop_asked: bool) -> Outcome:
    """What became of a finetuning; it is never restarted, because it keeps no checkpoints."""
    said = _last_word(records)
    if isinstance(said, EndRecord) and said.reason == "finished":
        return Outcome(state=JobState.DONE, reason=_score_line(records) or said.detail, exit_code=0)
    if stop_asked:
        return Outcome(state=JobState.CANCELLED, reason="a person stopped it; it has no score", exit_code=0)
    if told_to_end:
        reason = "its runner was told to end; resume starts it from the beginning"
        return Outcome(state=JobState.PAUSED, reason=reason, exit_code=0)
    if exit_code == 0:
        reason = "it ended without a score; last log lines in logs/job.log"
        return Outcome(state=JobState.FAILED, reason=reason, exit_code=1)
    return Outcome(state=JobState.FAILED, reason=failure_reason(exit_code, records), exit_code=abs(exit_code))


def failure_reason(exit_code: int, records: list[JournalRecord]) -> str:
    """One line for people: the newest error alert of the attempt, else what the exit code tells."""
    for record in reversed(records):
        if isinstance(record, AlertRecord) and record.level == "error":
            return record.message
    where = "last log lines in logs/job.log"
    number = -exit_code if exit_code < 0 else exit_code - _SIGNAL_EXITS
    if 0 < number < signal.NSIG:
        hint = "; the kernel may have been out of memory (dmesg tells)" if number == signal.SIGKILL else ""
        return f"rank died by signal {number} ({_signal_name(number)}){hint}; {where}"
    if exit_code in PERMANENT:
        return f"{PERMANENT[exit_code]} (exit code {exit_code}); {where}"
    return f"rank ended with exit code {exit_code}; {where}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time"


def _last_word(records: list[JournalRecord]) -> EndRecord | StateRecord | None:
    """The end or pause that the attempt ends in; None where it trained on behind it, or never said."""
    for record in reversed(records):
        if isinstance(record, EndRecord):
            return record
        if isinstance(record, StateRecord):
            return record if record.state is JobState.PAUSED else None
        if not isinstance(
            record, AlertRecord | CommandRecord | CheckpointRecord | ExportRecord | ValidationRecord | ScoreRecord
        ):
            return None
    return None


def _outcome_of_end(record: EndRecord) -> Outcome:
    if record.reason == "failed":
        return Outcome(state=JobState.FAILED, reason=record.detail, exit_code=1)
    reason = f"stopped: {record.detail}" if record.reason == "stopped" else record.detail
    return Outcome(state=JobState.DONE, reason=reason, exit_code=0)


def _score_line(records: list[JournalRecord]) -> str | None:
    scores = [record for record in records if isinstance(record, ScoreRecord)]
    if not scores:
        return None
    last = scores[-1]
    return f"{last.task} {last.metric} {last.score:.4f}, majority class {last.majority_score:.4f}"
