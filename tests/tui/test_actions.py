"""Keys and command palette act on the shown run and report the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bertd.api.models import SubmitFinetune
from bertd.errors import TransitionError
from bertd.records import JobState, PauseKind
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import refreshed, screen_lines, screen_text
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.keys import APP_KEYS, JOB_KEYS, QUEUE_KEYS, VIEW_KEYS
from tui.screens.finetune import FinetuneForm
from tui.screens.help import HelpScreen
from tui.screens.stop import StopDialog

SIZE = (120, 40)


def _dashboard(feed: FakeFeed, *, is_readonly: bool = False) -> Dashboard:
    return Dashboard(feed, options=DisplayOptions(is_readonly=is_readonly))


async def _settled(pilot: Pilot[None]) -> None:
    """Wait until the request of a key has been answered."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def _said(app: Dashboard) -> str:
    return "\n".join(notification.message for notification in app._notifications)


@pytest.mark.parametrize(
    ("state", "key", "verb"),
    [
        (JobState.RUNNING, "p", "pause"),
        (JobState.RUNNING, "P", "pause hot"),
        (JobState.PAUSED, "p", "resume"),
        (JobState.RUNNING, "c", "checkpoint"),
    ],
)
async def test_a_key_sends_a_request_and_shows_the_response(state: JobState, key: str, verb: str) -> None:
    feed = FakeFeed()
    feed.change_run(state=state)
    feed.change_jobs([job.model_copy(update={"state": state}) for job in feed.status.jobs[:1]])
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(key)
        await _settled(pilot)
        assert [asked for asked in feed.asked if asked[0] != "choose"] == [(verb, 12)]
        assert _said(app) == f"academic-large: {verb}: running, as requested"


@pytest.mark.parametrize("key", ["p", "P"])
async def test_a_run_that_was_paused_here_stays_in_view_so_that_p_resumes_it(key: str) -> None:
    feed = FakeFeed()
    first = feed.status.runs[0]
    assert feed.current.run == first
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(key)
        await _settled(pilot)
        later = first.model_copy(update={"id": "99-later", "job_id": 99})
        feed.set_runs([later, first.model_copy(update={"state": JobState.PAUSED}), *feed.status.runs[1:]])
        assert feed.current.run is not None
        assert feed.current.run.id == first.id


def test_a_suspended_run_is_shown_before_a_waiting_one() -> None:
    feed = FakeFeed()
    hot = feed.status.runs[0].model_copy(update={"state": JobState.PAUSED, "pause": PauseKind.HOT})
    waiting = hot.model_copy(update={"id": "99-later", "state": JobState.HELD, "pause": None})
    feed.set_runs([waiting, hot])
    assert feed.current.run == hot


async def test_a_refusal_is_shown_in_the_daemons_words() -> None:
    feed = FakeFeed()
    feed.refusal = TransitionError("job 12 is stopping: cannot pause it")
    app = _dashboard(feed)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await pilot.press("p")
        await _settled(pilot)
        assert _said(app) == "academic-large: pause: job 12 is stopping: cannot pause it"
        assert "job 12 is stopping: cannot" in screen_text(app)


async def test_a_readonly_view_sends_no_request() -> None:
    feed = FakeFeed()
    app = _dashboard(feed, is_readonly=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("p", "c", "f", "S")
        await _settled(pilot)
        assert feed.asked == []
        assert app.screen is app.screen_stack[0]
        assert "read-only" in _said(app)
        assert "p pause" not in screen_lines(app)[-1]


async def test_without_a_run_a_key_says_so() -> None:
    feed = FakeFeed()
    feed.set_runs([])
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("c")
        await _settled(pilot)
        assert feed.asked == []
        assert _said(app) == "There is no job to act on."


async def test_stop_needs_the_runs_name() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("S")
        assert isinstance(app.screen, StopDialog)
        await pilot.press("y", "enter")
        await _settled(pilot)
        assert feed.asked == []
        assert "That is not academic-large." in screen_text(app)
        app.screen.query_one(Input).value = "academic-large"
        await pilot.press("enter")
        await _settled(pilot)
        assert feed.asked == [("stop", 12)]


async def test_escape_keeps_the_run_running() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("S", "escape")
        await _settled(pilot)
        assert feed.asked == []
        assert app.screen is app.screen_stack[0]


async def _fill(pilot: Pilot[None], **values: str) -> None:
    for field, value in values.items():
        pilot.app.screen.query_one(f"#{field}", Input).value = value
    await pilot.press("enter")
    await _settled(pilot)


async def test_the_form_queues_a_finetuning(tmp_path: Path) -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        assert isinstance(app.screen, FinetuneForm)
        assert "from the export of step 4,800" in screen_text(app)
        await _fill(pilot, task="mrpc", data=str(tmp_path), lr="3e-5", epochs="4")
        expected = SubmitFinetune(run="12-academic-large", task="mrpc", data_dir=str(tmp_path), lr=3e-5, epochs=4)
        assert feed.asked == [("submit", expected)]


async def test_a_relative_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        await _fill(pilot, data="CoLA")
        (_, job) = feed.asked[0]
        assert isinstance(job, SubmitFinetune)
        assert job.data_dir == str(tmp_path / "CoLA")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "Enter the data folder"),
        ({"data": "/d", "lr": "fast"}, "Learning rate: a number"),
        ({"data": "/d", "epochs": "2.5"}, "Epochs: a whole number"),
        ({"data": "/d", "lr": "nan"}, "between 0 and 1"),
        ({"data": "/d", "lr": "7"}, "between 0 and 1"),
        ({"data": "/d", "epochs": "0"}, "at least 1"),
        ({"data": "/d", "task": " "}, "Enter a task"),
    ],
)
async def test_an_invalid_value_is_reported_in_the_form(values: dict[str, str], problem: str) -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        await _fill(pilot, **values)
        assert isinstance(app.screen, FinetuneForm)
        assert problem in screen_text(app)
        assert feed.asked == []


