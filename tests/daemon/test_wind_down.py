"""The end of a daemon at any moment: under the next one each run continues, or stays as the last command left it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bertd.daemon.scheduling import scheduler
from bertd.errors import RunFolderError, StorageError
from bertd.jobs.store.lifecycle import JobAction
from bertd.jobs.store.queue import Job
from bertd.records import (
    BudgetRecord,
    BudgetRequest,
    BudgetUnit,
    Command,
    CommandKind,
    CommandRecord,
    JobState,
    StepRecord,
)
from bertd.run.journal import read_journal
from bertd.run.mailbox import commands_after, post
from bertd.run.paths import RunPaths, StatePaths
from tests.faults.simulated import CORES, STEPS, SimulatedDaemon, SimulatedRunner
from tests.run.data_sets import write_manifest


class Box:
    """A daemon in this process that can be replaced."""

    def __init__(self, folder: Path) -> None:
        self.shards = folder / "shards"
        self.shards.mkdir()
        write_manifest(self.shards)
        self.paths = StatePaths(folder / "state")
        self.paths.root.mkdir()
        self.machine: dict[Path, SimulatedRunner] = {}
        self.begin()

    def begin(self) -> None:
        self.daemon = SimulatedDaemon(self.paths, self.machine)
        self.daemon.scheduler.recover_jobs()

    def kill(self) -> None:
        self.daemon.die()
        self.begin()

    def submit(self, *, count: int = 1, priority: int = 0) -> int:
        number = self.daemon.submit(self.shards, count=count, priority=priority, hold=False)
        self.tick()
        return number

    def tick(self) -> None:
        while self.daemon.scheduler.tick():
            pass

    def turn(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            for runner in self.machine.values():
                if runner.is_alive:
                    runner.act()
            self.tick()

    def job(self, number: int) -> Job:
        return self.daemon.queue.get(number)

    def runner(self, number: int) -> SimulatedRunner:
        return self.machine[Path(self.job(number).folder)]

    def ask(self, order: JobAction, number: int, *, hot: bool = False) -> None:
        self.daemon.job_actions.apply(order, self.job(number), asked_by="a test", now=1.0, hot=hot)

    def set_budget(self, number: int, amount: int) -> None:
        order = BudgetRequest(unit=BudgetUnit.STEPS, amount=amount)
        self.daemon.budget_changes.change(order, self.job(number), asked_by="a test", now=1.0)

    def held(self) -> int:
        """A run that is paused hot after a few steps."""
        number = self.submit()
        self.turn(3)
        self.ask(JobAction.PAUSE, number, hot=True)
        self.turn()
        assert self.job(number).is_hot
        return number


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.daemon.die()


def test_a_held_run_is_saved_when_the_daemon_ends_and_stays_paused(box: Box) -> None:
    number = box.held()
    box.daemon.scheduler.prepare_shutdown()
    assert box.job(number).state is JobState.PAUSING
    box.turn()
    job = box.job(number)
    assert (job.state, job.is_hot, box.daemon.queue.live()) == (JobState.PAUSED, False, [])
    box.kill()
    box.turn()
    assert box.job(number).state is JobState.PAUSED
    box.ask(JobAction.RESUME, number)
    box.turn(2 * STEPS)
    assert box.job(number).state is JobState.DONE


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_a_held_run_that_was_let_go_when_the_daemon_ended_goes_on(box: Box, rounds: int) -> None:
    number = box.held()
    box.ask(JobAction.RESUME, number)
    box.daemon.scheduler.prepare_shutdown()
    box.turn(rounds)
    box.kill()
    box.turn(2 * STEPS)
    assert box.job(number).state is JobState.DONE


def test_a_held_run_that_was_let_go_as_its_ranks_died_goes_on(box: Box) -> None:
    number = box.held()
    box.ask(JobAction.RESUME, number)
    box.runner(number).kill(tears=False)
    box.turn(2 * STEPS)
    assert box.job(number).state is JobState.DONE


def test_what_ran_gets_its_devices_back_before_what_waited_behind_it(box: Box) -> None:
    first, second = box.submit(count=CORES), box.submit(count=CORES)
    box.turn(3)
    box.daemon.scheduler.prepare_shutdown()
    box.turn()
    box.kill()
    assert (box.job(first).state, box.job(second).state) == (JobState.STARTING, JobState.QUEUED)


def test_a_pause_that_the_disk_refuses_leaves_a_run_that_can_be_asked_again(box: Box) -> None:
    number = box.submit()
    box.turn(2)
    box.runner(number).is_disk_full = True
    box.ask(JobAction.PAUSE, number)
    box.turn()
    assert box.job(number).state is JobState.RUNNING
    assert "continues to train, since it cannot be paused" in box.job(number).reason
    box.runner(number).is_disk_full = False
    box.ask(JobAction.PAUSE, number)
    box.turn()
    assert box.job(number).state is JobState.PAUSED


def test_what_is_no_command_is_refused_and_the_command_after_it_is_heard(box: Box) -> None:
    number = box.submit()
    box.turn(2)
    control = RunPaths(Path(box.job(number).folder)).control
    control.mkdir(exist_ok=True)
    (control / "000001.json").write_text("?")
    box.ask(JobAction.PAUSE, number)
    box.turn(2)
    assert box.job(number).state is JobState.PAUSED
    answers = [record for record in read_journal(control.parent / "journal.jsonl") if isinstance(record, CommandRecord)]
    assert [(answer.number, answer.outcome) for answer in answers] == [(1, "refused"), (2, "done")]


def test_a_budget_that_is_refused_for_the_ledger_is_not_obeyed_later(box: Box) -> None:
    number = box.submit()
    box.turn(2)
    box.ask(JobAction.PAUSE, number)
    box.turn()
    paths = RunPaths(Path(box.job(number).folder))
    paths.ledger.write_text("?")
    paths.journal.unlink()
    with pytest.raises(RunFolderError, match="does not say what was charged"):
        box.set_budget(number, STEPS + 1)
    assert [command.verb for command in commands_after(paths.control, number=0)] == [CommandKind.PAUSE]


def test_a_run_that_had_ended_when_its_runner_was_killed_is_done_and_not_done_again(box: Box) -> None:
    number = box.submit()
    box.runner(number).loses_outcome = True
    box.turn(2 * STEPS)
    job = box.job(number)
    assert (job.state, job.reason) == (JobState.DONE, "the budget is spent")


def test_a_run_whose_mailbox_refuses_does_not_keep_the_others_from_being_saved(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = box.submit(), box.submit()
    box.turn(2)
    control = RunPaths(Path(box.job(first).folder)).control

    def refuse(place: Path, *, verb: CommandKind, asked_by: str, now: float) -> Command:
        if place == control:
            raise StorageError("no space")
        return post(place, verb=verb, asked_by=asked_by, now=now)

    monkeypatch.setattr(scheduler, "post", refuse)
    box.daemon.scheduler.prepare_shutdown()
    box.turn()
    assert (box.job(first).state, box.job(second).state) == (JobState.RUNNING, JobState.PAUSED)


# ---- kill -9 in every moment ---------------------------------------------------------------------------

_TOTAL = 9


def _story(box: Box) -> list[Callable[[], None]]:
    number = box.submit()
    return [
        lambda: box.turn(2),
        lambda: box.ask(JobAction.PAUSE, number, hot=True),
        box.runner(number).act,
        box.tick,
        lambda: box.set_budget(number, _TOTAL),
        box.runner(number).act,
        box.tick,
        lambda: box.ask(JobAction.RESUME, number),
        box.runner(number).act,
        box.tick,
        box.runner(number).act,
        lambda: box.ask(JobAction.PAUSE, number, hot=True),
        lambda: box.ask(JobAction.RESUME, number),
        box.runner(number).act,
        box.tick,
        box.runner(number).act,
        box.tick,
    ]


@pytest.mark.parametrize("killed_at", range(18))
def test_a_daemon_killed_in_a_hot_pause_or_a_budget_change_forgets_nothing_and_repeats_nothing(
    box: Box, killed_at: int
) -> None:
    for place, act in enumerate(_story(box)):
        if place == killed_at:
            box.kill()
        act()
    box.turn(3 * STEPS)
    assert box.job(1).state is JobState.DONE
    records = read_journal(RunPaths(Path(box.job(1).folder)).journal)
    assert [record.step for record in records if isinstance(record, StepRecord)] == list(range(1, _TOTAL + 1))
    assert [record.after for record in records if isinstance(record, BudgetRecord)] == [_TOTAL]
    answers = [record.verb for record in records if isinstance(record, CommandRecord)]
    assert answers == [
        CommandKind.SUSPEND,
        CommandKind.BUDGET,
        CommandKind.RESUME,
        CommandKind.SUSPEND,
        CommandKind.RESUME,
    ]
