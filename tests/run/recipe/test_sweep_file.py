"""Sweep files: every mistake is one line with its place; the paper's search has its 108 settings."""

from __future__ import annotations

import pytest

from bertd.errors import RecipeError
from bertd.records import SweepSpec
from bertd.run.recipe.load import find_recipe
from bertd.run.recipe.sweep_file import find_sweep, parse_sweep, read_sweep, resolve_sweep
from bertd.run.recipe.sweep_grid import expand_settings
from bertd.run.recipe.sweep_rungs import most_charged_s, num_kept, pause_mark_s

GRID = '"optimizer.peak_lr" = [1e-3, 2e-3]'


def resolve(grid: str, *, sweep: str = "", fixed: str = "") -> SweepSpec:
    text = f'[sweep]\nname = "s"\nrecipe = "24hbert"\n{sweep}\n[set]\n{fixed}\n[grid]\n{grid}\n'
    file = parse_sweep(text, name="s.toml")
    recipe = find_recipe("24hbert").read_text()
    settings = expand_settings(file.spec, recipe_toml=recipe, recipe_name="24hbert.toml", name="s.toml")
    return resolve_sweep(file, settings)


def test_the_papers_search_has_its_108_settings_and_rules() -> None:
    path = find_sweep("24hbert")
    _, file = read_sweep(path)
    recipe = find_recipe(file.recipe).read_text()
    settings = expand_settings(file.spec, recipe_toml=recipe, recipe_name="24hbert.toml", name=path.name)
    spec = resolve_sweep(file, settings)
    assert len(settings) == 108
    assert len({setting.recipe.run.name for setting in settings}) == 108
    assert len({tuple(setting.values.values()) for setting in settings}) == 108
    assert [(rung.at_s, rung.keep, rung.max_loss) for rung in spec.rungs] == [
        (3 * 3600, None, 6.0),
        (12 * 3600, 0.5, None),
    ]
    assert spec.end_s == 24 * 3600
    assert most_charged_s(spec, num_settings=108, end_s=spec.end_s) == 1944 * 3600
    # A schedule for one day ends with its budget, and one for longer is paused there.
    assert [pause_mark_s(spec, setting.recipe, rung=2) for setting in settings[:3]] == [None, 86400.0, 86400.0]


@pytest.mark.parametrize(
    ("grid", "sweep", "fixed", "message"),
    [
        ('"optimizer.peek_lr" = [1, 2]', "", "", r"s.toml: \[grid\]: unknown key 'optimizer.peek_lr'; did you mean"),
        ('"run.seed" = [1, 2]', "", "", "run.seed: a seed is not a setting"),
        ('"optimizer.peak_lr" = [1e-3]', "", "", "has one value, so it is no choice; put it into"),
        ('"optimizer.peak_lr" = []', "", "", "has no value, so there is no setting"),
        ('"optimizer.peak_lr" = [1e-3, 0.001]', "", "", "has 0.001 twice"),
        ("", "", "", r"\[grid\] has no setting"),
        (f"{GRID}\noptimizer.peak_lr = [1e-3, 3e-3]", "", "", "optimizer.peak_lr is given twice"),
        (f"{GRID}\n{GRID}", "", "", "not TOML"),
        (GRID, "", '"optimizer.peak_lr" = 1', "is in .set. and in .grid."),
        ('"schedule.warmup" = [0.1, 7.0]', "", "", r"setting 2 of 2 \(schedule.warmup=7.0\): 24hbert.toml: .schedule"),
        ('"budget.hours" = [1, 2]', "", "", "budgets of the settings differ; give .sweep. end"),
        ('"budget.hours" = [1, 3]', 'end = "2h"', "", "setting 1: its budget is 1h 00m, and it would end before"),
        (GRID, 'rungs = [{ at = "3h" }]', "", "3h 00m ends nothing"),
        (GRID, 'rungs = [{ at = "30h", keep = 0.5 }]', "", "let each be later than the one before, the last before"),
        (GRID, 'rungs = [{ at = "3h", kep = 0.5 }]', "", "unknown; leave it out"),
        (GRID, 'halving = { first = "30h" }', "", "is not before the end"),
    ],
)
def test_a_wrong_sweep_is_refused_in_a_line(grid: str, sweep: str, fixed: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve(grid, sweep=sweep, fixed=fixed)


def test_halving_keeps_one_in_factor_for_factor_times_as_long() -> None:
    spec = resolve('"optimizer.peak_lr" = [1, 2, 3, 4, 5, 6, 7, 8, 9]', sweep='halving = {first = "1h", factor = 3}')
    assert [rung.at_s / 3600 for rung in spec.rungs] == [1, 3]
    assert [num_kept(9, keep=spec.rungs[0].keep), num_kept(3, keep=1 / 3), num_kept(5, keep=0.5)] == [3, 1, 3]
