"""Runs over each other, and recipes key by key."""

from __future__ import annotations

import math

import pytest
import tomli_w

from bertd.api.models import SeriesView
from bertd.errors import StillReadingError
from bertd.run.recipe.load import find_recipe, format_recipe, parse_recipe
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import screen_lines, screen_text
from tests.tui.settled import settled
from tui.comparison import MAX_COMPARED, Comparison, find_repetitions, loss_error
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.drawing.lines import plain_text
from tui.panels.comparison import draw_differences
from tui.recipe_keys import find_differences, recipe_keys
from tui.screens.compare import CompareScreen

SIZE = (120, 40)


def _recipe(*overrides: str) -> str:
    text = find_recipe("demo").read_text(encoding="utf-8")
    return format_recipe(parse_recipe(text, name="demo", overrides=["data.shards=/data/x", *overrides]))


def _feed(num_runs: int = 3) -> FakeFeed:
    feed = FakeFeed()
    past = feed.demo.runs()[1]
    feed.older_runs = [past.model_copy(update={"id": f"{99 - n}-older", "job_id": 99 - n}) for n in range(num_runs)]
    for run in feed.runs():
        feed.recipes[run.id] = _recipe(f"run.seed={run.job_id}")
    series = feed.demo.several_series([feed.status.runs[0].id], x="progress")[0]
    feed.several_series = lambda run_ids, *, x: [  # type: ignore[method-assign]  # the demo does not have these runs
        series.model_copy(update={"run_id": id, "x": x}) for id in run_ids
    ]
    return feed


def _series(losses: list[float]) -> SeriesView:
    return SeriesView(run_id="1-a", x="step", columns={"validation": [(10.0 * n, y) for n, y in enumerate(losses)]})


def test_the_error_of_a_loss_is_the_scatter_around_the_line_of_its_newest_validations() -> None:
    assert loss_error(_series([9.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0])) == pytest.approx(0.0, abs=1e-9)
    zigzag = loss_error(_series([2.0, 2.1, 2.0, 2.1, 2.0, 2.1]))
    assert zigzag is not None and 0.04 < zigzag < 0.07
    assert loss_error(_series([2.0, 2.1, 2.0])) is None
    assert loss_error(_series([2.0, math.nan, 2.1, 2.0])) is None
    assert loss_error(None) is None


def test_runs_that_differ_in_the_seed_alone_are_repetitions_with_their_spread() -> None:
    runs = [
        run.model_copy(update={"id": f"{n}-r", "validation": run.validation.model_copy(update={"loss": loss})})
        for n, (run, loss) in enumerate(zip([FakeFeed().status.runs[0]] * 3, (1.5, 1.3, 1.9), strict=True))
        if run.validation is not None
    ]
    recipes = {
        "0-r": _recipe("run.seed=1"),
        "1-r": _recipe("run.seed=2", "run.name=again"),
        "2-r": _recipe("optimizer.peak_lr=1e-4"),
    }
    comparison = Comparison(tuple(runs), ("2-r", "0-r", "1-r"), "step", {}, recipes)
    (found,) = find_repetitions(comparison)
    assert (found.letters, found.losses) == ("bc", (1.3, 1.5))
    text = plain_text(draw_differences(comparison, DisplayOptions(), 100))
    assert "b, c repeat each other: mean 1.400, from 1.300 to 1.500" in text
    assert "optimizer.peak_lr" in text and "run.name" not in text


def test_every_key_has_its_default_its_source_and_its_meaning() -> None:
    rows = {row.key: row for row in recipe_keys(_recipe("optimizer.peak_lr=3e-4"), changed=frozenset({"budget"}))}
    assert rows["optimizer.peak_lr"].value == "0.0003" and rows["optimizer.peak_lr"].source == "recipe"
    assert rows["optimizer.peak_lr"].default == "0.002" and "warm-up" in rows["optimizer.peak_lr"].meaning
    assert rows["model.norm_eps"].source == "default"
    assert rows["data.shards"].default == "required"
    assert rows["model.start_from"].value == "not set"
    assert {row.source for key, row in rows.items() if key.startswith("budget.")} == {"default", "changed"}


def test_a_key_of_another_version_is_shown_and_differs() -> None:
    newer = _recipe() + "\n" + tomli_w.dumps({"later": {"key": [True, 2.5, "x"]}})
    assert [row.value for row in recipe_keys(newer) if row.key == "later.key"] == ["[true, 2.5, x]"]
    assert find_differences((_recipe(), newer)) == [("later.key", ["not set", "[true, 2.5, x]"])]


async def test_the_shown_run_is_compared_with_others_until_a_person_chooses() -> None:
    app = Dashboard(_feed(), options=DisplayOptions())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("7")
        await settled(pilot)
        lines = screen_lines(app)
        assert "3 of at most 8 compared" in lines[1]
        assert "> a 12-academic-large" in lines[2] and "±" in lines[2] and "b 99-older" in lines[3]
        assert "a, b, c repeat each other: mean" in screen_text(app)
        await pilot.press("down", "m")
        await settled(pilot)
        assert "2 of at most 8 compared" in screen_lines(app)[1]
        assert "– 99-older" in screen_lines(app)[3]


async def test_x_and_v_change_the_axis_and_the_curve() -> None:
    app = Dashboard(_feed(), options=DisplayOptions())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("7")
        await settled(pilot)
        assert "Validation loss" in screen_text(app) and "by share of the budget" in screen_text(app)
        await pilot.press("x", "v")
        await settled(pilot)
        assert "Training loss" in screen_text(app) and "by step" in screen_text(app)


async def test_a_ninth_run_is_not_compared_and_says_so() -> None:
    app = Dashboard(_feed(12), options=DisplayOptions())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("7", "down", "down")
        for _ in range(MAX_COMPARED):
            await pilot.press("down", "m")
        await settled(pilot)
        assert "8 of at most 8 compared" in screen_lines(app)[1]
        assert "8 runs are compared already" in screen_lines(app)[-1]


async def test_curves_that_are_still_read_are_told_and_come_later() -> None:
    feed = _feed()
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("7")
        await settled(pilot)
        feed.several_series = _still_reading  # type: ignore[method-assign]  # as a daemon that has just begun
        screen = app.screen
        assert isinstance(screen, CompareScreen)
        screen.poll()
        await settled(pilot)
        assert "still reading" in screen_text(app)
        assert "a 12-academic-large" in screen_text(app)


def _still_reading(*_: object, **__: object) -> list[SeriesView]:
    raise StillReadingError("still reading the journal of 99-older")


async def test_without_colours_curves_are_letters() -> None:
    app = Dashboard(_feed(), options=DisplayOptions(has_color=False))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("7")
        await settled(pilot)
        chart = screen_lines(app)[7:20]
    assert any("c" in line for line in chart) and not any("⠉" in line for line in chart)


async def test_a_search_in_the_recipe_finds_keys_values_and_meanings_and_shows_the_selected_one() -> None:
    app = Dashboard(_feed(), options=DisplayOptions())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("8", "slash", *"warm-up")
        await settled(pilot)
        text = screen_text(app)
        assert "optimizer.peak_lr" in text and "masking.rate" not in text
        await pilot.press("enter", "down")
        await settled(pilot)
        assert "meaning" in screen_text(app)
        await pilot.press("slash", "escape", "home")
        await settled(pilot)
        assert "masking.rate" in screen_text(app)
