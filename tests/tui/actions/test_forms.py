"""The dialogs with fields: their costs, what they send, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.api.models import SubmitFinetune, SubmitGrid, SubmitPretrain
from bertd.errors import BudgetError
from bertd.records import BudgetRequest, BudgetUnit, JobState, PauseKind, Preset
from tests.run.data_sets import write_manifest
from tests.tui.actions.pilot_actions import dashboard, fill, said
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import screen_text
from tests.tui.settled import settled
from tui.screens.forms.budget import BudgetForm, budget_costs
from tui.screens.forms.finetune import FinetuneForm
from tui.screens.forms.new_run import NewRunForm
from tui.widgets.cost_table import CostTable
from tui.widgets.form_error import FormError

SIZE = (120, 40)


# ---- Finetuning ----------------------------------------------------------------------------------------


async def test_a_finetuning_now_is_sent_only_after_its_cost_was_seen() -> None:
    feed = FakeFeed()
    app = dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        await fill(pilot, data="/d", when="now")
        assert feed.asked == []
        assert isinstance(app.screen, FinetuneForm)
        assert "see its cost, and press enter again" in screen_text(app)
        rows = {row.label: row.text for row in app.screen.query_one(CostTable).rows}
        assert "12-academic-large with a checkpoint; it continues by itself in about 15m 00s" in rows["pauses"]
        assert "about 2.1 s to save and 38.2 s to start again" in rows["charged"]
        await pilot.press("enter")
        await settled(pilot)
        expected = SubmitFinetune(run="12-academic-large", task="cola", data_dir="/d", now=PauseKind.COLD)
        assert feed.asked == [("submit", expected)]


async def test_a_preset_makes_a_grid_whose_trials_are_counted_before() -> None:
    feed = FakeFeed()
    app = dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        form = app.screen
        assert isinstance(form, FinetuneForm)
        await fill(pilot, data="", task="cola,rte", preset="fair", export="0.25")
        assert "Enter the data folder" in screen_text(app)
        await fill(pilot, data="/d")
        expected = SubmitGrid(
            run="12-academic-large@0.25", tasks=["cola", "rte"], preset=Preset.FAIR, data_dir="/d", now=None
        )
        assert feed.asked == [("submit", expected)]


async def test_the_costs_follow_what_is_typed() -> None:
    app = dashboard(FakeFeed())
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        form = app.screen
        assert isinstance(form, FinetuneForm)
        form.query_one("#data").value = "/d"  # type: ignore[attr-defined]  # An Input.
        form.query_one("#preset").value = "paper"  # type: ignore[attr-defined]
        form.estimate()
        await settled(pilot)
        (grid, charged) = form.query_one(CostTable).rows
        assert grid.text.startswith("120 trials, about ")
        assert charged.text == "nothing: it waits for free devices"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"preset": "best"}, "No preset 'best'"),
        ({"task": "cola,rte"}, "Several tasks are a grid"),
        ({"when": "soon"}, "or a share of the budget"),
        ({"when": "1.5"}, "or a share of the budget"),
        ({"when": "0.5", "export": "4800"}, "leave this empty"),
        ({"export": "half"}, "neither a step"),
        ({"task": "marrow"}, "is not a GLUE task"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_sent(values: dict[str, str], problem: str) -> None:
    feed = FakeFeed()
    app = dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f")
        await fill(pilot, **{"data": "/d", **values})
        assert problem in screen_text(app)
        assert feed.asked == []


# ---- Budget --------------------------------------------------------------------------------------------


async def test_a_budget_is_extended_and_taken_back() -> None:
    feed = FakeFeed()
    app = dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("b")
        assert isinstance(app.screen, BudgetForm)
        await fill(pilot, amount="+6h")
        more = BudgetRequest(unit=BudgetUnit.HOURS, amount=30.0)
        assert feed.asked == [("budget", ("12-academic-large", more))]
        assert "it has 30h 00m as of now; U takes it back" in said(app)
        await pilot.press("U")
        await settled(pilot)
        assert feed.asked[-1] == ("budget", ("12-academic-large", BudgetRequest(unit=BudgetUnit.HOURS, amount=24.0)))
        await pilot.press("U")
        assert "nothing to take back" in said(app)


@pytest.mark.parametrize(
    ("amount", "problem"),
    [
        ("soon", "is not a budget"),
        ("5000steps", "counts hours"),
        ("2h", "less than what is spent"),
        ("-23h", "less than what is spent"),
    ],
)
async def test_an_impossible_budget_is_refused_in_the_form(amount: str, problem: str) -> None:
    feed = FakeFeed()
    app = dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("b")
        await fill(pilot, amount=amount)
        assert problem in screen_text(app)
        assert feed.asked == []


async def test_the_daemons_refusal_of_a_budget_stays_in_the_form() -> None:
    feed = FakeFeed()
    feed.refusal = BudgetError("its end needs more")
    app = dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("b")
        await fill(pilot, amount="12h")
        assert "its end needs more" in screen_text(app)
        assert isinstance(app.screen, BudgetForm)


def test_a_new_budget_says_when_it_ends_and_how_many_steps_that_is() -> None:
    run = FakeFeed().status.runs[0]
    request = BudgetRequest(unit=BudgetUnit.HOURS, amount=run.budget.amount + 2)
    rows = {row.label: row.text for row in budget_costs(run, request, now=1_763_900_000.0, devices=8)}
    assert rows["total"].startswith("26h 00m, +2h 00m; ")
    assert rows["devices"] == "keeps 8 for 2h 00m more"
    assert run.budget.projected_step is not None
    steps = int(rows["steps"].split()[1].replace(",", ""))
    assert steps > run.budget.projected_step
    unknown = run.model_copy(update={"budget": run.budget.model_copy(update={"remaining_s": None})})
    assert "not known" in budget_costs(unknown, request, now=0.0, devices=8)[-1].text


# ---- New run -------------------------------------------------------------------------------------------


async def test_a_new_run_shows_its_plan_and_is_queued(tmp_path: Path) -> None:
    write_manifest(tmp_path)
    feed = FakeFeed()
    feed.answer_state = JobState.QUEUED
    app = dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("n")
        form = app.screen
        assert isinstance(form, NewRunForm)
        for field, value in {"recipe": "demo", "data": str(tmp_path), "budget": "500steps", "name": "mine"}.items():
            form.query_one(f"#{field}").value = value  # type: ignore[attr-defined]  # An Input.
        form.estimate()
        await settled(pilot)
        rows = {row.label: row.text for row in form.query_one(CostTable).rows}
        assert rows["budget"] == "500 steps"
        assert rows["steps"].startswith("500 steps")
        assert "2 jobs wait already" in rows["takes"]
        await pilot.press("enter")
        await settled(pilot)
        ((verb, sent),) = feed.asked
        assert verb == "submit" and isinstance(sent, SubmitPretrain)
        assert {'run.name="mine"', "budget.steps=500", f'data.shards="{tmp_path}"'} <= set(sent.overrides)
        assert "U takes it back" in said(app)
        await pilot.press("U")
        await settled(pilot)
        assert feed.asked[-1] == ("stop", 12)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "Enter a recipe"),
        ({"recipe": "no-such"}, "no such file, nor a recipe of bertd"),
        ({"recipe": "demo", "budget": "much"}, "is not a budget"),
        ({"recipe": "demo", "settings": "optimizer.peek_lr=1"}, "peek_lr"),
        ({"recipe": "demo", "settings": "'"}, "write section.key=value"),
        ({"recipe": "demo", "data": "no-such"}, "bertd data prepare"),
    ],
)
async def test_a_run_that_cannot_be_is_refused_in_the_form(
    values: dict[str, str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    feed = FakeFeed()
    app = dashboard(feed)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("n")
        form = app.screen
        assert isinstance(form, NewRunForm)
        await fill(pilot, **values)
        form.estimate()
        await settled(pilot)
        # On the screen a long folder may part any of these words.
        message = form.query_one(FormError)
        assert problem in str(message.content)
        assert message.display and message.region.height > 0
        assert isinstance(app.screen, NewRunForm)