@pytest.mark.parametrize("size", [(60, 20), (80, 24)])
@pytest.mark.parametrize("key", ["f", "S", "question_mark"])
async def test_dialogs_fit_a_small_terminal(size: tuple[int, int], key: str) -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=size) as pilot:
        await pilot.press(key)
        await pilot.pause()
        dialog = app.screen.query_one(".dialog")
        assert dialog.region.height <= size[1]
        assert dialog.virtual_size.height <= dialog.container_size.height or key == "question_mark"


async def test_help_names_every_key_there_is() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        text = screen_text(app)
    for key in [*JOB_KEYS, *QUEUE_KEYS, *VIEW_KEYS, *APP_KEYS]:
        assert f"{key.display_label:>8}   {key.meaning}" in text


async def test_the_palette_holds_every_action() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert {"Pause or resume", "Checkpoint", "Finetune", "Stop", "Help", "Quit", "Log"} <= _palette(app)
        assert "Hold" not in _palette(app)
        await pilot.press("2")
        await pilot.pause()
        assert {"Hold", "Release"} <= _palette(app)


def _palette(app: Dashboard) -> set[str]:
    return {command.title for command in app.get_system_commands(app.screen)}


async def test_the_palette_acts() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+p")
        await pilot.press(*"checkpoint")
        await pilot.pause(0.3)
        await pilot.press("enter", "enter")
        await _settled(pilot)
        assert feed.asked == [("checkpoint", 12)]


async def test_n_shows_the_next_run_and_keys_act_on_it() -> None:
    feed = FakeFeed()
    other = feed.status.runs[0].model_copy(update={"id": "9-older", "job_id": 9, "name": "older"})
    feed.set_runs([feed.status.runs[0], other])
    feed.change_jobs([*feed.status.jobs, feed.status.jobs[0].model_copy(update={"id": 9})])
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        assert "run 1 of 2" in screen_lines(app)[0]
        assert "n next run" in screen_lines(app)[-1]
        await pilot.press("n")
        await pilot.pause()
        assert "9-older" in screen_lines(app)[0]
        await pilot.press("p")
        await _settled(pilot)
        assert feed.asked == [("choose", "9-older"), ("pause", 9)]


async def test_a_run_at_work_is_shown_before_a_newer_one_that_waits() -> None:
    feed = FakeFeed()
    waiting = feed.status.runs[0].model_copy(update={"id": "13-next", "job_id": 13, "state": JobState.QUEUED})
    feed.set_runs([waiting, feed.status.runs[0]])
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert "12-academic-large" in screen_lines(app)[0]


async def test_y_and_z_change_the_axes_of_the_loss() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        before = screen_text(app)
        assert " 50 %" in before
        await pilot.press("z")
        await pilot.pause()
        assert "100 %" in screen_text(app)
        await pilot.press("z", "y")
        await pilot.pause()
        assert "log" in screen_lines(app)[6]
        await pilot.press("y")
        await pilot.pause()
        assert screen_text(app) == before


async def test_q_quits_and_disconnects_without_a_request() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("q")
        await pilot.pause()
    assert feed.is_closed
    assert feed.asked == []
    assert app.return_code == 0


async def test_many_steps_between_two_refreshes_are_one_picture() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        run = feed.status.runs[0]
        assert run.step is not None
        for step in range(20_000, 20_500):
            feed.change_run(step=run.step.model_copy(update={"step": step}))
        feed.current = replace(feed.current)
        await refreshed(pilot)
        assert "step 20,499" in screen_text(app)
