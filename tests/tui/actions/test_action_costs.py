"""What an action costs is shown before it is done, from what the run measured."""

from __future__ import annotations

import pytest

from bertd.errors import DaemonBusyError
from bertd.records import JobState, PauseKind
from tests.tui.actions.pilot_actions import dashboard, said
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import screen_text
from tests.tui.settled import settled
from tui.actions.action_costs import CostRow, checkpoint_costs, pause_costs, resume_costs, stop_costs
from tui.widgets.cost_table import CostTable


def _texts(rows: list[CostRow]) -> dict[str, str]:
    return {row.label: row.text for row in rows}


def test_a_pause_costs_the_save_and_the_start_that_the_run_measured() -> None:
    feed = FakeFeed()
    run, job = feed.status.runs[0], feed.status.jobs[0]
    assert run.checkpoint is not None and run.startup is not None and run.budget.remaining_s is not None
    texts = _texts(pause_costs(job, run))
    total_s = run.checkpoint.seconds + run.startup.total_s
    assert texts["charged"].startswith("about 2.1 s to save and 38.2 s to start again, as measured")
    assert f"{total_s / run.budget.remaining_s:.2%}".replace("%", " %") in texts["charged"]
    assert texts["frees"] == "8 devices"


def test_what_was_not_measured_is_unknown_and_gives_no_share() -> None:
    feed = FakeFeed()
    run = feed.status.runs[0].model_copy(update={"startup": None})
    job = feed.status.jobs[0]
    text = _texts(pause_costs(job, run))["charged"]
    assert "an unknown time to start again" in text and "%" not in text
    text = _texts(pause_costs(job, run.model_copy(update={"checkpoint": None})))["charged"]
    assert text == "unknown: this run has not measured yet how long it takes to save and to start again"
    assert _texts(pause_costs(job, None))["charged"].startswith("unknown")


def test_a_hot_pause_has_saved_already_what_its_resume_needs() -> None:
    feed = FakeFeed()
    run = feed.status.runs[0]
    hot = feed.status.jobs[0].model_copy(update={"state": JobState.PAUSED, "pause": PauseKind.HOT})
    assert "nothing" in _texts(resume_costs(hot, run, feed.status))["charged"]
    assert "to save" not in _texts(pause_costs(hot, run))["charged"]


def test_a_resume_says_how_many_devices_are_free() -> None:
    feed = FakeFeed()
    paused = feed.status.jobs[0].model_copy(update={"state": JobState.PAUSED, "pause": PauseKind.COLD, "devices": []})
    assert _texts(resume_costs(paused, feed.status.runs[0], feed.status))["takes"] == (
        "8 devices; 0 free now, so it waits in the queue"
    )


def test_a_checkpoint_costs_its_stall_and_a_stop_what_is_left() -> None:
    feed = FakeFeed()
    run, job = feed.status.runs[0], feed.status.jobs[0]
    assert "0.2 s" in _texts(checkpoint_costs(run))["charged"]
    texts = _texts(stop_costs(job, run))
    assert "to validate" in texts["charged"] and "to export" in texts["charged"]
    assert texts["gives up"].endswith("of training")


@pytest.mark.parametrize("key", ["p", "S"])
async def test_the_dialog_names_the_jobs_that_would_start(key: str) -> None:
    app = dashboard(FakeFeed())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(key)
        await settled(pilot)
        assert "#13 cola, #14 mrpc, which wait" in screen_text(app)


async def test_a_daemon_that_does_not_say_what_would_start_leaves_the_dialog_usable() -> None:
    feed = FakeFeed()
    feed.refusal = DaemonBusyError("busy")
    app = dashboard(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("p")
        await settled(pilot)
        assert app.screen.query_one(CostTable).rows[-1] == CostRow("starts", "not known: busy")
        feed.refusal = None
        await pilot.press("tab", "enter")
        await settled(pilot)
        assert ("pause", 12) in feed.asked
        assert "as requested" in said(app)
