"""U takes back what the daemon can take back, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bertd.records import JobState
from tests.tui.actions.pilot_actions import dashboard, said
from tests.tui.fake_feed import FakeFeed
from tests.tui.settled import settled
from tui.actions.allowed_actions import Action
from tui.actions.undo import undo_of_action


@pytest.mark.parametrize(
    ("action", "state", "taken_back"),
    [
        (Action.HOLD, JobState.HELD, "release"),
        (Action.RELEASE, JobState.QUEUED, "hold"),
        (Action.PRIORITIZE, JobState.QUEUED, "priority 7"),
        (Action.STOP, JobState.QUEUED, "resume"),
        (Action.STOP, JobState.STOPPING, None),
        (Action.STOP, JobState.CANCELLED, None),
        (Action.PAUSE, JobState.PAUSING, "resume"),
        (Action.PAUSE, JobState.PAUSED, None),
        (Action.CHECKPOINT, JobState.RUNNING, None),
        (Action.RESUME, JobState.QUEUED, None),
    ],
)
def test_the_request_that_takes_it_back(action: Action, state: JobState, taken_back: str | None) -> None:
    feed = FakeFeed()
    before = feed.status.jobs[0].model_copy(update={"priority": 7})
    undo = undo_of_action(action, before.model_copy(update={"state": state}), feed, before=before)
    if undo is not None:
        undo.call()
    assert [verb for verb, _ in feed.asked] == ([] if taken_back is None else [taken_back])


async def test_a_hold_is_taken_back_once() -> None:
    feed = FakeFeed()
    app = dashboard(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("U")
        assert "nothing to take back" in said(app)
        await pilot.press("2", "down")
        await pilot.press("H", "tab", "enter")
        await settled(pilot)
        assert "U takes it back" in said(app)
        await pilot.press("U")
        await settled(pilot)
        verbs = [verb for verb, _ in feed.asked if verb in ("hold", "release")]
        assert verbs == ["hold", "release"]


async def test_nothing_is_taken_back_on_another_machine() -> None:
    feed = FakeFeed()
    app = dashboard(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2", "down", "u")
        await settled(pilot)
        feed.current = replace(feed.current, host="other")
        app.show_newest()
        await pilot.press("U")
        await settled(pilot)
        assert len(feed.asked) == 1
        assert "nothing to take back here" in said(app)
