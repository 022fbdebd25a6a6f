"""bertd.run.time_account: every second of a run is booked once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.records import (
    CheckpointRecord,
    EndRecord,
    JobState,
    JournalRecord,
    RestartRecord,
    StartRecord,
    StartupRecord,
    StateRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.time_account import TimeBook, book_time
from tests.run.plan.journals import SimulatedMachine, make_recipe


class SimulatedRun:
    """Writes the journal of a run whose every second is known, and books it beside."""

    def __init__(self) -> None:
        self.records: list[JournalRecord] = []
        self.t = self.charged_s = 0.0
        self.step = self.attempt = self.saved_step = 0
        self.saved_s = 0.0
        self.true = dict.fromkeys(("start", "compile", "training", "replayed", "validation", "save", "end"), 0.0)
        self.true |= dict.fromkeys(("paused_hot", "paused_cold", "down"), 0.0)
        self.since_save_s = 0.0
        """Training since the newest checkpoint."""

    def _work(self, name: str, seconds: float) -> None:
        self.t += seconds
        self.charged_s += seconds
        self.true[name] += seconds

    def start(self, *, start_s: float, compile_s: float) -> None:
        self.attempt += 1
        self.step = self.saved_step
        self._work("start", start_s / 2)
        self.records.append(_start(self, attempt=self.attempt))
        self._work("compile", compile_s)
        self._work("start", start_s / 2)
        self.step += 1
        self.records.append(_startup(self, compile_s=compile_s))

    def train(self, seconds: float) -> None:
        self._work("training", seconds)
        self.since_save_s += seconds
        self.step += 10
        self.records.append(_step(self))

    def validate(self, seconds: float) -> None:
        self._work("validation", seconds)
        self.records.append(_validation(self, seconds))

    def save(self, stall_s: float) -> None:
        self._work("save", stall_s)
        self.saved_step, self.saved_s, self.since_save_s = self.step, self.charged_s, 0.0
        self.records.append(_checkpoint(self, stall_s=stall_s))

    def pause(self, seconds: float, *, hot: bool) -> None:
        self.records.append(_state(self, JobState.PAUSED, hot=hot))
        self.t += seconds
        self.true["paused_hot" if hot else "paused_cold"] += seconds
        if hot:
            self.records.append(_state(self, JobState.RUNNING, hot=False))

    def die(self, down_s: float) -> None:
        self.records.append(_restart(self))
        self.t += down_s
        self.true["down"] += down_s
        self.true["training"] -= self.since_save_s
        self.true["replayed"] += self.since_save_s
        self.since_save_s = 0.0

    def end(self, seconds: float) -> None:
        self._work("end", seconds)
        self.records.append(_end(self))


def _common(run: SimulatedRun) -> dict[str, float]:
    return {"t": run.t, "charged_s": run.charged_s}


def _start(run: SimulatedRun, *, attempt: int) -> StartRecord:
    record = next(iter(SimulatedMachine().run(make_recipe(), until_s=0.0)))
    assert isinstance(record, StartRecord)
    return record.model_copy(update={**_common(run), "attempt": attempt, "step": run.step})


def _startup(run: SimulatedRun, *, compile_s: float) -> StartupRecord:
    times = {"choose_s": 0.0, "build_s": 0.0, "first_step_s": 0.0, "total_s": 1.0}
    return StartupRecord(attempt=run.attempt, step=run.step, compile_s=compile_s, **_common(run), **times)


def _step(run: SimulatedRun) -> StepRecord:
    zeros = dict.fromkeys(("progress", "loss", "lr", "grad_norm", "sequences_per_s", "tokens_per_s"), 0.0)
    return StepRecord(step=run.step, sequences=run.step, **_common(run), **zeros)


def _validation(run: SimulatedRun, seconds: float) -> ValidationRecord:
    numbers = {"progress": 0.0, "loss": 5.0, "unigram_entropy": 6.0, "seconds": seconds}
    return ValidationRecord(step=run.step, sequences=run.step, num_tokens=1, **_common(run), **numbers)


def _checkpoint(run: SimulatedRun, *, stall_s: float) -> CheckpointRecord:
    common = _common(run)
    return CheckpointRecord(
        step=run.step, name="step", size_bytes=1, seconds=stall_s, stall_s=stall_s, why="interval", **common
    )


def _state(run: SimulatedRun, state: JobState, *, hot: bool) -> StateRecord:
    return StateRecord(step=run.step, state=state, reason="", is_hot=hot, **_common(run))


def _restart(run: SimulatedRun) -> RestartRecord:
    common = _common(run)
    return RestartRecord(step=run.step, attempt=2, cause="", delay_s=0.0, from_step=run.saved_step, **common)


def _end(run: SimulatedRun) -> EndRecord:
    return EndRecord(step=run.step, sequences=run.step, reason="budget", detail="", **_common(run))


_SECONDS = st.floats(0.5, 100.0)
_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("train"), _SECONDS),
        st.tuples(st.just("validate"), _SECONDS),
        st.tuples(st.just("save"), _SECONDS),
        st.tuples(st.just("hot"), _SECONDS),
        st.tuples(st.just("cold"), _SECONDS),
        st.tuples(st.just("die"), _SECONDS),
    ),
    max_size=30,
)


def simulate(events: list[tuple[str, float]], *, end_s: float) -> SimulatedRun:
    """A run to which these things happen."""
    run = SimulatedRun()
    run.start(start_s=4.0, compile_s=2.0)
    run.save(0.0)
    for name, seconds in events:
        match name:
            case "train":
                run.train(seconds)
            case "validate":
                run.validate(seconds)
            case "save":
                run.save(seconds)
            case "hot":
                run.pause(seconds, hot=True)
            case "cold":
                run.save(0.0)
                run.pause(seconds, hot=False)
                run.start(start_s=3.0, compile_s=1.0)
            case "die":
                run.die(seconds)
                run.start(start_s=3.0, compile_s=1.0)
    run.train(1.0)
    run.end(end_s)
    return run


@given(_EVENTS, _SECONDS)
def test_every_second_is_booked_once(events: list[tuple[str, float]], end_s: float) -> None:
    run = simulate(events, end_s=end_s)

    account = book_time(run.records)

    assert account.charged_s == pytest.approx(run.charged_s)
    assert account.wall_s == pytest.approx(run.t)


@given(_EVENTS, _SECONDS)
def test_each_part_is_what_it_was(events: list[tuple[str, float]], end_s: float) -> None:
    # A validation or a save between the last checkpoint and a death is not replayed, but stands in what is.
    quiet = [event for event in events if event[0] != "die"]
    run = simulate(quiet, end_s=end_s)

    account = book_time(run.records)

    for name, seconds in run.true.items():
        assert getattr(account, f"{name}_s") == pytest.approx(seconds, abs=1e-6), name


def test_what_a_death_took_back_is_replayed() -> None:
    run = simulate([("train", 50.0), ("save", 1.0), ("train", 20.0), ("die", 7.0), ("train", 30.0)], end_s=2.0)

    account = book_time(run.records)

    assert account.replayed_s == pytest.approx(20.0)
    assert account.down_s == pytest.approx(7.0)
    assert account.training_s == pytest.approx(81.0)


@given(_EVENTS)
def test_an_account_in_the_middle_never_exceeds_the_wall_clock(events: list[tuple[str, float]]) -> None:
    book, began = TimeBook(), None
    for record in _in_order(simulate(events, end_s=1.0)):
        began = record.t - record.charged_s if began is None else began  # type: ignore[union-attr]  # all of these have it
        book.add(record)
        account = book.account()
        assert account.wall_s >= record.t - began - 1e-6
        assert min(account.model_dump().values()) >= 0.0


def _in_order(run: SimulatedRun) -> Iterator[JournalRecord]:
    yield from run.records


def test_no_record_is_no_second() -> None:
    assert book_time([]).wall_s == 0.0
