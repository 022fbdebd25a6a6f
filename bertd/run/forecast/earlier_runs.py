"""Read the runs of the same recipe that are over, from the folders beside a run's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import BertdError
from bertd.run.forecast.loss_curve import LossCurve
from bertd.run.forecast.make_forecast import RunSchedule
from bertd.run.forecast.recipe_key import curve_key, law_key
from bertd.run.journal_digest import JournalDigest, read_digest
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe
from bertd.run.recipe.schema import Recipe

MAX_FOLDERS = 100
"""The newest ones are looked at: each takes about a millisecond of a start, which is charged."""
MAX_RUNS = 8
"""More say little more."""


@dataclass(frozen=True)
class EarlierRun:
    """A run that trained until its budget was spent."""

    name: str
    """Of its folder."""
    schedule: RunSchedule
    curve: LossCurve
    final_loss: float
    """Nats: of its last validation."""
    is_same_curve: bool
    """Its budget was the same too."""


def find_earlier_runs(folders: Iterable[Path], recipe: Recipe, *, own: Path | None = None) -> list[EarlierRun]:
    """Those of the same recipe, but for budget, seed and devices, the newest first.

    A folder that cannot be read, or may not be, is left out: an old run must not stop a new one.

    Args:
        folders: run folders, the newest first.
        own: the folder of the run that asks.
    """
    wanted = law_key(recipe)
    found: list[EarlierRun] = []
    for folder in list(folders)[:MAX_FOLDERS]:
        if len(found) == MAX_RUNS:
            break
        paths = RunPaths(folder)
        if folder == own:
            continue
        try:
            if not paths.outcome.exists():
                continue
            earlier = read_recipe(paths.recipe)
            if law_key(earlier) != wanted:
                continue
            run = finished_run(folder.name, earlier, read_digest(paths.journal), same_as=recipe)
        except (BertdError, OSError):
            continue
        if run is not None:
            found.append(run)
    return found


def finished_run(name: str, recipe: Recipe, digest: JournalDigest, *, same_as: Recipe) -> EarlierRun | None:
    """What its journal says of a run; None if it did not train to its budget's end, or has too few validations."""
    end = digest.end
    if end is None or end.reason != "budget" or end.validation_loss is None or len(digest.curve.points) < 2:
        return None
    return EarlierRun(
        name=name,
        schedule=RunSchedule.of(recipe, digest.progress),
        curve=digest.curve,
        final_loss=end.validation_loss,
        is_same_curve=not digest.progress.budget_changes and curve_key(recipe) == curve_key(same_as),
    )


def newest_run_folders(runs: Path) -> list[Path]:
    """The run folders in a folder of runs, by the number that their names begin with, the newest first."""
    try:
        folders = [folder for folder in runs.iterdir() if folder.is_dir()]
    except OSError:
        return []
    return sorted(folders, key=_job_number, reverse=True)


def _job_number(folder: Path) -> int:
    number = folder.name.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else -1
