"""bertd.daemon.lending.lend_decisions: whatever happens in whatever order, the run comes back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertd.daemon.lending.lend_decisions import Borrower, LendStep, decide
from bertd.errors import TransitionError
from bertd.jobs.store.lifecycle import (
    ENDED,
    LIVE,
    Actor,
    JobAction,
    JobChange,
    JobStatus,
    change_at_lending,
    change_at_recall,
    change_at_recovery,
    change_at_return,
    change_at_shutdown,
    change_at_start,
    change_by_action,
    change_by_lost_runner,
    changes_by_outcome,
    check_transition,
)
from bertd.records import CommandKind, JobKind, JobState, LendState


@dataclass
class SimulatedJob:
    """A job by the rules of the lifecycle alone."""

    kind: JobKind
    status: JobStatus
    has_lease: bool = False
    command: CommandKind | None = None
    """Newest in its mailbox."""

    def apply(self, change: JobChange | None, actor: Actor) -> None:
        if change is None:
            return
        state = self.status.state
        if change.state is not None:
            check_transition(1, before=state, after=change.state, actor=actor)
            state = change.state
        wants = self.status.wants_resume if change.wants_resume is None else change.wants_resume
        stop = self.status.stop_asked if change.stop_asked is None else change.stop_asked
        self.command = change.command or self.command
        self._set(JobStatus(state, wants_resume=wants, stop_asked=stop))

    def leave(self, state: JobState, *, is_stopping: bool = False) -> None:
        """Its runner exits with an outcome."""
        self.has_lease = False
        self._set(self.status)
        changes = changes_by_outcome(self.status, state, "", job_id=1, is_stopping=is_stopping)
        for change, actor in zip(changes, (Actor.RUNNER, Actor.SCHEDULER), strict=False):
            self.apply(change, actor)

    def suspend(self) -> None:
        check_transition(1, before=self.status.state, after=JobState.PAUSED, actor=Actor.RUNNER)
        self._set(replace(self.status, state=JobState.PAUSED))

    def _set(self, status: JobStatus) -> None:
        self.status = replace(status, is_hot=status.state is JobState.PAUSED and self.has_lease)

    @property
    def is_live(self) -> bool:
        return self.status.state in LIVE or self.status.is_hot


@dataclass
class World:
    """A run, the jobs of its lend, and the daemon."""

    is_hot: bool
    num_jobs: int
    state: LendState = LendState.PAUSING
    left: set[int] = field(default_factory=set)
    is_touched: bool = False
    """A person has acted on the run, or it has ended."""
    was_trained: bool = False

    def __post_init__(self) -> None:
        self.run = SimulatedJob(JobKind.PRETRAIN, JobStatus(JobState.RUNNING), has_lease=True)
        self.run.apply(change_at_lending(self.run.status, "", hot=self.is_hot), Actor.PERSON)
        self.jobs = {id: SimulatedJob(JobKind.FINETUNE, JobStatus(JobState.QUEUED)) for id in range(self.num_jobs)}

    def tick(self) -> LendStep | None:
        """One round of the scheduler, which also starts what may start."""
        if self.state is LendState.OVER:
            self._start_run()
            return None
        borrowers = [Borrower(id, job.status) for id, job in self.jobs.items() if id not in self.left]
        step = decide(self.state, self.run.status, borrowers, has_trained=self.was_trained or self.is_hot)
        for id in step.leaving:
            if step.recalls:
                self.jobs[id].apply(change_at_recall(self.jobs[id].status, ""), Actor.SCHEDULER)
            self.left.add(id)
        if step.resumes_run:
            assert change_at_return(self.run.status, "") is not None
            self.run.apply(change_at_return(self.run.status, ""), Actor.SCHEDULER)
        if step.state is not self.state:
            self.was_trained = False
        self.state = step.state
        if self.state is LendState.LENT:
            for id, job in self.jobs.items():
                if id not in self.left and job.status.state is JobState.QUEUED:
                    assert not self.run.has_lease or self.run.status.is_hot, "two have the devices"
                    self._start(job)
        elif self.state is LendState.RETURNING:
            self._start_run()
        return step

    def _start_run(self) -> None:
        if self.run.status.state is JobState.QUEUED and not any(job.has_lease for job in self.jobs.values()):
            self._start(self.run)

    def _start(self, job: SimulatedJob) -> None:
        job.apply(change_at_start(""), Actor.SCHEDULER)
        job.has_lease = True

    # ---- What may happen ---------------------------------------------------------------------------

    def happen(self, event: str) -> None:
        """One thing, if it can happen now."""
        who, _, what = event.partition(" ")
        if who == "daemon":
            self._restart()
        elif who == "run":
            self._happen_to_run(what)
        else:
            job = self.jobs.get(int(who))
            if job is not None:
                self._happen_to_job(job, what)

    def _happen_to_run(self, what: str) -> None:
        run = self.run
        if what in ("resume", "stop", "hold"):
            self._act(run, JobAction(what))
        elif what == "works":
            self.work(run)
        elif what == "is refused its pause" and run.status.state is JobState.PAUSING:
            run.apply(JobChange(JobState.RUNNING, "", wants_resume=False), Actor.RUNNER)
        elif what == "ends" and run.is_live:
            self.is_touched = True
            run.leave(JobState.DONE)
        elif what == "fails" and run.is_live:
            self.is_touched = True
            run.leave(JobState.FAILED)
        elif what == "is killed" and run.is_live:
            self._kill(run)

    def _happen_to_job(self, job: SimulatedJob, what: str) -> None:
        if what in ("stop", "hold", "release", "resume"):
            self._act(job, JobAction(what))
        elif what == "works":
            self.work(job)
        elif what == "is killed" and job.is_live:
            self._kill(job)
        elif what == "fails" and job.is_live:
            job.leave(JobState.FAILED)

    def work(self, job: SimulatedJob) -> None:
        """What it would do next by itself."""
        state = job.status.state
        if state is JobState.STARTING:
            job.apply(JobChange(JobState.RUNNING, ""), Actor.RUNNER)
        elif state is JobState.PAUSING and job.command is CommandKind.SUSPEND and job.kind is JobKind.PRETRAIN:
            job.suspend()
        elif state is JobState.PAUSING:
            job.leave(JobState.PAUSED)
        elif state is JobState.STOPPING:
            job.leave(JobState.DONE if job.kind is JobKind.PRETRAIN else JobState.CANCELLED)
        elif job.status.is_hot and job.status.wants_resume:
            job.apply(JobChange(JobState.RUNNING, "", wants_resume=False), Actor.RUNNER)
        elif state is JobState.RUNNING and (job.kind is JobKind.FINETUNE or job.status.stop_asked):
            job.leave(JobState.DONE)
        elif state is JobState.RUNNING:
            self.was_trained = True

    def _kill(self, job: SimulatedJob) -> None:
        change = change_by_lost_runner(job.status, job_id=1, kind=job.kind, reason_to_give_up=None)
        job.has_lease = False
        job.apply(change, Actor.SCHEDULER)

    def _act(self, job: SimulatedJob, action: JobAction) -> None:
        try:
            change = change_by_action(
                action, job.status, job_id=1, kind=job.kind, has_begun=True, has_trained=job.kind is JobKind.PRETRAIN
            )
        except TransitionError:
            return
        self.is_touched |= job is self.run
        job.apply(change, Actor.PERSON)

    def _restart(self) -> None:
        """The daemon ends, each job saves, and the next daemon begins."""
        for job in (self.run, *self.jobs.values()):
            if job.is_live:
                job.apply(change_at_shutdown(job.status), Actor.SCHEDULER)
            if job.is_live:
                stops = job.status.state is JobState.STOPPING
                job.leave(JobState.DONE if stops else JobState.PAUSED, is_stopping=True)
        for job in (self.run, *self.jobs.values()):
            job.apply(change_at_recovery(job.status), Actor.SCHEDULER)

    def settle(self) -> None:
        """Nothing happens any more but what each does by itself."""
        for _ in range(40):
            self.tick()
            for job in (self.run, *self.jobs.values()):
                self.work(job)


OF_RUN = ("works", "is killed", "is refused its pause", "ends", "fails", "resume", "stop", "hold")
OF_JOB = ("works", "is killed", "fails", "stop", "hold", "release", "resume")
EVENTS = st.sampled_from(
    ["tick"] * 8
    + ["daemon restarts"]
    + [f"run {what}" for what in OF_RUN]
    + [f"{id} {what}" for id in range(2) for what in OF_JOB]
)
WITHOUT_PEOPLE = st.sampled_from(
    ["tick"] * 6
    + ["daemon restarts", "run works", "run is killed", "run is refused its pause"]
    + [f"{id} {what}" for id in range(2) for what in OF_JOB]
)


def play(world: World, events: list[str]) -> None:
    for event in events:
        if event == "tick":
            world.tick()
        else:
            world.happen(event)


@settings(max_examples=600)
@given(st.booleans(), st.integers(1, 2), st.lists(EVENTS, max_size=40))
def test_no_order_of_events_has_two_on_the_devices_or_leaves_a_lend_open(
    is_hot: bool, num_jobs: int, events: list[str]
) -> None:
    world = World(is_hot, num_jobs)
    play(world, events)
    world.settle()
    assert world.state is LendState.OVER, (world.run.status, [job.status for job in world.jobs.values()])
    assert world.run.status.state in ENDED | {JobState.RUNNING, JobState.PAUSED, JobState.HELD}
    if world.run.status.stop_asked:
        assert world.run.status.state in ENDED | {JobState.HELD, JobState.PAUSED}


@settings(max_examples=600)
@given(st.booleans(), st.integers(1, 2), st.lists(WITHOUT_PEOPLE, max_size=40))
def test_a_run_that_nobody_touches_trains_again_whatever_dies(is_hot: bool, num_jobs: int, events: list[str]) -> None:
    world = World(is_hot, num_jobs)
    play(world, events)
    world.settle()
    assert world.state is LendState.OVER
    assert world.run.status.state is JobState.RUNNING


def test_the_plain_order() -> None:
    world = World(is_hot=False, num_jobs=1)
    assert world.tick() == LendStep(LendState.PAUSING, "the run is paused")
    world.happen("run works")
    world.tick()
    assert (world.state, world.jobs[0].status.state) == (LendState.LENT, JobState.STARTING)
    world.settle()
    assert world.run.status.state is JobState.RUNNING


@pytest.mark.parametrize("what", ["hold", "stop"])
def test_a_job_that_a_person_holds_or_ends_keeps_the_run_no_longer(what: str) -> None:
    world = World(is_hot=False, num_jobs=1)
    world.happen(f"0 {what}")
    world.settle()
    assert world.run.status.state is JobState.RUNNING


def test_a_job_for_which_the_lent_devices_do_not_suffice_any_more_leaves() -> None:
    queued = Borrower(1, JobStatus(JobState.QUEUED), can_start=False)
    step = decide(LendState.LENT, JobStatus(JobState.PAUSED), [queued])
    assert (step.state, step.leaving, step.resumes_run) == (LendState.RETURNING, frozenset({1}), True)


def test_a_run_outside_of_its_hours_gives_its_devices_to_others() -> None:
    assert decide(LendState.RETURNING, JobStatus(JobState.QUEUED), [], may_run=False).state is LendState.OVER


def test_jobs_keep_the_devices_of_a_run_that_has_ended_meanwhile() -> None:
    job = Borrower(1, JobStatus(JobState.QUEUED))
    assert decide(LendState.PAUSING, JobStatus(JobState.DONE), [job]).state is LendState.LENT
    assert decide(LendState.LENT, JobStatus(JobState.DONE), []).state is LendState.OVER


def test_a_person_who_resumes_the_run_recalls_its_devices_at_once() -> None:
    job = Borrower(1, JobStatus(JobState.RUNNING))
    for run in (JobStatus(JobState.QUEUED), JobStatus(JobState.PAUSED, is_hot=True, wants_resume=True)):
        step = decide(LendState.LENT, run, [job])
        assert (step.state, step.leaving, step.recalls) == (LendState.RETURNING, frozenset({1}), True)


def test_a_job_that_the_end_of_the_daemon_paused_keeps_the_lend() -> None:
    job = Borrower(1, JobStatus(JobState.PAUSED, wants_resume=True))
    assert decide(LendState.LENT, JobStatus(JobState.PAUSED), [job]).leaving == frozenset()


def test_a_run_that_could_not_be_paused_ends_the_lend_and_its_job_stays_in_the_queue() -> None:
    step = decide(LendState.PAUSING, JobStatus(JobState.RUNNING), [Borrower(1, JobStatus(JobState.QUEUED))])
    assert (step.state, step.leaving, step.recalls) == (LendState.OVER, frozenset({1}), False)
