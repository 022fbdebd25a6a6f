"""Where every second of a run went, from its journal: charged or not, each is booked once. Pure.

    charged      start, compiling, training, replayed (steps that were lost and done again), validation, saves, end
    not charged  paused hot, paused cold, down (between the death of the ranks and the next start, back-off included)

What no record explains is training: it is what is left of the charge.
"""

from __future__ import annotations

from collections.abc import Iterable

from bertd.records import (
    CheckpointRecord,
    EndRecord,
    JobState,
    JournalRecord,
    Record,
    RestartRecord,
    RollbackRecord,
    StartRecord,
    StartupRecord,
    StateRecord,
    StepRecord,
    ValidationRecord,
)


class TimeAccount(Record):
    """Seconds of a run by what they went into."""

    start_s: float = 0.0
    """Of all attempts: launch, choosing, building, reading the checkpoint, first validation, save and update, without
    compiling."""
    compile_s: float = 0.0
    training_s: float = 0.0
    replayed_s: float = 0.0
    """Training whose steps a death of the ranks or a rollback took back: they were done again."""
    validation_s: float = 0.0
    save_s: float = 0.0
    """That checkpoints between steps stopped training."""
    end_s: float = 0.0
    """From the last update to the end, without the validation in it: the last checkpoint and the export."""
    paused_hot_s: float = 0.0
    paused_cold_s: float = 0.0
    down_s: float = 0.0
    """Between the last sign of ranks that died and the next attempt's charge."""

    @property
    def charged_s(self) -> float:
        """All that was charged."""
        working = (self.start_s, self.compile_s, self.training_s, self.replayed_s)
        return sum(working) + self.validation_s + self.save_s + self.end_s

    @property
    def wall_s(self) -> float:
        """From the first attempt's begin to the newest record."""
        return self.charged_s + self.paused_hot_s + self.paused_cold_s + self.down_s


class TimeBook:
    """Books the records of one run in their order."""

    def __init__(self) -> None:
        self._account = TimeAccount()
        self._charged_s = 0.0
        """The highest in any record."""
        self._attempt_from_s = 0.0
        """Charge at which the newest attempt began, as far as a record shows."""
        self._began_t: float | None = None
        self._newest_t = 0.0
        self._is_starting = False
        self._charge_by_step: dict[int, float] = {}
        """Of the steps to which a run may go back: its checkpoints."""
        self._last_step_s: float | None = None
        self._validated_since_step_s = 0.0
        self._paused_since_t: float | None = None
        self._is_hot = False

    def add(self, record: JournalRecord) -> None:
        """Book the next record."""
        charged_s = getattr(record, "charged_s", None)
        if self._began_t is None:
            self._began_t = record.t - (charged_s or 0.0)
        match record:
            case StartRecord():
                self._end_pause(t=record.t - max(0.0, record.charged_s - self._charged_s))
                self._book_replay(to_step=record.step)
                self._is_starting, self._attempt_from_s = True, self._charged_s
            case StartupRecord():
                self._is_starting = False
                self._book(compile_s=record.compile_s)
                self._book(start_s=max(0.0, record.charged_s - self._attempt_from_s - record.compile_s))
                self._last_step_s, self._validated_since_step_s = record.charged_s, 0.0
            case ValidationRecord() if not self._is_starting:
                self._book(validation_s=record.seconds)
                self._validated_since_step_s += record.seconds
            case CheckpointRecord():
                self._charge_by_step[record.step] = record.charged_s
                if not self._is_starting and record.why != "end":
                    self._book(save_s=record.stall_s)
            case RollbackRecord():
                self._book_replay(to_step=record.step)
            case StateRecord(state=JobState.PAUSED):
                self._end_pause(t=record.t)
                self._paused_since_t, self._is_hot = record.t, record.is_hot
            case StateRecord() | RestartRecord():
                self._end_pause(t=record.t)
            case StepRecord():
                self._last_step_s, self._validated_since_step_s = record.charged_s, 0.0
            case EndRecord() if self._last_step_s is not None:
                end_s = record.charged_s - self._last_step_s - self._validated_since_step_s
                self._book(end_s=max(0.0, end_s))
            case _:
                pass
        if charged_s is not None:
            self._charged_s = max(self._charged_s, charged_s)
        self._newest_t = max(self._newest_t, record.t)

    def account(self) -> TimeAccount:
        """The account as of the newest record."""
        booked = self._account
        if self._paused_since_t is not None:
            booked = _with_pause(booked, seconds=self._newest_t - self._paused_since_t, is_hot=self._is_hot)
        # In an attempt that never came to its first step all is start.
        starting_s = self._charged_s - self._attempt_from_s if self._is_starting else 0.0
        booked = booked.model_copy(update={"start_s": booked.start_s + max(0.0, starting_s)})
        training_s = max(0.0, self._charged_s - booked.charged_s)
        booked = booked.model_copy(update={"training_s": training_s})
        wall_s = 0.0 if self._began_t is None else self._newest_t - self._began_t
        return booked.model_copy(update={"down_s": max(0.0, wall_s - booked.wall_s)})

    def _book(self, **seconds: float) -> None:
        update = {name: getattr(self._account, name) + value for name, value in seconds.items()}
        self._account = self._account.model_copy(update=update)

    def _book_replay(self, *, to_step: int) -> None:
        """What was charged after a checkpoint is done again from there."""
        since_s = self._charge_by_step.get(to_step, 0.0 if to_step == 0 else None)
        last_s = self._last_step_s
        if since_s is not None and last_s is not None and last_s > since_s:
            explained_s = self._account.charged_s - self._account.training_s
            self._book(replayed_s=max(0.0, min(last_s - since_s, self._charged_s - explained_s)))
        self._last_step_s = None
        self._charge_by_step = {step: at_s for step, at_s in self._charge_by_step.items() if step <= to_step}

    def _end_pause(self, *, t: float) -> None:
        if self._paused_since_t is not None:
            self._account = _with_pause(self._account, seconds=t - self._paused_since_t, is_hot=self._is_hot)
            self._paused_since_t = None


def _with_pause(account: TimeAccount, *, seconds: float, is_hot: bool) -> TimeAccount:
    name = "paused_hot_s" if is_hot else "paused_cold_s"
    return account.model_copy(update={name: getattr(account, name) + max(0.0, seconds)})


def book_time(records: Iterable[JournalRecord]) -> TimeAccount:
    """The account of a run with these records, oldest first."""
    book = TimeBook()
    for record in records:
        book.add(record)
    return book.account()
