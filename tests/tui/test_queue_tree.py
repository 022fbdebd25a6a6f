"""The queue as a tree, and the keys that move and clone."""

from __future__ import annotations

from bertd.api.models import DependencyView, JobView
from bertd.errors import TransitionError
from bertd.records import DependencyCondition, DependencyState, JobKind, JobState
from tests.cli import samples
from tests.tui.fake_feed import NOW, FakeFeed
from tests.tui.screen_text import screen_lines, screen_text
from tests.tui.settled import eventually, settled
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.panels.queue import urgency
from tui.queue_tree import build_tree

SIZE = (120, 32)


def _job(id: int, *, state: JobState = JobState.QUEUED, kind: JobKind = JobKind.FINETUNE, run: str = "") -> JobView:
    changes: dict[str, object] = {"kind": kind, "run_id": run, "after": [], "position": None, "priority": 0}
    return samples.job(id, state=state, kind=kind).model_copy(update=changes)


def _waiting(job: JobView, on: int, *, is_met: bool = False) -> JobView:
    dependency = DependencyView(
        job_id=on,
        name="other",
        condition=DependencyCondition.DONE,
        marker=None,
        state=DependencyState.WAITING,
        is_met=is_met,
    )
    return job.model_copy(update={"after": [dependency]})


def _rows(*jobs: JobView, details: tuple[JobView, ...] = ()) -> list[tuple[int, int]]:
    tree = build_tree(jobs, [], {job.id: job for job in details}, urgency=urgency)
    return [(node.id, node.depth) for node in tree]


def test_finetunings_are_below_their_run_and_jobs_below_what_they_wait_for() -> None:
    run = _job(1, state=JobState.RUNNING, kind=JobKind.PRETRAIN, run="1-a")
    first, second, other = _job(2, run="1-a"), _job(3, run="1-a"), _job(4, run="gone")
    rows = _rows(other, second, first, run, details=(_waiting(second, 2),))
    assert rows == [(1, 0), (2, 1), (3, 2), (4, 0)]
    assert _rows(run, first, second, details=(_waiting(second, 2, is_met=True),)) == [(1, 0), (2, 1), (3, 1)]


def test_a_run_that_is_over_is_as_urgent_as_the_job_that_waits_below_it() -> None:
    old = _job(1, state=JobState.DONE, kind=JobKind.PRETRAIN, run="1-old").model_copy(update={"ended_t": 2.0})
    failed = _job(2, state=JobState.FAILED, kind=JobKind.COMMAND)
    assert _rows(failed, old, _job(3, run="1-old")) == [(1, 0), (3, 1), (2, 0)]


def test_no_job_is_lost_where_rows_would_be_above_each_other() -> None:
    finetune = _job(1, run="2-b")
    run = _job(2, kind=JobKind.PRETRAIN, run="2-b")
    assert sorted(id for id, _ in _rows(finetune, run, details=(_waiting(run, 1),))) == [1, 2]


def test_a_chain_of_thousands_of_jobs_is_a_tree() -> None:
    jobs = [_job(id) for id in range(1, 3001)]
    rows = _rows(*jobs, details=tuple(_waiting(job, job.id - 1) for job in jobs[1:]))
    assert rows == [(id, id - 1) for id in range(1, 3001)]


def test_queued_jobs_are_in_the_order_of_their_positions() -> None:
    jobs = [_job(id).model_copy(update={"position": position}) for id, position in ((5, 3), (6, 1), (7, 2))]
    assert [id for id, _ in _rows(*jobs)] == [6, 7, 5]


async def test_sweeps_have_a_row_above_their_runs_and_waiting_jobs_say_what_they_wait_for() -> None:
    feed = FakeFeed()
    ids = [setting.job_id for setting in samples.sweep().settings if setting.job_id is not None]
    jobs = [*feed.status.jobs, *(_job(id, state=JobState.DONE, kind=JobKind.PRETRAIN, run=f"{id}-r") for id in ids)]
    feed.change_jobs([job for job in jobs if job.id not in ids or job.kind is JobKind.PRETRAIN])
    feed.known_sweeps = [samples.sweep()]
    feed.details[14] = _waiting(feed.demo.job(14), 13)
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await settled(pilot)
        lines = screen_lines(app)
        at = next(number for number, line in enumerate(lines) if "sweep rates" in line)
        assert "3 settings" in lines[at] and "└" in lines[at + 1]
        await pilot.press("down", "down")
        await settled(pilot)
        assert await eventually(pilot, "job 13, other, done (waiting)") and "Job 14" in screen_text(app)


async def test_expected_times_have_a_column_where_there_is_room() -> None:
    feed = FakeFeed()
    job = feed.status.jobs[3].model_copy(update={"expected_start_t": NOW + 7200})
    feed.change_jobs([job if each.id == job.id else each for each in feed.status.jobs])
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await settled(pilot)
        assert "starts 14:13" in screen_text(app)


async def test_k_and_j_move_a_queued_job_and_c_clones_it() -> None:
    feed = FakeFeed()
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2", "down", "J")
        await settled(pilot)
        assert feed.asked == [("move after", (13, 14))]
        await pilot.press("K")
        await settled(pilot)
        assert "is first already" in screen_lines(app)[-1]
        await pilot.press("C", "tab", "enter")
        await settled(pilot)
        assert feed.asked[1:] == [("clone", 13)]
        await pilot.press("home", "J")
        await settled(pilot)
        assert "only a queued job can be moved" in screen_lines(app)[-1]


async def test_a_refused_move_says_why() -> None:
    feed = FakeFeed()
    feed.refusal = TransitionError("job 13 is running: it cannot be moved")
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2", "down", "J")
        await settled(pilot)
        assert "job 13 is running" in screen_lines(app)[-1]
