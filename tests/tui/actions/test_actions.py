"""Keys and command palette act on the shown run and report the result."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from textual import events
from textual.command import CommandList
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input

from bertd.api.models import SubmitFinetune
from bertd.errors import CorpusError, TransitionError
from bertd.records import JobState, PauseKind
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import refreshed, screen_lines, screen_text
from tests.tui.settled import settled
from tests.waiting import PATIENCE_S
from tui.actions.keys import (
    APP_KEYS,
    CHART_KEYS,
    COMPARE_KEYS,
    DEVICE_KEYS,
    JOB_KEYS,
    LIST_KEYS,
    QUEUE_KEYS,
    VIEW_KEYS,
    KeyBinding,
)
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.screens.confirm import ConfirmDialog
from tui.screens.forms.finetune import FinetuneForm
from tui.screens.help import HelpScreen
from tui.screens.stop import StopDialog
from tui.snapshot import Link, LinkState, Snapshot

SIZE = (120, 40)


def _dashboard(feed: FakeFeed, *, is_readonly: bool = False) -> Dashboard:
    return Dashboard(feed, options=DisplayOptions(is_readonly=is_readonly))


async def _choose(pilot: Pilot[None], key: str) -> None:
    """Press the key of an action and confirm it."""
    await pilot.press(key)
    assert isinstance(pilot.app.screen, ConfirmDialog)
    await pilot.press("tab", "enter")
    await settled(pilot)


def _said(app: Dashboard) -> str:
    return app._message.text if app._message is not None else ""


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
        await _choose(pilot, key)
        assert [asked for asked in feed.asked if asked[0] != "choose"] == [(verb, 12)]
        assert _said(app) == f"academic-large: {verb}: running, as requested"


@pytest.mark.parametrize("key", ["p", "P"])
async def test_a_run_that_was_paused_here_stays_in_view_so_that_p_resumes_it(key: str) -> None:
    feed = FakeFeed()
    first = feed.status.runs[0]
    assert feed.current.run == first
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await _choose(pilot, key)
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
    async with app.run_test(size=SIZE) as pilot:
        await _choose(pilot, "p")
        assert _said(app) == "academic-large: pause: job 12 is stopping: cannot pause it"
        assert "job 12 is stopping: cannot" in screen_text(app)


async def test_a_readonly_view_sends_no_request() -> None:
    feed = FakeFeed()
    app = _dashboard(feed, is_readonly=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("p", "c", "f", "S")
        await settled(pilot)
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
        await settled(pilot)
        assert feed.asked == []
        assert _said(app) == "There is no job to act on."


@pytest.mark.parametrize("key", JOB_KEYS, ids=lambda key: key.keys)
async def test_before_the_daemons_first_answer_each_key_says_so(key: KeyBinding) -> None:
    app = _dashboard(FakeFeed(Snapshot(now=0.0, link=Link(LinkState.CONNECTING))))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(key.keys)
        await settled(pilot)
        assert "has not answered yet" in _said(app)


async def test_stop_needs_the_runs_name() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("S")
        assert isinstance(app.screen, StopDialog)
        await pilot.press("y", "enter")
        await settled(pilot)
        assert feed.asked == []
        assert "That is not it; type academic-large, or 12." in screen_text(app)
        app.screen.query_one(Input).value = "academic-large"
        await pilot.press("enter")
        await settled(pilot)
        assert feed.asked == [("stop", 12)]


async def test_escape_keeps_the_run_running() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("S", "escape")
        await settled(pilot)
        assert feed.asked == []
        assert app.screen is app.screen_stack[0]


async def _fill(pilot: Pilot[None], **values: str) -> None:
    for field, value in values.items():
        pilot.app.screen.query_one(f"#{field}", Input).value = value
    await pilot.press("enter")
    await settled(pilot)


async def test_the_form_queues_a_finetuning(tmp_path: Path) -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        assert isinstance(app.screen, FinetuneForm)
        assert "its newest export is of step 4,800" in screen_text(app)
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
async def test_dialogs_fit_a_small_terminal(size: tuple[int, int]) -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=size) as pilot:
        for key in ("f", "b", "n", "p", "S", "question_mark"):
            await pilot.press(key)
            await pilot.pause()
            dialog = app.screen.query_one(".dialog")
            assert dialog.region.height <= size[1], key
            assert dialog.virtual_size.height <= dialog.container_size.height or key == "question_mark", key
            await pilot.press("escape")


async def test_help_names_every_key_there_is() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=(120, 90)) as pilot:
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        text = screen_text(app)
    charts = [key for key in CHART_KEYS if key.meaning]
    for key in [*JOB_KEYS, *QUEUE_KEYS, *DEVICE_KEYS, *COMPARE_KEYS, *VIEW_KEYS, *charts, *LIST_KEYS, *APP_KEYS]:
        assert f"{key.label_in({}):>9}   {key.meaning}" in text


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
        found = app.screen.query_one(CommandList)
        async with asyncio.timeout(PATIENCE_S):
            while [str(option.prompt).splitlines()[0] for option in found.options] != ["Checkpoint"]:
                await pilot.pause()
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(app.screen, ConfirmDialog)
        await pilot.press("tab", "enter")
        await settled(pilot)
        assert ("checkpoint", 12) in feed.asked


async def test_n_shows_the_next_run_and_keys_act_on_it() -> None:
    feed = FakeFeed()
    other = feed.status.runs[0].model_copy(update={"id": "9-older", "job_id": 9, "name": "older"})
    feed.set_runs([feed.status.runs[0], other])
    feed.change_jobs([*feed.status.jobs, feed.status.jobs[0].model_copy(update={"id": 9})])
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        assert "run 1 of 2" in screen_lines(app)[0]
        assert "r next run" in screen_lines(app)[-1]
        await pilot.press("r")
        await pilot.pause()
        assert "9-older" in screen_lines(app)[0]
        await _choose(pilot, "p")
        assert [asked for asked in feed.asked if asked[0] == "pause"] == [("pause", 9)]
        assert app._snapshot is not None and app._snapshot.run_id == "9-older"


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
        assert " 80 %" in before, "with a forecast the axis is the whole budget"
        await pilot.press("z")
        await pilot.pause()
        assert " 50 %" in screen_text(app) and " 80 %" not in screen_text(app)
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


def _send_at_once(app: Dashboard, text: str) -> None:
    """As one read of the terminal gives them to Textual."""
    driver = app._driver
    assert driver is not None
    names = {"\n": "enter", "\t": "tab", " ": "space", "/": "slash"}
    keys = [events.Key(names.get(symbol, symbol), symbol if symbol.isprintable() else None) for symbol in text]
    for key in keys:
        # However long this process had to wait between two of them.
        key.time = keys[0].time
        driver.send_message(key)


@pytest.mark.parametrize("view", "124")
async def test_a_pasted_text_never_acts(view: str) -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        for text in ("please pause the run\n", "cu", "uP\n\n", "HRH\tR\n"):
            await pilot.press(view)
            _send_at_once(app, text)
            await settled(pilot)
            await settled(pilot)
            assert _acted(feed) == [], text
            assert app._exit is False, text


async def test_a_bracketed_paste_never_acts() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        assert app._driver is not None
        app._driver.send_message(events.Paste("p\tc\tS\nuuu"))
        await settled(pilot)
        assert _acted(feed) == []
        assert not isinstance(app.screen, ModalScreen)


@pytest.mark.parametrize("view", "14")
async def test_typed_letters_and_ends_of_line_do_not_act_either(view: str) -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(view)
        for letter in "pPcHR":
            await pilot.press(letter, "x", letter, "enter")
            await settled(pilot)
        assert _acted(feed) == []
        assert not isinstance(app.screen, ModalScreen)


async def test_a_search_takes_the_letters_that_act() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        for view in "1245":
            await pilot.press(view)
            _send_at_once(app, "/step cup")
            await settled(pilot)
            assert isinstance(app.focused, Input), view
            assert app.focused.value == "step cup"
            await pilot.press("escape")
            assert not isinstance(app.focused, Input)
            assert _acted(feed) == []


async def test_keys_typed_ahead_reach_the_dialog_that_the_first_one_opens() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        _send_at_once(app, "Sacademic-large")
        await settled(pilot)
        assert app.screen.query_one(Input).value == "academic-large"
        await pilot.press("enter")
        await settled(pilot)
        assert feed.asked == [("stop", 12)]


async def test_a_tab_typed_ahead_goes_to_the_next_field() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        app.screen.query_one("#task", Input).value = ""
        _send_at_once(app, "rte\t/data/glue\t")
        await settled(pilot)
        assert app.screen.query_one("#task", Input).value == "rte"
        assert app.screen.query_one("#data", Input).value == "/data/glue"
        assert app.focused is app.screen.query_one("#preset", Input)


@pytest.mark.parametrize("typed", ["12", "12-academic-large", "academic-large"])
async def test_stop_takes_the_number_the_run_id_or_the_name(typed: str) -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("S", *typed, "enter")
        await settled(pilot)
        assert feed.asked == [("stop", 12)]


async def test_a_refused_form_stays_with_what_was_typed() -> None:
    feed = FakeFeed()
    feed.refusal = CorpusError("/data/glue/MRPC: no such folder")
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        await _fill(pilot, task="mrpc", data="/data/glue")
        assert isinstance(app.screen, FinetuneForm)
        assert "/data/glue/MRPC: no such folder" in screen_text(app)
        feed.refusal = None
        await pilot.press("enter")
        await settled(pilot)
        assert not isinstance(app.screen, FinetuneForm)
        assert [verb for verb, _ in feed.asked] == ["submit", "submit"]


async def test_a_run_without_an_export_is_finetuned_at_its_end_or_at_a_share() -> None:
    feed = FakeFeed()
    feed.change_run(export=None)
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        assert "it has no export yet" in screen_text(app)
        await _fill(pilot, data="/d", when="in turn")
        assert "There is no export yet" in screen_text(app)
        await _fill(pilot, when="0.5", preset="fair", task="cola,rte")
        arguments = ["--tasks", "cola,rte", "--preset", "fair", "--data", "/d"]
        expected = ("12-academic-large@0.5", arguments, "12-academic-large@0.5")
        assert feed.asked == [("finetune later", expected)]


async def test_a_key_that_the_state_forbids_says_why_and_asks_nothing() -> None:
    feed = FakeFeed()
    feed.change_run(state=JobState.DONE)
    feed.change_jobs([feed.status.jobs[0].model_copy(update={"state": JobState.DONE})])
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        for key in "pPcS":
            await pilot.press("escape")
            assert _said(app) == "", key
            await pilot.press(key)
            await settled(pilot)
            assert "is done" in _said(app), key
            assert feed.asked == []
            assert not isinstance(app.screen, ModalScreen)


async def test_without_the_daemon_a_key_says_so_and_sends_nothing() -> None:
    feed = FakeFeed()
    feed.lose(silent_s=30.0)
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("p")
        await settled(pilot)
        assert "No daemon answers, so nothing was done" in _said(app)
        assert feed.asked == []


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (40, 12), (30, 8)])
async def test_help_can_be_read_to_its_end_with_the_keys(size: tuple[int, int]) -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=size) as pilot:
        await pilot.press("question_mark")
        page = app.screen.query_one("#help")
        await pilot.press("down", "down", "up")
        assert page.scroll_offset.y == 1
        await pilot.press("pagedown", "end")
        assert page.scroll_offset.y == page.max_scroll_y > 0
        assert "not." in screen_text(app)
        await pilot.press("home")
        # It scrolls after the next layout.
        while page.scroll_offset.y:
            await pilot.pause()
        assert page.show_vertical_scrollbar
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


async def test_a_message_gives_way_to_the_keys_at_escape() -> None:
    app = _dashboard(FakeFeed(), is_readonly=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("c")
        assert "read-only" in screen_lines(app)[-1]
        await pilot.press("escape")
        assert "? help" in screen_lines(app)[-1]


def _acted(feed: FakeFeed) -> list[tuple[str, object]]:
    return [asked for asked in feed.asked if asked[0] not in ("choose", "log", "open", "curves")]
