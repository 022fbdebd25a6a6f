"""Begin and cancel sweeps: all that can be foreseen is refused before the sweep exists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bertd.api.sweep_models import SubmitSweep
from bertd.daemon.scheduling.job_actions import JobActions
from bertd.daemon.submissions import Submissions
from bertd.daemon.sweeps.rung_decisions import IN_PLAY
from bertd.errors import RecipeError, StorageError, TransitionError
from bertd.jobs.store.database import Database
from bertd.jobs.store.lifecycle import ENDED, Actor, JobAction, change_by_dropping
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.sweep_table import Sweep, SweepTable
from bertd.records import JobState, SettingState, SweepState
from bertd.run.atomic_files import atomic_write, fsync_folder
from bertd.run.paths import StatePaths
from bertd.run.recipe.sweep_grid import Setting, expand_settings
from bertd.run.recipe.sweep_rungs import check_rungs


class SweepActions:
    """Carries out what people ask of sweeps."""

    def __init__(
        self,
        paths: StatePaths,
        *,
        database: Database,
        queue: Queue,
        table: SweepTable,
        submissions: Submissions,
        job_actions: JobActions,
    ) -> None:
        self._paths = paths
        self._database = database
        self._queue = queue
        self._table = table
        self._submissions = submissions
        self._job_actions = job_actions

    def begin(self, request: SubmitSweep, *, uid: int, now: float) -> Sweep:
        """Add a sweep; its settings are submitted by the scheduler's rounds.

        Raises:
            RecipeError: a setting's recipe is wrong, or it would not reach the end.
            QueueError: another sweep has its name.
            ShardError: the data set does not exist, is damaged or has too little text.
            CheckpointError: a setting cannot start from the model that it names.
            DeviceError: the machine does not have the devices.
            SubmissionError: there is no such group, or it allows fewer devices than a setting needs.
            StorageError: the disk is too full.
        """
        spec, name = request.spec, request.sweep_name
        settings = expand_settings(spec, recipe_toml=request.recipe_toml, recipe_name=request.recipe_name, name=name)
        check_rungs(spec, settings, name=name)
        if len({setting.recipe.devices.kind for setting in settings}) > 1:
            raise RecipeError(f"{name}: [grid]: devices.kind: settings are compared at equal time; give one kind")
        for setting in _unlike_settings(settings):
            self._submissions.admit(setting.recipe, name=f"{name}: setting {setting.number}")
            self._submissions.require_group(setting.recipe, request.group)
        draft = Sweep(
            id=0,
            state=SweepState.RUNNING,
            reason="",
            spec=spec,
            recipe_toml=request.recipe_toml,
            recipe_name=request.recipe_name,
            priority=request.priority,
            owner_uid=uid,
            created_t=now,
            group_name=request.group or "",
        )
        with self._database.transaction():
            sweep = self._table.insert(draft, num_settings=len(settings))
            self._write_files(sweep, request)
        return sweep

    def cancel(self, sweep: Sweep, *, asked_by: str, now: float) -> None:
        """End a sweep: what trains is stopped with an export, what waits is cancelled.

        Raises:
            TransitionError: it is over.
        """
        if sweep.state is not SweepState.RUNNING:
            raise TransitionError(f"sweep {sweep.id}: is {sweep.state} already, so there is nothing to cancel")
        reason = f"sweep {sweep.id} was cancelled by {asked_by}"
        with self._database.transaction():
            rows = self._table.settings(sweep.id)
            for row in rows:
                if row.job_id is not None:
                    self._end_job(self._queue.get(row.job_id), reason=reason, asked_by=asked_by, now=now)
            self._table.update(
                replace(row, state=SettingState.ENDED_EARLY, reason=reason) for row in rows if row.state in IN_PLAY
            )
            self._table.end(sweep, SweepState.CANCELLED, reason=f"cancelled by {asked_by}", now=now)

    def _end_job(self, job: Job, *, reason: str, asked_by: str, now: float) -> None:
        if job.state in ENDED or job.state is JobState.STOPPING:
            return
        if job.has_runner:
            self._job_actions.apply(JobAction.STOP, job, asked_by=asked_by, now=now)
        else:
            self._queue.apply(job.id, change_by_dropping(reason), actor=Actor.SCHEDULER, now=now)

    def _write_files(self, sweep: Sweep, request: SubmitSweep) -> None:
        paths = self._paths.sweep(sweep.folder_name)
        try:
            paths.root.mkdir(mode=0o750, parents=True, exist_ok=True)
            atomic_write(paths.sweep, request.sweep_toml)
            atomic_write(paths.base_recipe, request.recipe_toml)
            # The parent folder may be new as well: its name is stored in its own parent.
            for folder in (paths.root, paths.root.parent, paths.root.parent.parent):
                fsync_folder(folder)
        except OSError as error:
            raise StorageError(f"{paths.root}: cannot make the folder: {error.strerror}; free space there") from error


def _unlike_settings(settings: list[Setting]) -> list[Setting]:
    """One setting for each combination of what the machine is asked about: a hundred may share a data set."""
    keys: list[Callable[[Setting], object]] = [
        lambda setting: setting.recipe.data,
        lambda setting: setting.recipe.model,
        lambda setting: setting.recipe.budget,
        lambda setting: setting.recipe.devices,
        lambda setting: setting.recipe.checkpoint,
    ]
    chosen: dict[str, Setting] = {}
    for setting in settings:
        chosen.setdefault(repr([key(setting) for key in keys]), setting)
    return list(chosen.values())
