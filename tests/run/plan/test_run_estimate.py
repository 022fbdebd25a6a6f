"""What `bertd submit` says of a run before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bertd.records import StartRecord, StepRecord
from bertd.run.plan.run_estimate import estimate_run, main_lines
from bertd.run.recipe.load import parse_recipe
from tests.run.data_sets import write_manifest
from tests.run.forecast.test_earlier_runs import finish, recipe


@dataclass(frozen=True)
class Known:
    id: str
    folder: str
    model: str = "24 layers x 1024, 336M parameters"
    start: StartRecord | None = None
    step: StepRecord | None = None


def test_a_finished_run_of_the_recipe_says_what_loss_to_expect(tmp_path: Path) -> None:
    wanted = recipe(f"data.shards={write_manifest(tmp_path / 'shards')}")
    folder = finish(tmp_path / "runs" / "1-a", wanted).root

    known = estimate_run(wanted, known_runs=[Known("1-a", str(folder))])
    unknown = estimate_run(wanted, known_runs=[])
    smaller = estimate_run(wanted, known_runs=[Known("1-a", str(folder), model="2 layers x 64, 0.2M parameters")])

    assert known.expected_loss is not None and "1-a" in known.expected_loss.basis
    assert any("nats at the end" in line and "1-a" in line for line in main_lines(known))
    assert unknown.expected_loss is None and smaller.expected_loss is None
    assert not any("nats" in line for line in main_lines(unknown))


def test_a_budget_of_time_without_a_known_speed_has_no_expected_loss(tmp_path: Path) -> None:
    shards = write_manifest(tmp_path / "shards")
    folder = finish(tmp_path / "runs" / "1-a", recipe(f"data.shards={shards}")).root
    text = f'[run]\nname = "x"\n[budget]\nhours = 1\n[data]\nshards = "{shards}"\n'
    estimate = estimate_run(parse_recipe(text, name="x"), known_runs=[Known("1-a", str(folder))])

    assert estimate.steps is None and estimate.expected_loss is None
