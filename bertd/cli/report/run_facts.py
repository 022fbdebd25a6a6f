"""Read a run's folder for a report; no daemon is needed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertd.api.models import ScoreView
from bertd.daemon.metrics.metrics_follower import MetricsFollower
from bertd.errors import RunFolderError, ShardError
from bertd.metrics.curves import RunCurves
from bertd.metrics.journal_summary import JournalSummary
from bertd.records import (
    AlertRecord,
    BudgetRecord,
    DevicesRecord,
    EndRecord,
    ExportRecord,
    ForecastRecord,
    JobEnergy,
    JournalRecord,
    RestartRecord,
    RollbackRecord,
    StartRecord,
    StateRecord,
)
from bertd.run.bounded_read import read_bounded
from bertd.run.data_mixture import MixtureManifest, read_mixture
from bertd.run.job_energy import read_job_energy
from bertd.run.journal import JournalReader, read_scores
from bertd.run.paths import JobPaths, RunPaths
from bertd.run.recipe.load import read_recipe
from bertd.run.recipe.schema import Recipe
from bertd.run.time_account import TimeAccount, TimeBook

MAX_EVENTS = 200
"""The newest; a run that has more says so."""
_EVERY_EVENT = 2**63 - 1
"""As if all of them were in a queue: what the daemon has stored of the journal is then used."""
_MAX_PROVENANCE_BYTES = 1 << 20
_STEP_BYTES = 330
"""Of a step record, about."""
_MAX_STEPS = 50_000
"""Step records that are parsed, about: of a longer journal some, evenly spread, for curves of some hundred points."""
_PIECE_BYTES = 1 << 22
_EVENTS = (
    StartRecord
    | StateRecord
    | RestartRecord
    | RollbackRecord
    | BudgetRecord
    | DevicesRecord
    | AlertRecord
    | ExportRecord
    | EndRecord
)


@dataclass(frozen=True)
class PlacedEvent:
    """An event and where the run was."""

    record: JournalRecord
    charged_s: float
    """The highest charge in any record so far."""


@dataclass(frozen=True)
class RunFacts:
    """Everything that a report says of one run."""

    folder: Path
    recipe: Recipe
    summary: JournalSummary
    curves: RunCurves
    account: TimeAccount
    starts: tuple[StartRecord, ...]
    events: tuple[PlacedEvent, ...]
    num_events: int
    forecasts: tuple[ForecastRecord, ...]
    """Without those that a restart has taken back."""
    mixture: MixtureManifest | None
    """None if the data set is not there any more."""
    provenance: dict[str, str]
    scores: tuple[ScoreView, ...]
    energy: JobEnergy | None
    """None where nothing was measured."""
    num_damaged_lines: int
    """Of the journal, which were left out."""
    is_sampled: bool
    """The curves are of some of the step records, where the daemon has stored none."""

    @property
    def name(self) -> str:
        """The run's id."""
        return self.folder.name


def read_run_facts(folder: Path) -> RunFacts:
    """Read a run's folder.

    Raises:
        RunFolderError: there is no journal, or it cannot be read.
        RecipeError: its recipe is missing or was changed by hand.
    """
    paths = RunPaths(folder)
    if not paths.journal.is_file():
        raise RunFolderError(f"{folder}: no journal there; name a run that has begun")
    recipe = read_recipe(paths.recipe)
    step_bytes = paths.journal.stat().st_size // _MAX_STEPS
    is_sampled = step_bytes > _STEP_BYTES
    follower = MetricsFollower(
        folder, recipe=recipe, journal_seen=_EVERY_EVENT, step_bytes=step_bytes if is_sampled else 0
    )
    story = _Story()
    for record in _read_once(follower, paths.journal):
        story.add(record)
    assert follower.curves is not None
    return RunFacts(
        folder=folder,
        recipe=recipe,
        summary=follower.summary,
        curves=follower.curves,
        account=story.book.account(),
        starts=tuple(story.starts),
        events=tuple(story.events),
        num_events=story.num_events,
        forecasts=tuple(story.forecasts),
        mixture=_read_mixture(recipe),
        provenance=_read_provenance(paths.provenance),
        scores=tuple(_read_scores(paths)),
        energy=read_job_energy(paths),
        num_damaged_lines=follower.num_damaged_lines,
        is_sampled=is_sampled,
    )


class _Story:
    """What a report needs of a journal's records besides curves and newest values."""

    def __init__(self) -> None:
        self.book = TimeBook()
        self.starts: list[StartRecord] = []
        self.events: deque[PlacedEvent] = deque(maxlen=MAX_EVENTS)
        self.num_events = 0
        self.forecasts: list[ForecastRecord] = []
        self._charged_s = 0.0

    def add(self, record: JournalRecord) -> None:
        """The journal's next record."""
        self.book.add(record)
        self._charged_s = max(self._charged_s, getattr(record, "charged_s", 0.0))
        if isinstance(record, _EVENTS):
            self.num_events += 1
            self.events.append(PlacedEvent(record, self._charged_s))
        if isinstance(record, StartRecord):
            self.starts.append(record)
            self.forecasts = [each for each in self.forecasts if each.step <= record.step]
        if isinstance(record, ForecastRecord):
            self.forecasts.append(record)


def _read_once(follower: MetricsFollower, journal: Path) -> Iterator[JournalRecord]:
    """Let the follower read its journal, and give the records; twice, if the daemon has stored a part of it."""
    is_from_begin = follower.offset == 0
    offset = -1
    while offset != follower.offset:
        offset = follower.offset
        entries = follower.follow(limit_bytes=_PIECE_BYTES)
        if is_from_begin:
            yield from (entry.record for entry in entries)
    if not is_from_begin:
        yield from JournalReader(journal, is_thinned=True)


def _read_mixture(recipe: Recipe) -> MixtureManifest | None:
    try:
        return read_mixture(recipe.data.weights)
    except ShardError:
        return None


def _read_provenance(path: Path) -> dict[str, str]:
    """Its fields as text, those within others with a dot; empty if it is missing or damaged."""
    try:
        fields = json.loads(read_bounded(path, max_bytes=_MAX_PROVENANCE_BYTES))
    except (OSError, ValueError):
        return {}
    return dict(_flatten(fields)) if isinstance(fields, dict) else {}


def _flatten(fields: dict[str, object], *, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in fields.items():
        if isinstance(value, dict):
            yield from _flatten(value, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _read_scores(paths: RunPaths) -> Iterator[ScoreView]:
    """Of all finetunings and grids in the run's folder."""
    for entry in sorted((paths.root / "finetunes").glob("*")):
        job = JobPaths(entry)
        if entry.name.isdecimal() and job.journal.is_file():
            for score in read_scores(job.journal):
                yield ScoreView(job_id=int(entry.name), run_id=paths.root.name, score=score)
