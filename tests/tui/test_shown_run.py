"""Which run the screen shows: the selected one, else the one that was watched, else the one to look at."""

from __future__ import annotations

import pytest

from bertd.api.models import RunView
from bertd.records import JobState
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import refreshed, screen_lines, screen_text
from tests.tui.settled import settled
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.panels import header
from tui.snapshot import find_shown_run


def _run(number: int, state: JobState, *, has_steps: bool = True) -> RunView:
    run = FakeFeed().status.runs[0]
    return run.model_copy(
        update={
            "id": f"{number}-run",
            "job_id": number,
            "state": state,
            "step": run.step if has_steps else None,
        }
    )


_HELD = _run(9, JobState.HELD, has_steps=False)
_QUEUED = _run(8, JobState.QUEUED, has_steps=False)


@pytest.mark.parametrize("end", [JobState.DONE, JobState.FAILED, JobState.PAUSED])
def test_a_run_that_ends_stays_in_view_with_its_result(end: JobState) -> None:
    status = FakeFeed().status.model_copy(update={"runs": [_HELD, _QUEUED, _run(5, end)]})
    watched = _run(5, JobState.RUNNING)
    shown = find_shown_run(status, None, watched)
    assert shown == _run(5, end)


def test_a_run_that_the_status_no_longer_has_stays_in_view_too() -> None:
    status = FakeFeed().status.model_copy(update={"runs": [_HELD, _run(7, JobState.RUNNING)]})
    assert find_shown_run(status, None, _run(5, JobState.DONE)) == _run(5, JobState.DONE)
    assert find_shown_run(status, "5-run", _run(5, JobState.CANCELLED)) == _run(5, JobState.CANCELLED)


def test_at_first_the_run_that_trains_is_shown_else_the_newest_that_has() -> None:
    status = FakeFeed().status
    trains = _run(5, JobState.RUNNING)
    over = [_run(4, JobState.DONE), _run(3, JobState.FAILED)]
    assert find_shown_run(status.model_copy(update={"runs": [_HELD, trains, *over]}), None, None) == trains
    assert find_shown_run(status.model_copy(update={"runs": [_HELD, _QUEUED, *over]}), None, None) == over[0]
    assert find_shown_run(status.model_copy(update={"runs": [_HELD, _QUEUED]}), None, None) == _HELD


def test_a_run_that_has_not_begun_gives_way_to_one_that_trains() -> None:
    trains = _run(5, JobState.RUNNING)
    status = FakeFeed().status.model_copy(update={"runs": [_HELD, trains]})
    assert find_shown_run(status, None, _HELD) == trains


async def test_enter_in_the_queue_opens_any_run_for_good() -> None:
    feed = FakeFeed()
    old = _run(3, JobState.DONE)
    feed.older_runs = [old]
    job = feed.status.jobs[0]
    feed.older_jobs = [job.model_copy(update={"id": 3, "run_id": "3-run", "state": JobState.DONE, "ended_t": 1.0})]
    counts = {JobState.RUNNING: 1, JobState.DONE: 300}
    feed.current = type(feed.current)(
        now=feed.current.now,
        link=feed.current.link,
        status=feed.status.model_copy(update={"num_jobs_by_state": counts}),
    )
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=(110, 30)) as pilot:
        await pilot.press("2")
        await settled(pilot)
        await refreshed(pilot)
        await pilot.press("end")
        assert any(one.strip().startswith(">") and "#3 " in one for one in screen_lines(app))
        await pilot.press("enter")
        await settled(pilot)
        await refreshed(pilot)
        assert "3-run" in screen_lines(app)[0]
        assert "✓ done" in screen_lines(app)[0]
        await pilot.press("4")
        assert "Log of job 3" in screen_text(app)
        await pilot.press("1", "p")
        await pilot.pause()
        assert "Job 3, academic-large, is done" in screen_text(app)
        feed.set_runs([_run(20, JobState.RUNNING), *feed.status.runs])
        await refreshed(pilot)
        assert "3-run" in screen_lines(app)[0]


async def test_a_run_that_cannot_be_opened_says_why() -> None:
    feed = FakeFeed()
    jobs = [job.model_copy(update={"run_id": "99-deleted"}) for job in feed.status.jobs]
    feed.change_jobs(jobs)
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=(110, 30)) as pilot:
        await pilot.press("2", "enter")
        await settled(pilot)
        assert "99-deleted: no such run" in screen_text(app)


async def test_a_refused_key_does_not_pin_the_view() -> None:
    feed = FakeFeed()
    feed.change_run(state=JobState.DONE)
    feed.change_jobs([job.model_copy(update={"state": JobState.DONE}) for job in feed.status.jobs])
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=(110, 30)) as pilot:
        await pilot.press("p", "P", "c", "S")
        await pilot.pause()
        assert feed.asked == []


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("name", ["1-a", "4-" + "n" * 60])
def test_the_header_never_drops_the_state(width: int, name: str) -> None:
    feed = FakeFeed()
    feed.change_run(id=name)
    for lose in (False, True):
        if lose:
            feed.lose(silent_s=12.0)
        (head,) = header.draw(feed.current, DisplayOptions(), width, 1)
        assert head.width <= width
        assert "running" in head.plain or width < len("? running when last seen")
        assert head.plain.lstrip().startswith(("bertd", name[:3])) or width < 40


def test_the_header_counts_the_runs_that_are_over_too_and_names_the_one_that_trains() -> None:
    feed = FakeFeed()
    jobs = [feed.status.jobs[0].model_copy(update={"id": number}) for number in (12, 13, 14, 15)]
    feed.change_jobs(jobs)
    feed.change_run(state=JobState.DONE)
    feed.set_runs([_run(15, JobState.RUNNING), *feed.status.runs])
    feed.select_run("12-academic-large")
    (head,) = header.draw(feed.current, DisplayOptions(), 140, 1)
    assert "run 4 of 4" in head.plain
    assert "15-run is running" in head.plain
