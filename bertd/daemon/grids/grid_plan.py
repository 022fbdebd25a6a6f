"""Plan a grid of finetunings before it is queued: its trials, its devices, and what it would take."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bertd.api.models import GridEstimateView, SubmitGrid
from bertd.daemon.admission.finetuning import require_own_data, require_task_data
from bertd.daemon.grids.measured_speeds import MeasuredSpeeds
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.errors import RecipeError
from bertd.records import GLUE_TASKS, GridSpec, GridTrial
from bertd.run.grid.finetune_grid import (
    longest_first,
    make_own_trials,
    make_trials,
    require_halving_settings,
    require_own_settings,
    require_settings,
    require_via,
)
from bertd.run.grid.finetune_halving import most_trials
from bertd.run.grid.grid_schedule import assumed_batch_sizes, find_time_left


@dataclass(frozen=True)
class GridPlan:
    """A grid with the devices that it would get."""

    spec: GridSpec
    device_kind: Literal["cpu", "gpu"]
    num_devices: int

    def estimate(self) -> GridEstimateView:
        """How many trials there are, and how long they take."""
        spec = self.spec
        num_workers = spec.num_cpu_workers if self.device_kind == "cpu" else self.num_devices * spec.workers_per_gpu
        left = find_time_left(most_trials(spec), speeds=spec.epoch_seconds, num_workers=num_workers)
        is_known, by_task = bool(spec.epoch_seconds), Counter(trial.task for trial in spec.trials)
        return GridEstimateView(
            num_trials=len(spec.trials),
            num_trials_by_task={task: by_task[task] for task in (*GLUE_TASKS, *by_task) if task in by_task},
            device_kind=self.device_kind,
            num_devices=self.num_devices,
            num_workers=num_workers,
            wall_s=left.seconds if is_known else None,
            device_hours=left.seconds * self.num_devices / 3600 if is_known else None,
            unmeasured=list(left.unmeasured),
            assumed=assumed_batch_sizes(spec.trials, spec.epoch_seconds),
        )


def plan_grid(
    request: SubmitGrid,
    *,
    export: Path,
    source_name: str,
    inventory: Inventory,
    speeds: MeasuredSpeeds,
    most_devices: int | None = None,
) -> GridPlan:
    """Plan a grid that takes every device of the machine, or up to `most_devices`.

    Raises:
        CorpusError: the data of a task does not exist.
        RecipeError: there is no such task, the preset has no settings for it, or the tasks do not fit `via`.
    """
    trials = _make_trials(request)
    gpus = inventory.gpus
    device_kind: Literal["cpu", "gpu"] = "gpu" if gpus else "cpu"
    num_devices = min(len(trials), inventory.count(device_kind) if most_devices is None else most_devices)
    workers_per_gpu = min((inventory.finetunings_per_gpu.get(gpu, 1) for gpu in gpus), default=1)
    spec = GridSpec(
        preset=request.preset,
        source=str(export),
        source_name=source_name,
        data_dir=request.data_dir,
        own=request.own,
        keep=request.keep,
        is_halving=request.is_halving,
        num_cpu_workers=num_devices,
        workers_per_gpu=workers_per_gpu,
        epoch_seconds=speeds.find(export, request, trials, device_kind=device_kind, workers_per_gpu=workers_per_gpu),
        trials=longest_first(trials, data_dir=Path(request.data_dir) if request.own is None else None),
    )
    return GridPlan(spec, device_kind, num_devices)


def _make_trials(request: SubmitGrid) -> list[GridTrial]:
    """The trials, in any order.

    Raises:
        CorpusError: the data of a task does not exist.
        RecipeError: there is no such task, the preset has no settings for it, or the tasks do not fit `via`.
    """
    if request.own is not None:
        require_own_data(request.own)
    else:
        for task in request.tasks:
            require_task_data(task, request.data_dir)
    try:
        if request.own is not None:
            require_own_settings(request.preset)
        else:
            require_settings(request.tasks, preset=request.preset)
    except ValueError as error:
        raise RecipeError(f"--preset {request.preset}: {error}") from error
    try:
        require_via(request.tasks, via=request.via)
    except ValueError as error:
        raise RecipeError(f"--via {request.via}: {error}") from error
    try:
        require_halving_settings(request.preset, is_halving=request.is_halving)
    except ValueError as error:
        raise RecipeError(f"--halving: {error}") from error
    if request.own is None:
        return make_trials(request.tasks, preset=request.preset, num_seeds=request.num_seeds, via=request.via)
    assert request.num_train is not None
    return make_own_trials(
        request.tasks[0], preset=request.preset, num_train=request.num_train, num_seeds=request.num_seeds
    )
