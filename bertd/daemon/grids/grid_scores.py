"""The scores of a grid as its journal has them, with what its halving has dropped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bertd.api.models import ScoreView
from bertd.jobs.store.queue import Job
from bertd.records import GridSpec, ScoreRecord
from bertd.run.bounded_read import read_bounded
from bertd.run.grid.finetune_halving import seeds_before_drop
from bertd.run.journal import read_dropped_trials, read_scores
from bertd.run.paths import JobPaths


def read_grid_scores(job: Job, paths: JobPaths, *, has_dropped: bool) -> Iterator[ScoreView]:
    """Its scores, in the order in which the trials ended.

    Args:
        job: the grid.
        paths: of the job.
        has_dropped: whether its halving has dropped a trial.

    Raises:
        RunFolderError: the journal cannot be read.
    """
    numbers = _read_dropped(paths) if has_dropped else {}
    for score in read_scores(paths.journal):
        dropped_after = numbers.get(score.trial or "")
        yield ScoreView(job_id=job.id, run_id=job.run_id, score=_without_deleted(score), dropped_after=dropped_after)


def _read_dropped(paths: JobPaths) -> dict[str, int]:
    try:
        spec = GridSpec.model_validate_json(read_bounded(paths.grid_spec))
    except (OSError, ValueError):
        # The scores are true without it; a grid whose spec is damaged says so when it is resumed.
        return {}
    return seeds_before_drop(spec.trials, read_dropped_trials(paths.journal))


def _without_deleted(score: ScoreRecord) -> ScoreRecord:
    """The score without the folder of its model, if the grid has deleted that since."""
    return score if score.kept is None or Path(score.kept).is_dir() else score.model_copy(update={"kept": None})
