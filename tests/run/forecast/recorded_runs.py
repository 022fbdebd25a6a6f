"""Recorded runs: real pretrainings on one CPU core, each with its recipe and its journal.

They learnt the tokens of English novels and Wikipedia with a vocabulary of 1,024 entries, in sequences of 32 tokens, so
that the models leave the plateau of guesses by frequency after a few hundred steps. Their validation set is small (512
sequences), so that a validation is off its law by about 0.01 nat. One of 25 step records was kept; everything else is
as the runs wrote it, but for the name of the data set. The one with the highest rate spiked and never came back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bertd.records import StateRecord, ValidationRecord
from bertd.run.forecast.earlier_runs import EarlierRun
from bertd.run.forecast.loss_curve import LossCurve
from bertd.run.forecast.make_forecast import RunSchedule
from bertd.run.forecast.recipe_key import curve_key, law_key, recipe_key
from bertd.run.journal import read_journal
from bertd.run.progress import RunProgress
from bertd.run.recipe.load import read_recipe
from bertd.run.recipe.schema import Recipe

FOLDER = Path(__file__).parent / "recorded"


@dataclass(frozen=True)
class Moment:
    """What a run knew after one of its validations."""

    curve: LossCurve
    schedule: RunSchedule
    progress: float
    """Of the schedule, as it was planned then."""


@dataclass(frozen=True)
class RecordedRun:
    """A run that ended with its budget."""

    name: str
    recipe: Recipe
    moments: list[Moment]
    final_loss: float
    num_pauses: int

    @property
    def key(self) -> str:
        """Of its recipe, whatever the schedule."""
        return recipe_key(self.recipe)

    @property
    def law(self) -> str:
        """Of its law."""
        return law_key(self.recipe)

    def moment(self, progress: float) -> Moment | None:
        """The last validation up to a share of the schedule; None if that is not in its tenth before, and before the
        budget's last change, when the forecast was of another end."""
        changes = self.moments[-1].schedule.plan.changes
        same_end = [moment for moment in self.moments if moment.schedule.plan.changes == changes]
        before = [moment for moment in same_end if moment.progress <= progress + 1e-6]
        return before[-1] if before and before[-1].progress > progress - 0.1 else None

    def as_earlier(self, other: Recipe) -> EarlierRun:
        """What a run of `other` sees of it."""
        last = self.moments[-1]
        is_same = curve_key(self.recipe) == curve_key(other)
        return EarlierRun(self.name, last.schedule, last.curve, self.final_loss, is_same)


@cache
def recorded_runs() -> tuple[RecordedRun, ...]:
    """All of them, by name."""
    return tuple(_read(folder) for folder in sorted(FOLDER.iterdir()) if (folder / "recipe.toml").exists())


def _read(folder: Path) -> RecordedRun:
    recipe = read_recipe(folder / "recipe.toml")
    moments: list[Moment] = []
    curve, progress, final, num_pauses = LossCurve(), RunProgress(), None, 0
    for record in read_journal(folder / "journal.jsonl"):
        curve, progress = curve.with_record(record), progress.with_record(record)
        if isinstance(record, ValidationRecord) and curve.points:
            schedule = RunSchedule.of(recipe, progress)
            moments.append(Moment(curve, schedule, schedule.progress(schedule.spent(curve.points[-1]))))
            final = record.loss
        num_pauses += isinstance(record, StateRecord) and record.state == "paused"
    assert final is not None
    return RecordedRun(folder.name, recipe, moments, final, num_pauses)
