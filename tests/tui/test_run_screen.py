"""The Run screen at several sizes and in all states of run and daemon."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bertd.api.models import StatusView
from bertd.records import BudgetUnit, EndRecord, JobKind, JobState
from tests.cli import samples
from tests.tui.fake_feed import NOW, FakeFeed
from tests.tui.screen_text import assert_like_snapshot, refreshed, screen_lines, screen_segments, screen_text
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.drawing.glyphs import ASCII
from tui.drawing.lines import plain_text
from tui.panels import devices, events, header, queue, welcome
from tui.panels import job as job_panel
from tui.panels.budget import BIG_HEIGHT, draw
from tui.plain_output import render_page
from tui.snapshot import Link, LinkState, Snapshot
from tui.widgets.panel import Panel

SIZES = [(60, 20), (80, 24), (120, 40), (200, 60)]


def _dashboard(feed: FakeFeed, options: DisplayOptions | None = None) -> Dashboard:
    return Dashboard(feed, options=options or DisplayOptions())


@pytest.mark.parametrize("size", SIZES)
async def test_the_screen_equals_its_snapshot(size: tuple[int, int]) -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert_like_snapshot(screen_text(app), f"run-{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", SIZES)
async def test_all_required_figures_are_on_it(size: tuple[int, int]) -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = screen_text(app)
    for said in (
        "41.7 %",
        "train",
        "validation" if size[0] > 60 else "val ",
        "final 1.683",
        "GLUE  ",
        "sequences/s",
        "tokens/s",
        "learning rate",
        "grad norm",
        "checkpoint",
    ):
        assert said in text
    for said in ("● running", "Devices", "Queue", "p pause", "q quit", "ends Mon 02:12 at step 23,008"):
        assert said in text


async def test_ascii_says_the_same_in_ascii() -> None:
    app = _dashboard(FakeFeed(), DisplayOptions(glyphs=ASCII))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        text = screen_text(app)
    assert text.isascii()
    assert_like_snapshot(text, "run-120x40-ascii")


@pytest.mark.parametrize("size", SIZES)
async def test_once_prints_what_the_screen_says(size: tuple[int, int]) -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        on_screen = _words(screen_text(app))
    keys = _words("p pause c checkpoint f finetune S stop b budget 1-5 views ? ? help q quit")
    printed = _words(render_page(feed.current, DisplayOptions(), size[0]))
    charts = {"Sequences/s", "Learning", "rate", "Gradient", "norm", "left", "of", "charged", "time"} | {"P", "R", "m"}
    reserve = _words("then for the last validation, save and export to validate")
    missing = {word for word in on_screen - printed - keys - charts - reserve if word.isalpha()}
    assert not missing


def _words(text: str) -> set[str]:
    """The words of a text, without those that a column cut off."""
    return {word.strip("·─") for word in text.split() if not word.endswith("…")}


async def test_a_paused_run_says_so_with_sign_and_word_and_offers_to_resume() -> None:
    feed = FakeFeed()
    feed.change_run(state=JobState.PAUSED, reason="paused by you; resume with p")
    feed.change_jobs([feed.status.jobs[0].model_copy(update={"state": JobState.PAUSED})])
    app = _dashboard(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        lines = screen_lines(app)
    assert "‖ paused" in lines[0]
    assert "paused by you; resume with p" in lines[2]
    assert "p resume" in lines[-1]
    assert next(one for one in lines if "sequences/s" in one).split()[1] == "–"


async def test_a_finished_run_shows_how_it_ended_and_its_export() -> None:
    feed = FakeFeed()
    run = feed.status.runs[0]
    assert run.step is not None
    end = EndRecord(
        t=0.0, step=23_008, sequences=1, charged_s=86_400.0, reason="budget", detail="", export="step-000023008"
    )
    feed.change_run(
        state=JobState.DONE, end=end, budget=run.budget.model_copy(update={"progress": 1.0, "remaining_s": 0.0})
    )
    app = _dashboard(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        text = screen_text(app)
    assert "✓ done" in text
    assert "100.0 %" in text
    assert "ended: budget at step 23,008, exported as step-000023008" in text
    assert "00:00" not in text and "left" not in text


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)])
@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.LOST, JobState.DONE])
async def test_a_run_that_is_over_never_has_time_left_and_says_why_in_full(
    state: JobState, size: tuple[int, int]
) -> None:
    feed = FakeFeed()
    reason = (
        "attempt 3 of 3: damaged: /data/shards/books/train.tokens cannot be read (No such file or directory); prepare "
        "the data set again"
    )
    feed.change_run(state=state, reason=reason, end=None)
    app = _dashboard(feed)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = " ".join(screen_text(app).split())
    assert reason in text
    assert " left" not in text
    assert "\N{BOX DRAWINGS HEAVY DOWN AND RIGHT}" not in text


async def test_the_reason_of_a_job_is_in_full_in_the_queues_detail_at_80_columns() -> None:
    feed = FakeFeed()
    reason = " ".join(f"reason{number}" for number in range(25))
    feed.change_jobs([feed.status.jobs[0].model_copy(update={"state": JobState.FAILED, "reason": reason})])
    app = _dashboard(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await pilot.pause()
        assert reason in " ".join(screen_text(app).split())


@pytest.mark.parametrize("size", [(30, 8), (40, 12), (60, 20), (80, 24)])
async def test_the_queue_shows_jobs_at_every_size_and_help_and_quit_in_its_footer(size: tuple[int, int]) -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=size) as pilot:
        await pilot.press("2")
        await pilot.pause()
        lines = screen_lines(app)
    assert "> ● running" in lines[2]
    assert lines[-1].endswith("? help  q quit")


def test_two_devices_never_touch_in_the_strip() -> None:
    snapshot = FakeFeed().current
    for width in range(40, 200):
        for rows in (1, 2, 3):
            lines = devices.draw(snapshot, DisplayOptions(), width, 1 + rows)
            assert all(re.search(r"%\d", one.plain) is None for one in lines), (width, rows)


@pytest.mark.parametrize("size", [(250, 20), (170, 16), (160, 60)])
async def test_a_small_chart_has_a_curve_or_is_not_there(size: tuple[int, int]) -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for name in ("speed-curve", "rate-curve", "gradient-curve"):
            panel = app.screen.query_one(f"#{name}", Panel)
            if panel.display and panel.parent is not None and app.screen.query_one("#small").display:
                assert len([one for one in panel.lines if one.plain.strip()]) >= 3


def test_without_a_daemon_what_is_not_known_is_not_said_to_be_empty() -> None:
    problem = "/run/user/1000/bertd/bertd.sock: no daemon listens there; start one with `bertd start`, or name another"
    nothing = Snapshot(now=0.0, link=Link(LinkState.CONNECTING, problem=problem))
    options = DisplayOptions()
    assert "empty" not in queue.draw(nothing, options, 80, 10)[1].plain
    assert "no events yet" not in events.draw(nothing, options, 80, 10)[1].plain
    said = " ".join(one.plain for one in welcome.draw(nothing, options, 60, 20))
    assert problem in " ".join(said.split())
    assert "no daemon yet" in header.draw(nothing, options, 80, 1)[0].plain


def test_the_end_does_not_move_while_the_daemon_is_lost() -> None:
    feed = FakeFeed()
    before = draw(feed.current, DisplayOptions(), 120, BIG_HEIGHT)[2].plain
    time_of_end = re.search(r"ends (.*) at step", before)
    assert time_of_end is not None
    for silent_s in (10.0, 100.0, 1000.0):
        feed.lose(silent_s=silent_s)
        feed.current = replace(feed.current, now=NOW + silent_s)
        lost = draw(feed.current, DisplayOptions(), 120, BIG_HEIGHT)[2].plain
        assert f"ends {time_of_end[1]} at step" in lost
        assert "a run trains on without the daemon" in lost


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (160, "24h 00m of charged time, then 40s for the last validation, save and export"),
        (110, "24h 00m of charged time, then 40s to validate, save, export"),
        (80, "24h 00m of charged time, then 40s"),
    ],
)
def test_the_reserve_is_shown_in_as_many_words_as_fit(width: int, words: str) -> None:
    text = "\n".join(one.plain for one in draw(FakeFeed().current, DisplayOptions(), width, BIG_HEIGHT))
    assert words in text
    assert max(map(len, text.splitlines())) <= width


async def test_a_budget_of_steps_is_shown_in_steps_before_there_is_a_speed() -> None:
    feed = FakeFeed()
    budget = feed.status.runs[0].budget.model_copy(
        update={"unit": BudgetUnit.STEPS, "amount": 1000.0, "spent": 0.0, "progress": 0.0, "remaining_s": None}
    )
    feed.change_run(budget=budget, step=None, validation=None, checkpoint=None)
    app = _dashboard(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        text = screen_text(app)
    assert "1,000 steps left" in text
    assert "no speed yet" in text
    assert "none yet" in text


async def test_a_loss_that_is_not_a_number_is_shown_and_stands_out() -> None:
    feed = FakeFeed()
    run = feed.status.runs[0]
    assert run.step is not None
    feed.change_run(step=run.step.model_copy(update={"loss": float("nan"), "grad_norm": float("nan")}))
    app = _dashboard(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert "train nan" in screen_text(app)
        bad = app.screen.get_component_rich_style("canvas--bad")
        assert any(segment.text.strip() == "nan" and segment.style == bad for segment in screen_segments(app))


async def test_a_lost_daemon_is_said_and_its_data_is_kept_but_grey_and_comes_back() -> None:
    feed = FakeFeed()
    app = _dashboard(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        live = screen_lines(app)
        feed.lose(silent_s=12.0)
        await refreshed(pilot)
        lost = screen_lines(app)
        assert "✗ daemon lost · reconnecting in 4s · last seen 12s ago" in lost[0]
        assert "no daemon listens there; start one with `bertd start`" in lost[-1]
        assert lost[1:4] + lost[5:-1] == live[1:4] + live[5:-1]
        grey = app.screen.get_component_rich_style("canvas--stale")
        strip = app.query_one("#speed").render_line(1)
        assert {segment.style for segment in strip if segment.text.strip()} == {grey}
        feed.find_again()
        await refreshed(pilot)
        assert screen_lines(app) == live
        strip = app.query_one("#speed").render_line(1)
        assert grey not in {segment.style for segment in strip}


async def test_a_daemon_that_falls_silent_is_not_shown_as_live() -> None:
    feed = FakeFeed()
    feed.current = replace(feed.current, link=Link(LinkState.LIVE, silent_s=7.0))
    app = _dashboard(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "daemon silent · last seen 7s ago" in screen_lines(app)[0]


async def test_without_a_daemon_it_says_what_to_do_and_shows_the_run_once_there_is_one() -> None:
    feed = FakeFeed()
    found = feed.current
    problem = "/run/bertd/bertd.sock: no daemon listens there; start one with `bertd start`"
    feed.current = Snapshot(now=found.now, link=Link(LinkState.CONNECTING, problem=problem))
    app = _dashboard(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "No daemon yet." in screen_text(app)
        assert "start one with" in screen_text(app)
        feed.current = found
        await refreshed(pilot)
        assert "12-academic-large" in screen_text(app)
        assert "No daemon yet." not in screen_text(app)


async def test_a_daemon_without_a_run_says_how_to_start_one() -> None:
    feed = FakeFeed()
    feed.set_runs([])
    app = _dashboard(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "bertd submit" in screen_text(app)


async def test_devices_without_readings_are_shown_with_dashes() -> None:
    feed = FakeFeed()
    unknown = feed.status.devices[0].model_copy(
        update={"utilization": None, "memory_used_bytes": None, "temperature_c": None, "power_w": None, "job_id": None}
    )
    status: StatusView = feed.status.model_copy(update={"devices": [unknown, feed.status.devices[1]]})
    feed.current = replace(feed.current, status=status)
    app = _dashboard(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        row = next(one for one in screen_lines(app) if one.startswith(" 0  –") or one.startswith(" 0  ─"))
    assert row.split("Events")[0].count("–") >= 4
    assert "free" in row


async def test_no_color_leaves_no_colour_and_loses_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = _dashboard(FakeFeed(), DisplayOptions(has_color=False))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        filtered = list(screen_segments(app))
        for one in app._filters:
            if one.enabled:
                filtered = one.apply(filtered, app.screen.background_colors[1])
        assert "● running" in screen_text(app)
    styles = [segment.style for segment in filtered if segment.style is not None]
    assert styles
    assert all(style.color is None or style.color.is_default for style in styles)
    assert all(style.bgcolor is None or style.bgcolor.is_default for style in styles)


async def test_resizing_allocates_the_lines_again() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        small = screen_text(app)
    assert_like_snapshot(small, "run-80x24")


async def test_a_screen_of_a_few_cells_does_not_break() -> None:
    app = _dashboard(FakeFeed())
    async with app.run_test(size=(20, 6)) as pilot:
        await pilot.pause()
        assert len(screen_lines(app)) == 6


def test_a_grid_that_runs_says_when_it_ends() -> None:
    grid = samples.job(kind=JobKind.GRID).model_copy(update={"expected_end_t": samples.NOW + 7500})
    text = " ".join(plain_text(job_panel.draw(grid, None, samples.NOW, DisplayOptions(), 100)).split())
    assert "ends about" in text and "in 2h 05m" in text
    text = plain_text(job_panel.draw(grid, None, samples.NOW + 7501, DisplayOptions(), 100))
    assert "ends about" not in text


@pytest.mark.parametrize(("width", "height"), [(51, 9), (78, 5), (78, 9), (87, 9)])
def test_memory_bars_and_troubles_fit_where_devices_have_rows(width: int, height: int) -> None:
    current = FakeFeed().current
    assert current.status is not None
    known = current.status.devices
    gpu = known[2].gpu
    assert gpu is not None
    hot = known[2].model_copy(update={"gpu": gpu.model_copy(update={"slowed_by": ("SwThermalSlowdown",)})})
    half = known[3].model_copy(update={"memory_used_bytes": (known[3].memory_total_bytes or 0) // 2})
    lost = known[5].model_copy(update={"health": "lost"})
    shown = [*known[:2], hot, half, known[4], lost, *known[6:]]
    status = current.status.model_copy(update={"devices": shown})
    lines = [each.plain for each in devices.draw(replace(current, status=status), DisplayOptions(), width, height)]
    assert len(lines) == height
    assert all(len(each) <= width for each in lines)
    text = "\n".join(lines[1:])
    for said in ("slowed: heat", "lost", "237 W", "69 °C", "#12", "98 %"):
        assert said in text
    unused = [each for each in lines[1:] if "──" in each]
    assert len(unused) == 1, "half of one device's memory is free"


def test_where_not_all_jobs_fit_those_that_wait_are_shown_instead_of_the_run_above() -> None:
    current = FakeFeed().current
    few = plain_text(queue.draw(current, DisplayOptions(), 78, 2))
    assert "#13" in few and "waits for a device: job 12 holds all 8" in few
    assert "#12 " not in few
    assert current.status is not None
    assert "#12 " in plain_text(queue.draw(current, DisplayOptions(), 78, 1 + len(current.status.jobs)))
    alone = replace(current, status=current.status.model_copy(update={"jobs": current.status.jobs[:1]}))
    assert "#12 " in plain_text(queue.draw(alone, DisplayOptions(), 78, 2))
