"""Finished runs of the same recipe are found and used; others are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.records import EndRecord, JournalRecord
from bertd.run.forecast.earlier_runs import EarlierRun, find_earlier_runs, newest_run_folders
from bertd.run.forecast.learn_prior import learn_prior, typical_loss
from bertd.run.forecast.make_forecast import RunSchedule
from bertd.run.journal import append_records
from bertd.run.paths import RunPaths
from bertd.run.progress import RunProgress
from bertd.run.recipe.load import format_recipe, parse_recipe
from bertd.run.recipe.schema import Recipe
from tests.run.forecast.curves import LAW, PRIOR, STEPS, law_curve, law_losses, validation


def recipe(*overrides: str) -> Recipe:
    text = f'[run]\nname = "x"\n[budget]\nsteps = {STEPS}\n[data]\nshards = "/x"\n'
    return parse_recipe(text, name="x", overrides=list(overrides))


def places(of: Recipe) -> RunSchedule:
    return RunSchedule.of(of, RunProgress())


def finish(folder: Path, of: Recipe, *, reason: str = "budget") -> RunPaths:
    """A run folder with the curve of the law to its end."""
    folder.mkdir(parents=True)
    paths = RunPaths(folder)
    paths.recipe.write_text(format_recipe(of))
    steps = list(range(50, int(of.budget.amount) + 1, 50))
    losses = law_losses(places(of), steps)
    records: list[JournalRecord] = [validation(step, loss) for step, loss in zip(steps, losses, strict=True)]
    end = EndRecord.model_validate(
        {
            "t": 0.0,
            "step": steps[-1],
            "sequences": 0,
            "charged_s": float(steps[-1]),
            "reason": reason,
            "detail": "",
            "validation_loss": losses[-1],
        }
    )
    append_records(paths.journal, [*records, end])
    paths.outcome.write_text("{}")
    return paths


def names(found: list[EarlierRun]) -> list[str]:
    return [run.name for run in found]


def test_runs_that_differ_in_budget_seed_and_devices_are_of_the_same_recipe(tmp_path: Path) -> None:
    finish(tmp_path / "1-a", recipe("budget.steps=2000", "run.seed=7", "run.name=a", "devices.count=4"))
    finish(tmp_path / "2-b", recipe("schedule.curve=cosine"))
    finish(tmp_path / "10-c", recipe("run.seed=8"))
    finish(tmp_path / "3-d", recipe("optimizer.peak_lr=0.5"))
    finish(tmp_path / "4-e", recipe(), reason="stopped")

    found = find_earlier_runs(newest_run_folders(tmp_path), recipe())

    assert names(found) == ["10-c", "1-a"]
    assert [run.is_same_curve for run in found] == [True, False]


def test_ones_own_folder_and_damaged_ones_are_left_out(tmp_path: Path) -> None:
    finish(tmp_path / "1-a", recipe())
    own = finish(tmp_path / "2-b", recipe()).root
    finish(tmp_path / "3-c", recipe()).recipe.write_text("[run")
    finish(tmp_path / "4-d", recipe()).journal.unlink()
    (tmp_path / "5-e").mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert names(find_earlier_runs(newest_run_folders(tmp_path), recipe(), own=own)) == ["1-a"]
    assert newest_run_folders(tmp_path / "nowhere") == []


def test_the_prior_is_learnt_from_whole_curves(tmp_path: Path) -> None:
    finish(tmp_path / "1-a", recipe())
    earlier = find_earlier_runs(newest_run_folders(tmp_path), recipe())
    wide = PRIOR.model_copy(update={"gain": 0.6, "gain_spread": 0.3, "exponent": 0.9, "exponent_spread": 0.5})

    learnt = learn_prior(earlier, before=wide)

    assert learnt.gain == pytest.approx(LAW.gain, abs=0.1) and learnt.exponent == pytest.approx(LAW.exponent, rel=0.4)
    assert learnt.gain_spread < wide.gain_spread and "1-a" in learnt.basis
    assert learn_prior([], before=wide) == wide


def test_a_run_is_compared_with_those_of_the_same_curve_alone(tmp_path: Path) -> None:
    finish(tmp_path / "1-a", recipe("run.seed=7"))
    finish(tmp_path / "2-b", recipe("budget.steps=2000"))
    earlier = find_earlier_runs(newest_run_folders(tmp_path), recipe())
    curve = law_curve(places(recipe()), until=0.5)

    typical = typical_loss(earlier, progress=0.5)

    assert typical is not None and typical.num_runs == 1 and typical.spread is None
    assert typical.loss == pytest.approx(curve.points[-1].loss)
    assert typical_loss(earlier[:1], progress=0.5) is None
    finish(tmp_path / "3-c", recipe("run.seed=9"))
    both = typical_loss(find_earlier_runs(newest_run_folders(tmp_path), recipe()), progress=0.5)
    assert both is not None and both.num_runs == 2 and both.spread == pytest.approx(0.0, abs=1e-9)
