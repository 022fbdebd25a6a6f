"""The dashboard with a real daemon, queue and runners; only the ranks are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan
from tests.tui.screen_text import refreshed, screen_lines, screen_text
from tests.tui.settled import settled
from tests.waiting import PATIENCE_S
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.feed import SocketFeed
from tui.plain_output import render_page
from tui.screens.confirm import ConfirmDialog
from tui.snapshot import LinkState, Snapshot


@pytest.fixture
def box(tmp_path: Path) -> Iterator[DaemonBox]:
    box = DaemonBox(tmp_path)
    box.plan(Plan(step_s=0.02, checkpoint_every=1000))
    box.start()
    yield box
    box.clean_up()


async def _until(feed: SocketFeed, condition: Callable[[Snapshot], bool]) -> Snapshot:
    found = await asyncio.to_thread(feed.wait_until, condition, timeout_s=PATIENCE_S)
    assert found, f"{feed.snapshot().link}: {feed.snapshot().job}"
    return feed.snapshot()


def _is_in(state: JobState) -> Callable[[Snapshot], bool]:
    return lambda snapshot: snapshot.run is not None and snapshot.run.state is state and snapshot.run.step is not None


async def _choose(app: Dashboard, pilot: Pilot[None], key: str) -> None:
    """Press the key of an action and confirm it."""
    await pilot.press(key)
    assert isinstance(app.screen, ConfirmDialog), app._message
    await pilot.press("tab", "enter")


async def test_a_run_is_shown_paused_resumed_lost_found_and_stopped(box: DaemonBox) -> None:
    feed = SocketFeed(box.socket)
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=(120, 40)) as pilot:
        await _until(feed, lambda snapshot: snapshot.status is not None)
        await refreshed(pilot)
        assert "No run yet." in screen_text(app)

        job = box.submit(steps=100_000)
        running = await _until(feed, _is_in(JobState.RUNNING))
        await refreshed(pilot)
        assert "● running" in screen_lines(app)[0]
        assert "of 100,000 steps" in screen_text(app)
        assert running.run is not None and f"#{job.id}" in screen_text(app)
        assert render_page(running, DisplayOptions(), 120).startswith(f"bertd  {running.run.id}  ● running")

        await _choose(app, pilot, "c")
        await _until(feed, lambda snapshot: any(event.type == "checkpoint" for event in snapshot.events))
        await _choose(app, pilot, "p")
        await _until(feed, _is_in(JobState.PAUSED))
        await refreshed(pilot)
        assert "‖ paused" in screen_lines(app)[0]
        await _choose(app, pilot, "p")
        await _until(feed, _is_in(JobState.RUNNING))

        last_id = feed.snapshot().events[-1].id
        box.kill()
        await _until(feed, lambda snapshot: snapshot.link.state is LinkState.LOST)
        await refreshed(pilot)
        assert "daemon lost" in screen_lines(app)[0]
        box.start()
        await _until(feed, lambda snapshot: snapshot.link.is_fresh and _is_in(JobState.RUNNING)(snapshot))
        await refreshed(pilot)
        assert "● live" in screen_lines(app)[0]

        await pilot.press("S")
        app.screen.query_one(Input).value = running.run.name
        await pilot.press("enter")
        over = await _until(feed, _is_in(JobState.DONE))
        await refreshed(pilot)
        assert "ended: stopped" in screen_text(app)
    ids = [event.id for event in over.events]
    assert ids == sorted(set(ids))
    assert any(event.id > last_id for event in over.events)


async def test_a_refusal_of_the_daemon_is_shown(box: DaemonBox) -> None:
    feed = SocketFeed(box.socket)
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=(120, 40)) as pilot:
        job = box.submit(steps=100_000)
        await _until(feed, _is_in(JobState.RUNNING))
        await refreshed(pilot)
        app._send_request("release", lambda: feed.release(job.id))
        await settled(pilot)
        assert f"release: job {job.id}: cannot release while it is running" in screen_text(app)
        await pilot.press("f")
        await pilot.pause()
        assert "has no export yet" in screen_text(app)
