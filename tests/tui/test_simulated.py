"""The simulation behaves like a real machine and is deterministic in time."""

from __future__ import annotations

import math

import pytest

from bertd.api.models import SubmitFinetune
from bertd.errors import TransitionError, UnknownJobError
from bertd.records import JobState, PauseKind
from tui.simulated import curves
from tui.simulated.box import JOB_ID
from tui.simulated.feed import SimulatedFeed


class _Clock:
    def __init__(self) -> None:
        self.now = 1_763_900_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def feed(clock: _Clock) -> SimulatedFeed:
    return SimulatedFeed(clock=clock, speed=1.0)


def _state(feed: SimulatedFeed) -> JobState:
    run = feed.snapshot().run
    assert run is not None
    return run.state


def test_it_shows_the_same_however_often_it_was_looked_at() -> None:
    often, seldom = _Clock(), _Clock()
    watched, ignored = SimulatedFeed(clock=often), SimulatedFeed(clock=seldom)
    for _ in range(50):
        often.now += 7.0
        watched.snapshot()
    seldom.now += 350.0
    one, other = watched.snapshot(), ignored.snapshot()
    assert one.events == other.events
    assert one.status is not None and other.status is not None
    assert one.status.devices == other.status.devices
    assert one.status.runs[0].budget.remaining_s == pytest.approx(other.status.runs[0].budget.remaining_s)


def test_pausing_takes_a_while_and_a_paused_run_is_not_charged(feed: SimulatedFeed, clock: _Clock) -> None:
    assert feed.pause(JOB_ID).state is JobState.PAUSING
    clock.now += 30.0
    assert _state(feed) is JobState.PAUSED
    run = feed.snapshot().run
    clock.now += 3600.0
    later = feed.snapshot().run
    assert run is not None and later is not None
    assert later.budget == run.budget
    feed.resume(JOB_ID)
    clock.now += 30.0
    assert _state(feed) is JobState.RUNNING


def test_a_checkpoint_is_young_and_an_event(feed: SimulatedFeed) -> None:
    feed.checkpoint(JOB_ID)
    snapshot = feed.snapshot()
    assert snapshot.run is not None and snapshot.run.checkpoint is not None
    assert snapshot.now == snapshot.run.checkpoint.t
    assert snapshot.events[-1].type == "checkpoint"


def test_the_budget_ends_it_with_an_export_and_a_learning_rate_of_zero(feed: SimulatedFeed, clock: _Clock) -> None:
    clock.now += 15 * 3600.0
    run = feed.snapshot().run
    assert run is not None and run.end is not None and run.export is not None
    assert run.state is JobState.DONE
    assert run.end.reason == "budget"
    assert run.end.lr == 0
    assert run.budget.remaining_s == 0


def test_a_stopped_run_ends_before_its_budget(feed: SimulatedFeed, clock: _Clock) -> None:
    feed.stop(JOB_ID)
    clock.now += 60.0
    run = feed.snapshot().run
    assert run is not None and run.end is not None
    assert run.end.reason == "stopped"
    with pytest.raises(TransitionError):
        feed.pause(JOB_ID)


def test_a_submitted_finetuning_waits_in_the_queue_and_can_be_cancelled(feed: SimulatedFeed) -> None:
    job = feed.submit(SubmitFinetune(run="12-academic-large", task="qnli", data_dir="/d"))
    assert job.state is JobState.QUEUED
    assert feed.stop(job.id).state is JobState.CANCELLED
    with pytest.raises(TransitionError):
        feed.stop(job.id)
    with pytest.raises(UnknownJobError):
        feed.stop(999)


@pytest.mark.parametrize("verb", ["resume"])
def test_what_the_state_does_not_allow_is_refused(feed: SimulatedFeed, verb: str) -> None:
    with pytest.raises(TransitionError, match=f"cannot {verb} it"):
        getattr(feed, verb)(JOB_ID)


def test_its_curves_fall_have_a_gap_and_stay_within_their_bounds() -> None:
    columns = curves.series("r", progress=0.417, columns=240).columns
    losses = [y for _, y in columns["loss"] if math.isfinite(y)]
    assert losses[0] > 3 * losses[-1]
    assert any(math.isnan(y) for _, y in columns["loss"])
    assert max(y for _, y in columns["lr"]) <= curves.PEAK_LR
    assert all(x <= 0.417 for points in columns.values() for x, _ in points)


def test_a_hot_pause_keeps_memory_and_devices_and_does_not_save(feed: SimulatedFeed, clock: _Clock) -> None:
    before = feed.snapshot()
    feed.pause(JOB_ID, hot=True)
    clock.now += 30.0
    snapshot = feed.snapshot()
    assert snapshot.run is not None and before.run is not None and snapshot.status is not None
    assert snapshot.run.pause is PauseKind.HOT
    assert snapshot.run.checkpoint == before.run.checkpoint
    assert all((device.memory_used_bytes or 0) > 8 << 30 for device in snapshot.status.devices)
    assert {device.job_id for device in snapshot.status.devices} == {JOB_ID}
    assert feed.resume(JOB_ID).state is JobState.RUNNING


def test_a_paused_run_frees_a_device_for_the_finetunings_one_after_another(feed: SimulatedFeed, clock: _Clock) -> None:
    feed.pause(JOB_ID)
    clock.now += 30.0
    assert _jobs_in(feed, JobState.RUNNING) == [13]
    assert feed.resume(JOB_ID).state is JobState.QUEUED
    clock.now += 900.0
    assert _state(feed) in (JobState.STARTING, JobState.RUNNING)
    assert _jobs_in(feed, JobState.QUEUED) == [14]


def _jobs_in(feed: SimulatedFeed, state: JobState) -> list[int]:
    status = feed.snapshot().status
    assert status is not None
    return [job.id for job in status.jobs if job.state is state and job.id != JOB_ID]
