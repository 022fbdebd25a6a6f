"""The other views: queue, scores, log and events."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bertd.api.models import EventView, LogView, ScoreView
from bertd.errors import StorageError
from bertd.records import JobKind, JobState, ScoreRecord
from tests.tui.fake_feed import NOW, FakeFeed
from tests.tui.screen_text import assert_like_snapshot, refreshed, screen_lines, screen_text
from tests.tui.settled import settled
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.screens.polling import PollingScreen
from tui.widgets.log_pane import LogPane

SIZE = (110, 30)


def _dashboard(feed: FakeFeed) -> Dashboard:
    return Dashboard(feed, options=DisplayOptions())


def _row(app: Dashboard, text: str) -> str:
    return next(one for one in screen_lines(app) if text in one)


async def test_the_queue_equals_its_snapshot() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2", "down")
        await settled(pilot)
        assert_like_snapshot(screen_text(app), "queue-110x30")


async def test_a_pretraining_in_the_queue_says_what_it_computes_with_and_why() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await settled(pilot)
        words = " ".join(screen_text(app).split())
        assert "kernels compile measured here in sequences/s of one rank, 32 a pass: compile 138.4, eager" in words
        assert "attention memory-efficient, math timed here, forward and backward: memory-efficient 0.81" in words
        assert "batch 8 ranks x 32 sequences x 16 the fastest, in sequences/s of one rank: 8: 117.0" in words
        assert "#10 finetune └ cola" in words
        await pilot.press("down")
        await settled(pilot)
        assert "kernels" not in screen_text(app)


async def test_keys_act_on_the_chosen_job() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await settled(pilot)
        await pilot.press("down", "H", "tab", "enter")
        await settled(pilot)
        assert feed.asked == [("hold", 13)]
        await pilot.press("end", "up", "up", "R", "tab", "enter")
        await settled(pilot)
        assert feed.asked == [("hold", 13), ("release", 15)]


async def test_presses_of_u_within_a_second_add_up_and_the_answer_has_the_number() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2", "down", "u", "u", "u", "d")
        await settled(pilot)
        assert feed.asked == [(f"priority {priority}", 13) for priority in (1, 2, 3, 2)]
        assert "priority 2" in screen_lines(app)[-1]


async def test_stopping_a_finetuning_asks_for_its_name_and_warns_that_it_is_cancelled() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2", "down", "down", "S")
        await settled(pilot)
        assert "Stop job 14, mrpc?" in screen_text(app)
        assert "The job is cancelled" in screen_text(app)
        app.screen.query_one(Input).value = "mrpc"
        await pilot.press("enter")
        await settled(pilot)
        assert feed.asked == [("stop", 14)]


async def test_the_cursor_stays_with_its_job_when_the_order_changes() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2", "down")
        await settled(pilot)
        assert _row(app, "#13").lstrip().startswith(">")
        urgent = feed.status.jobs[-1].model_copy(update={"id": 20, "state": JobState.QUEUED, "priority": 9})
        feed.change_jobs([*feed.status.jobs, urgent])
        await refreshed(pilot)
        assert _row(app, "#13").lstrip().startswith(">")
        assert not _row(app, "#20").lstrip().startswith(">")


async def test_the_cursor_moves_off_a_job_that_left_the_queue_before_any_key_can_act() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2", "down")
        await settled(pilot)
        feed.change_jobs([job for job in feed.status.jobs if job.id != 13])
        app._snapshot = feed.current
        await pilot.press("p")
        await settled(pilot)
        assert feed.asked == []


async def test_a_long_queue_scrolls_with_the_cursor() -> None:
    feed = FakeFeed()
    template = feed.status.jobs[-1].model_copy(update={"state": JobState.QUEUED, "kind": JobKind.FINETUNE})
    feed.change_jobs([template.model_copy(update={"id": number}) for number in range(100, 200)])
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2")
        await settled(pilot)
        assert "#199" not in screen_text(app)
        await pilot.press("end")
        await settled(pilot)
        assert _row(app, "#199").lstrip().startswith(">")
        assert "Job 199" in screen_text(app)
        await pilot.press("home")
        await settled(pilot)
        assert _row(app, "#100").lstrip().startswith(">")


async def test_an_empty_queue_says_so_and_keys_do_nothing() -> None:
    feed = FakeFeed()
    feed.change_jobs([])
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2", "down", "H")
        await settled(pilot)
        assert "empty" in screen_text(app)
        assert feed.asked == []


def _score(task: str, score: float, *, seed: int, t: float = 1.0, source: str = "12-large/step-1") -> ScoreView:
    record = ScoreRecord(
        t=t,
        task=task,
        metric="accuracy",
        score=score,
        majority_score=0.5,
        metrics={},
        majority_metrics={},
        num_train=10,
        num_dev=10,
        seed=seed,
        lr=5e-5,
        batch_size=32,
        epochs=3,
        source=source,
        seconds=1.0,
    )
    return ScoreView(job_id=10 + seed, run_id="12-academic-large", score=record)


async def test_scores_are_one_row_for_each_task_and_export_newest_first() -> None:
    feed = FakeFeed()
    feed.scored = [
        _score("rte", 0.60, seed=1),
        _score("rte", 0.70, seed=2),
        _score("rte", 0.80, seed=1, t=9.0, source="12-large/step-2"),
    ]
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("3")
        await settled(pilot)
        lines = screen_lines(app)
    assert lines[2].startswith(" 12-large/step-2") and lines[5].startswith(" 12-large/step-1")
    setting = "0.5000 5e-05 / 32 / 3"
    assert " ".join(lines[4].split()) == f"rte accuracy 0.8000 – 1 78.2 +1.8 {setting}"
    assert " ".join(lines[7].split()) == f"rte accuracy 0.6500 0.6000 0.7000 2 78.2 -13.2 {setting}"
    assert any("Published, development sets" in line for line in lines)


async def test_scores_of_several_exports_are_shown_against_the_budget_and_grids_with_their_trials() -> None:
    feed = FakeFeed()
    feed.scored = feed.demo.scores()
    feed.kept = feed.demo.run(feed.status.runs[0].id).kept
    grid = feed.status.jobs[0].model_copy(
        update={"id": 40, "kind": JobKind.GRID, "name": "quick", "progress": 0.25, "reason": "2 workers", "run_id": "r"}
    )
    feed.change_jobs([*feed.status.jobs, grid])
    over = {"step": 9, "num_trials": 36, "remaining_s": 60.0}
    event = EventView(id=99, t=NOW, type="grid", job_id=40, run_id=None, text="", data=over)
    feed.current = replace(feed.current, events=(*feed.current.events, event))
    app = _dashboard(feed)
    async with app.run_test(size=(110, 50)) as pilot:
        await pilot.press("3")
        await settled(pilot)
        text = screen_text(app)
    assert "grid #40" in text and "25 %  9 of 36 trials, 1m 00s left" in text
    assert "Against the budget" in text and "10 %" in text and "21 %" in text
    assert "5e-05 / 32 / 3, best of 2" in text


async def test_no_scores_say_how_to_get_some() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("3")
        await settled(pilot)
        assert "none yet; f queues a finetuning" in screen_text(app)


async def test_the_log_follows_its_end_and_stands_still_while_it_is_read() -> None:
    feed = FakeFeed()
    feed.logs[12] = b"".join(b"line %d\n" % number for number in range(100))
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        assert "Log of job 12" in screen_text(app)
        assert screen_lines(app)[-2].strip() == "line 99"
        feed.logs[12] += b"line 100\nhalf a li"
        await _asked_again(pilot)
        assert screen_lines(app)[-2].strip() == "half a li"
        await pilot.press("home")
        feed.logs[12] += b"ne\n"
        await _asked_again(pilot)
        assert screen_lines(app)[2].strip() == "line 0"
        await pilot.press("end")
        await settled(pilot)
        assert screen_lines(app)[-2].strip() == "half a line"


async def _asked_again(pilot: Pilot[None]) -> None:
    """Poll again, as a second later."""
    screen = pilot.app.screen
    assert isinstance(screen, PollingScreen)
    screen.poll()
    await settled(pilot)


async def test_a_long_log_begins_at_its_end_and_says_which_part_it_shows() -> None:
    feed = FakeFeed()
    feed.logs[12] = b"".join(b"line %07d\n" % number for number in range(50_000))
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        assert feed.asked[0] == ("log", (12, -65_536))
        assert screen_lines(app)[-2].strip() == "line 0049999"
        assert screen_lines(app)[1].rstrip().endswith("the last 64 KiB of 635 KiB")


async def test_a_log_can_be_read_back_to_its_start_without_a_torn_a_missing_or_a_repeated_line() -> None:
    feed = FakeFeed()
    feed.logs[12] = b"".join(b"line %07d\n" % number for number in range(20_000))
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        seen: list[str] = []
        for _ in range(4):
            await pilot.press("pageup")
            seen += _log_rows(app)
        view = app.screen.query_one(LogPane)
        while view.window.start > 0:
            view.action_move(-10_000)
            await settled(pilot)
        numbers = [int(text.split()[1]) for _, text in view.window.whole_lines()]
        assert numbers == list(range(len(numbers)))
        await pilot.press("g")
        await settled(pilot)
        assert _log_rows(app)[0] == "line 0000000"
        assert "G follows" in screen_lines(app)[1]
        await pilot.press("G")
        await settled(pilot)
        assert _log_rows(app)[-1] == "line 0019999"


async def test_g_in_a_log_larger_than_the_window_goes_to_its_first_line_and_reads_on_from_there() -> None:
    feed = FakeFeed()
    feed.logs[12] = b"".join(b"line %07d\n" % number for number in range(100_000))
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        await pilot.press("g")
        await settled(pilot)
        assert _log_rows(app)[0] == "line 0000000"
        view = app.screen.query_one(LogPane)
        before = view.window.end
        view.action_move(1_000_000)
        await settled(pilot)
        assert view.window.end > before
        assert "more below, G follows" in screen_lines(app)[1]


async def test_a_log_that_grows_faster_than_it_can_be_read_is_shown_at_its_end_which_says_so() -> None:
    feed = FakeFeed()
    feed.logs[12] = b"line 0\n"
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        feed.logs[12] += b"".join(b"line %07d\n" % number for number in range(200_000))
        await _asked_again(pilot)
        assert _log_rows(app)[-1] == "line 0199999"
        assert "skipped, g reads from the start" in screen_lines(app)[1]


async def test_two_polls_at_once_do_not_repeat_a_line() -> None:
    feed = FakeFeed()
    feed.logs[12] = b"line 0\n"
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        for number in range(1, 7):
            await pilot.press("4")
            feed.logs[12] += b"line %d\n" % number
            screen = app.screen
            assert isinstance(screen, PollingScreen)
            for _ in range(3):
                screen.poll()
            await pilot.press("1")
        await pilot.press("4")
        await settled(pilot)
        await _asked_again(pilot)
        assert [row for row in _log_rows(app) if row] == [f"line {number}" for number in range(7)]


async def test_a_long_line_is_wrapped_and_none_of_it_is_lost() -> None:
    feed = FakeFeed()
    long = " ".join(f"word{number}" for number in range(100))
    feed.logs[12] = f"before\n{long}\n漢字{'漢' * 80}\n".encode()
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        rows = _log_rows(app)
        assert "".join(rows[1:8]).replace(" ", "") == long.replace(" ", "")
        assert "".join(rows).count("漢") == 81


async def test_a_search_in_the_log_goes_to_its_matches_and_n_and_shift_n_go_on() -> None:
    feed = FakeFeed()
    feed.logs[12] = b"".join(b"line %d\n" % number for number in range(300))
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        await pilot.press("slash", *"line 1", "enter")
        await settled(pilot)
        assert "111 rows with 'line 1' in this part" in screen_lines(app)[1]
        first = _log_rows(app)[0]
        await pilot.press("N")
        await settled(pilot)
        assert _log_rows(app)[0] == f"line {int(first.split()[1]) - 1}"
        await pilot.press("n")
        await settled(pilot)
        assert _log_rows(app)[0] == first
        assert [asked for asked in feed.asked if asked[0] != "log"] == []


@pytest.mark.parametrize(("view", "shown", "hidden"), [("2", "#14", "#13"), ("5", "checkpoint", "restart")])
async def test_a_filter_shows_only_the_lines_with_its_text_until_escape(view: str, shown: str, hidden: str) -> None:
    text = "mrpc" if view == "2" else shown
    app = _dashboard(FakeFeed())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(view, "slash", *text, "enter")
        await settled(pilot)
        assert shown in screen_text(app)
        assert not any(hidden in one for one in screen_lines(app)[2:])
        assert re.search(r"^ / .* \d+ of \d+$", screen_text(app), re.MULTILINE)
        await pilot.press("slash", "escape")
        await settled(pilot)
        assert any(hidden in one for one in screen_lines(app)[2:])


def _log_rows(app: Dashboard) -> list[str]:
    return [one.strip() for one in screen_lines(app)[2:-1]]


async def test_a_truncated_log_is_read_again() -> None:
    feed = FakeFeed()
    feed.logs[12] = b"old\n" * 20
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        feed.logs[12] = b"new\n"
        await _asked_again(pilot)
        await _asked_again(pilot)
        assert "new" in screen_text(app)
        assert "old" not in screen_text(app)


async def test_l_in_the_queue_shows_the_log_of_the_chosen_job() -> None:
    feed = FakeFeed()
    feed.logs[13] = b"of the finetuning\n"
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("2", "down", "l")
        await settled(pilot)
        assert "Log of job 13" in screen_text(app)
        assert "of the finetuning" in screen_text(app)


class _NoLog(FakeFeed):
    def log(self, job_id: int, *, offset: int, limit: int) -> LogView:
        raise StorageError("/state/logs/job.log: cannot read: Input/output error")


async def test_a_log_that_cannot_be_read_says_why() -> None:
    app = _dashboard(_NoLog())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        assert "cannot read: Input/output error" in screen_text(app)


async def test_an_escape_sequence_in_a_log_is_shown_as_text() -> None:
    feed = FakeFeed()
    feed.logs[12] = b"\x1b]0;mine\x07 red\n"
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        assert "\\x1b]0;mine\\x07 red" in screen_text(app)


async def test_events_follow_the_newest_and_leave_out_steps() -> None:
    feed = FakeFeed()
    news = tuple(
        EventView(
            id=number,
            t=NOW,
            type="step" if number % 2 else "checkpoint",
            job_id=12,
            run_id="12-academic-large",
            text=f"checkpoint number {number}",
            data={},
        )
        for number in range(1, 201)
    )
    feed.current = type(feed.current)(now=NOW, link=feed.current.link, status=feed.status, events=news)
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("5")
        await settled(pilot)
        assert _row(app, "> ").endswith("number 200")
        assert "number 199" not in screen_text(app)
        await pilot.press("home")
        await settled(pilot)
        assert screen_lines(app)[2].endswith("number 2")


def _event(id: int, *, type: str = "checkpoint", t: float = NOW, **data: object) -> EventView:
    run_id = "12-academic-large"
    return EventView(id=id, t=t, type=type, job_id=12, run_id=run_id, text=f"event {id}", data=data)


async def test_enter_on_an_event_shows_its_step_on_the_curves_and_says_so_where_it_has_none() -> None:
    feed = FakeFeed()
    feed.current = replace(feed.current, events=(_event(1, step=4800), _event(2, type="grid", step=7)))
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("5", "enter")
        await settled(pilot)
        assert app.current_mode == "events"
        await pilot.press("up", "enter")
        await settled(pilot)
        assert app.current_mode == "run"


async def test_l_on_an_event_shows_the_log_from_its_time_on() -> None:
    feed = FakeFeed()
    feed.logs[12] = "".join(f"line {number:05d}\n" for number in range(5000)).encode()
    feed.current = replace(feed.current, events=(_event(1, t=11 * 3000.0),))
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("5", "l")
        await settled(pilot)
        assert screen_lines(app)[2].strip() == "line 03000"
        await pilot.press("up")
        await settled(pilot)
        assert screen_lines(app)[2].strip() == "line 02999"


async def test_a_log_can_be_read_by_rank_and_by_level() -> None:
    feed = FakeFeed()
    feed.logs[12] = b"rank 0: starts\nrank 3: starts\n[rank3]: RuntimeError: CUDA\nWARNING slow disk\nINFO rank 0: on\n"
    app = _dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("4")
        await settled(pilot)
        await pilot.press("r", "r")
        await settled(pilot)
        assert [one.strip() for one in screen_lines(app)[2:5]] == ["rank 3: starts", "[rank3]: RuntimeError: CUDA", ""]
        assert "only rank 3" in screen_lines(app)[1]
        await pilot.press("r", "e")
        await settled(pilot)
        shown = [one.strip() for one in screen_lines(app)[2:5]]
        assert shown == ["[rank3]: RuntimeError: CUDA", "WARNING slow disk", ""]
        await pilot.press("e", "e", "r", "e")
        await settled(pilot)
        assert "no line of rank 0, warnings and errors" in screen_text(app)


async def test_every_view_can_be_reached_and_left_by_its_number() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=SIZE) as pilot:
        for key, heading in (("2", "Queue"), ("3", "Scores"), ("4", "Log of job 12"), ("5", "Events"), ("1", "Loss")):
            await pilot.press(key)
            await settled(pilot)
            assert any(one.strip().startswith(heading) for one in screen_lines(app))
