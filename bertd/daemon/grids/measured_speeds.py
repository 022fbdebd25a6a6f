"""What earlier finetunings in the queue took, for the estimate of a grid: only of models of the same shape."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bertd.api.models import SubmitFinetune, SubmitGrid
from bertd.daemon.admission.readable import read_json_object
from bertd.errors import BertdError
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.row_filters import JobFilter
from bertd.records import EpochSeconds, FinetuneSpec, GridSpec, GridTrial, JobKind, OwnTask, ScoreRecord
from bertd.run.bounded_read import read_bounded
from bertd.run.grid.finetune_grid import train_bytes
from bertd.run.grid.grid_schedule import measure_speeds, merge_speeds
from bertd.run.journal import read_scores
from bertd.run.paths import JobPaths
from bertd.run.pretrained_folder import CONFIG_FILE

logger = logging.getLogger(__name__)

_MAX_JOBS = 200
"""Newest finetunings and grids that are looked at."""
_SHAPE_KEYS = (
    *("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size"),
    *("dim", "n_layers", "hidden_dim"),  # DistilBERT
)


class MeasuredSpeeds:
    """Finds speeds in the journals of earlier jobs."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def find(
        self,
        export: Path,
        request: SubmitGrid,
        trials: Iterable[GridTrial],
        *,
        device_kind: str,
        workers_per_gpu: int,
    ) -> EpochSeconds:
        """What an epoch of each task takes with each batch size that was measured, by the newest job with such a trial.

        Another amount of data is taken to need time in proportion. A lone finetuning on CPU does not count: it computes
        on all cores, a trial of a grid on one.
        """
        shape = _read_shape(export)
        wanted = {(trial.task, trial.batch_size) for trial in trials}
        found: EpochSeconds = {}
        scored = JobFilter(kinds=(JobKind.FINETUNE, JobKind.GRID))
        for job in self._queue.page(before=2**63 - 1, limit=_MAX_JOBS, where=scored):
            if all(batch_size in found.get(task, {}) for task, batch_size in wanted):
                break
            if job.device_kind != device_kind or (job.kind is JobKind.FINETUNE and device_kind == "cpu"):
                continue
            earlier = _read_alike(job, export=export, shape=shape, workers_per_gpu=workers_per_gpu)
            if earlier is None:
                continue
            found = merge_speeds(_scale(earlier, request), found)
        return found

    def find_finetuning(self, export: Path, request: SubmitFinetune, *, device_kind: str) -> float | None:
        """Seconds that a finetuning takes, by the newest of the same data and a model of the same shape.

        In proportion to the epochs, whatever the batch size; None if there is none.
        """
        shape = _read_shape(export)
        for job in self._queue.page(before=2**63 - 1, limit=_MAX_JOBS, where=JobFilter(kinds=(JobKind.FINETUNE,))):
            if job.device_kind != device_kind or job.name != request.task:
                continue
            earlier = _read_alike(job, export=export, shape=shape, workers_per_gpu=1)
            if earlier is None or not earlier.scores or not earlier.has_data_of(request):
                continue
            score = earlier.scores[-1]
            return score.seconds * request.epochs / score.epochs
        return None


@dataclass(frozen=True)
class _Earlier:
    """A job that was measured."""

    scores: list[ScoreRecord]
    data_dir: Path
    own: OwnTask | None

    def has_data_of(self, request: SubmitFinetune) -> bool:
        """Whether it was trained on the same files."""
        return self.data_dir == Path(request.data_dir) and self.own == request.own


def _scale(earlier: _Earlier, request: SubmitGrid) -> EpochSeconds:
    """What the request's tasks would take by an earlier job: in proportion to what there is to read."""
    speeds = measure_speeds(earlier.scores)
    if request.own is None and earlier.own is None:
        data_dir = Path(request.data_dir)
        ratios = {task: _ratio(task, data_dir, earlier.data_dir) for task in request.tasks if task in speeds}
    elif request.own is not None and request.num_train and _reads_alike(request.own, earlier.own):
        ratios = {request.tasks[0]: request.num_train / earlier.scores[0].num_train} if speeds else {}
        speeds = {request.tasks[0]: next(iter(speeds.values()), {})}
    else:
        ratios = {}
    return {
        task: {batch_size: seconds * ratio for batch_size, seconds in speeds[task].items()}
        for task, ratio in ratios.items()
    }


def _reads_alike(own: OwnTask, earlier: OwnTask | None) -> bool:
    """Whether two tasks of one's own learn from the same columns of the same file."""
    return earlier is not None and (own.train, own.text, own.label) == (earlier.train, earlier.text, earlier.label)


def _ratio(task: str, data_dir: Path, earlier_dir: Path) -> float:
    """How much more there is to read; 1 if the earlier data are gone."""
    earlier_bytes = train_bytes(task, data_dir=earlier_dir)
    return train_bytes(task, data_dir=data_dir) / earlier_bytes if earlier_bytes else 1.0


def _read_alike(job: Job, *, export: Path, shape: object, workers_per_gpu: int) -> _Earlier | None:
    """The job's scores, if its model has the shape and it shared GPUs alike."""
    paths = JobPaths(Path(job.folder))
    try:
        if job.kind is JobKind.GRID:
            grid = GridSpec.model_validate_json(read_bounded(paths.grid_spec))
            source, data_dir, own, parts = grid.source, grid.data_dir, grid.own, grid.workers_per_gpu
        else:
            spec = FinetuneSpec.model_validate_json(read_bounded(paths.finetune_spec))
            source, data_dir, own, parts = spec.source, spec.data_dir, spec.own, workers_per_gpu
        is_alike = parts == workers_per_gpu and (source == str(export) or _read_shape(Path(source)) == shape)
        return _Earlier(read_scores(paths.journal), Path(data_dir), own) if is_alike else None
    except (OSError, ValueError, BertdError) as error:
        # Its folder, or its export, was removed or changed: it says nothing about this machine's speed.
        logger.debug("job %d is not measured: %s", job.id, error)
        return None


def _read_shape(export: Path) -> object:
    config = read_json_object(export / CONFIG_FILE)
    return [config.get(key) for key in _SHAPE_KEYS]
