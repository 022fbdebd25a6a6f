"""Submit jobs: every error that can be foreseen is refused before the job exists.

The folder is complete before the row is committed, and the answer is sent after the commit. A crash between the two
leaves a folder without a row; its number is never used again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from bertd.api.models import GridEstimateView, LendingSubmission, SubmitFinetune, SubmitGrid, SubmitPretrain
from bertd.daemon.admission.answering_disks import AnsweringDisks
from bertd.daemon.admission.data_set import require_usable_data
from bertd.daemon.admission.find_export import find_export
from bertd.daemon.admission.finetuning import (
    require_grid_of_recipe,
    require_own_data,
    require_task_data,
)
from bertd.daemon.admission.machine import require_devices, require_room, require_trackers
from bertd.daemon.admission.paths_of_requests import paths_of, paths_of_recipe
from bertd.daemon.admission.quota import Quotas
from bertd.daemon.admission.start_from import require_usable_start
from bertd.daemon.grids.grid_plan import GridPlan, plan_grid
from bertd.daemon.grids.measured_speeds import MeasuredSpeeds
from bertd.daemon.new_jobs import NewJobs, draft_job
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.jobs.store.database import Database
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.dependency_table import DependencyTable
from bertd.jobs.store.tables.marker_grid_table import MarkerGridTable
from bertd.records import FinetuneSpec, JobKind
from bertd.run.atomic_files import atomic_write
from bertd.run.budget import require_whole_start
from bertd.run.paths import JobPaths, RunPaths, StatePaths, is_data_set
from bertd.run.pause_mark import write_pause_mark
from bertd.run.recipe.load import format_recipe, parse_recipe, read_recipe
from bertd.run.recipe.schema import Recipe


class Submissions:
    """Creates jobs."""

    def __init__(
        self,
        paths: StatePaths,
        *,
        database: Database,
        queue: Queue,
        inventory: Inventory,
        marker_grids: MarkerGridTable,
        quotas: Quotas,
    ) -> None:
        self._paths = paths
        self._database = database
        self._queue = queue
        self._inventory = inventory
        self._marker_grids = marker_grids
        self._quotas = quotas
        self._new_jobs = NewJobs(database=database, queue=queue, quotas=quotas)
        self._speeds = MeasuredSpeeds(queue)
        self._disks = AnsweringDisks()

    def submit_pretraining(
        self,
        request: SubmitPretrain,
        *,
        uid: int,
        now: float,
        pause_mark_s: float | None = None,
        awaited_data: Collection[str] = (),
    ) -> Job:
        """Queue a pretraining.

        Args:
            awaited_data: data sets that jobs make for which it waits. If one of its own is among them and not there
                yet, what can be said only by the data is checked at its start; see `admit_at_start`.
            pause_mark_s: charged time at which it pauses by itself, for a setting of a sweep.

        Raises:
            RecipeError: the recipe is wrong, or its budget is shorter than the start of a run.
            ShardError: its data set does not exist, is damaged or has too little text.
            CheckpointError: it cannot start from the model that it names.
            DeviceError: the machine does not have the devices that it requests.
            CorpusError: the data of the grids that it asks for is missing.
            StorageError: the disk is too full.
        """
        recipe = parse_recipe(request.recipe_toml, name=request.recipe_name, overrides=request.overrides)
        if all(is_data_set(Path(path)) or path not in awaited_data for path in recipe.data.weights):
            self.admit(recipe, name=request.recipe_name)
        else:
            self._admit_without_data(recipe, name=request.recipe_name)
        job = _draft_run(recipe, priority=request.priority, group=request.group, hold=request.hold, uid=uid, now=now)

        def write_files(job_paths: JobPaths, job: Job) -> None:
            atomic_write(RunPaths(job_paths.root).recipe, format_recipe(recipe))
            if pause_mark_s is not None:
                write_pause_mark(RunPaths(job_paths.root).pause_mark, pause_mark_s)

        with self._database.transaction():
            job = self._new_jobs.enqueue(job, choose_folder=self._run_folder, write_files=write_files)
            if recipe.finetune.tasks:
                self._marker_grids.insert(job.id, recipe.finetune.markers)
        return job

    def require_answer(self, request: SubmitPretrain | SubmitGrid) -> None:
        """Refuse what the daemon submits by itself while the disk of what it names does not answer.

        Raises:
            SilentDiskError: it does not; try again later.
        """
        self._disks.require(paths_of(request))

    def require_group(self, recipe: Recipe, group: str | None) -> None:
        """Refuse a group that a run of the recipe could never train in.

        Raises:
            SubmissionError: there is no such group, or it allows fewer devices.
        """
        self._quotas.require_group(_draft_run(recipe, priority=0, group=group, hold=False, uid=0, now=0.0))

    def admit(self, recipe: Recipe, *, name: str) -> None:
        """Refuse a recipe that is known to fail on this machine; raises what `submit_pretraining` does."""
        require_whole_start(recipe.granted)
        mixture = require_usable_data(recipe, name=name)
        require_usable_start(recipe, name=name, vocab_size=mixture.vocab_size)
        require_devices(recipe, name=name, inventory=self._inventory)
        require_room(recipe, name=name, vocab_size=mixture.vocab_size, folder=self._paths.root, quotas=self._quotas)
        require_trackers(recipe, name=name)
        require_grid_of_recipe(recipe, name=name, inventory=self._inventory)

    def _admit_without_data(self, recipe: Recipe, *, name: str) -> None:
        require_whole_start(recipe.granted)
        require_devices(recipe, name=name, inventory=self._inventory)
        require_trackers(recipe, name=name)
        require_grid_of_recipe(recipe, name=name, inventory=self._inventory)

    def admit_at_start(self, job: Job) -> None:
        """Check a pretraining before its first start if its data set was perhaps made after it was submitted.

        Raises what `submit_pretraining` does, and SilentDiskError where the disk of what it names does not answer.
        """
        if job.kind is not JobKind.PRETRAIN or job.started_t is not None:
            return
        others = DependencyTable(self._database).of_job(job.id)
        if any(self._queue.get(each.on_job_id).kind is JobKind.PREPARE for each in others):
            recipe = read_recipe(RunPaths(Path(job.folder)).recipe)
            self._disks.require(paths_of_recipe(recipe))
            self.admit(recipe, name=job.run_id)

    def submit_finetuning(
        self, request: SubmitFinetune, *, uid: int, now: float, most_devices: int | None = None
    ) -> Job:
        """Queue a finetuning: on one GPU, or on the cores of the machine.

        Args:
            most_devices: None for every core.

        Raises:
            CheckpointError: the run has no such export.
            CorpusError: the task's data does not exist.
            RecipeError: there is no such task.
        """
        export, source, run_id = find_export(self._queue, request.run)
        if request.own is None:
            require_task_data(request.task, request.data_dir)
        else:
            require_own_data(request.own)
        has_gpu = bool(self._inventory.gpus)
        job = draft_job(
            JobKind.FINETUNE,
            name=request.task,
            device_kind="gpu" if has_gpu else "cpu",
            num_devices=1 if has_gpu else min(self._inventory.cpu_slots, most_devices or self._inventory.cpu_slots),
            priority=request.priority,
            group=request.group,
            hold=False,
            uid=uid,
            now=now,
        )
        chosen = request.model_dump(exclude={"kind", "run", *LendingSubmission.model_fields})
        if request.own is not None:
            chosen["max_length"] = request.own.max_length
        spec = FinetuneSpec(source=str(export), source_name=source, **chosen)

        def write_files(job_paths: JobPaths, job: Job) -> None:
            atomic_write(job_paths.finetune_spec, spec.model_dump_json(indent=2))

        choose_folder = self._finetune_folder(source, run_id)
        return self._new_jobs.enqueue(job, choose_folder=choose_folder, write_files=write_files)

    def submit_grid(self, request: SubmitGrid, *, uid: int, now: float, most_devices: int | None = None) -> Job:
        """Queue a grid of finetunings.

        Args:
            most_devices: None for every device of the machine.

        Raises:
            CheckpointError: the run has no such export.
            CorpusError: the data of a task does not exist.
            RecipeError: there is no such task, the preset has no settings for it, or the tasks do not fit `via`.
        """
        plan, run_id = self._plan_grid(request, most_devices=most_devices)
        job = draft_job(
            JobKind.GRID,
            name=f"{'glue' if request.own is None else request.tasks[0]}-{request.preset}",
            device_kind=plan.device_kind,
            num_devices=plan.num_devices,
            priority=request.priority,
            group=request.group,
            hold=False,
            uid=uid,
            now=now,
        )

        def write_files(job_paths: JobPaths, job: Job) -> None:
            atomic_write(job_paths.grid_spec, plan.spec.model_dump_json(indent=2))

        choose_folder = self._finetune_folder(plan.spec.source_name, run_id)
        return self._new_jobs.enqueue(job, choose_folder=choose_folder, write_files=write_files)

    def estimate_grid(self, request: SubmitGrid, *, most_devices: int | None = None) -> GridEstimateView:
        """What a grid would take; raises what `submit_grid` does."""
        return self._plan_grid(request, most_devices=most_devices)[0].estimate()

    def estimate_finetuning(self, request: SubmitFinetune) -> float | None:
        """Seconds from its start to its end, by an earlier one; None if there is none like it.

        Raises:
            CheckpointError: the run has no such export.
        """
        export, _, _ = find_export(self._queue, request.run)
        return self._speeds.find_finetuning(export, request, device_kind="gpu" if self._inventory.gpus else "cpu")

    def _plan_grid(self, request: SubmitGrid, *, most_devices: int | None = None) -> tuple[GridPlan, str | None]:
        """The plan, and the run of its export; None for an export given by its path."""
        export, source_name, run_id = find_export(self._queue, request.run)
        plan = plan_grid(
            request,
            export=export,
            source_name=source_name,
            inventory=self._inventory,
            speeds=self._speeds,
            most_devices=most_devices,
        )
        return plan, run_id

    def _run_folder(self, draft: Job) -> tuple[JobPaths, str]:
        run_id = f"{draft.id}-{draft.name}"
        return self._paths.run(run_id), run_id

    def _finetune_folder(self, source: str, run_id: str | None) -> Callable[[Job], tuple[JobPaths, str]]:
        def choose_folder(draft: Job) -> tuple[JobPaths, str]:
            if run_id is None:
                return self._paths.foreign_finetune(draft.id), source
            return self._paths.run(run_id).finetune(draft.id), run_id

        return choose_folder


def _draft_run(recipe: Recipe, *, priority: int, group: str | None, hold: bool, uid: int, now: float) -> Job:
    return draft_job(
        JobKind.PRETRAIN,
        name=recipe.run.name,
        device_kind=recipe.devices.kind,
        num_devices=recipe.devices.count,
        priority=priority,
        group=group,
        hold=hold,
        uid=uid,
        now=now,
        memory_bytes=recipe.devices.memory_bytes,
    )
