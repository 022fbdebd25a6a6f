"""Submit jobs of kind command."""

from __future__ import annotations

import re
from pathlib import Path

from bertd.api.models import SubmitCommand
from bertd.daemon.admission.command_job import choose_command_devices
from bertd.daemon.admission.quota import Quotas
from bertd.daemon.new_jobs import NewJobs, draft_job
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.jobs.store.database import Database
from bertd.jobs.store.job_names import find_run
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.retry_table import RetryTable
from bertd.records import CommandJobSpec, JobKind
from bertd.run.atomic_files import atomic_write
from bertd.run.paths import JobPaths, StatePaths

_SECRET_MODE = 0o600
"""Of the spec, because of the environment."""
_MAX_NAME = 64


class CommandSubmissions:
    """Creates jobs of kind command."""

    def __init__(
        self, paths: StatePaths, *, database: Database, queue: Queue, inventory: Inventory, quotas: Quotas
    ) -> None:
        self._paths = paths
        self._database = database
        self._queue = queue
        self._new_jobs = NewJobs(database=database, queue=queue, quotas=quotas)
        self._inventory = inventory

    def submit(self, request: SubmitCommand, *, uid: int, now: float) -> Job:
        """Queue a command that `require_command` lets pass.

        Raises:
            DeviceError: the machine does not have the devices.
            UnknownJobError: there is no such run.
            StorageError: the disk refused.
        """
        device_kind, num_devices = choose_command_devices(request, inventory=self._inventory)
        run = None if request.run is None else find_run(self._queue, request.run)
        draft = draft_job(
            JobKind.COMMAND,
            name=request.name or name_of_program(request.argv[0]),
            device_kind=device_kind,
            num_devices=num_devices,
            priority=request.priority,
            group=request.group,
            hold=request.hold,
            uid=uid,
            now=now,
            memory_bytes=request.memory_bytes,
        )

        def write_files(job_paths: JobPaths, job: Job) -> None:
            spec = CommandJobSpec(
                argv=request.argv,
                cwd=request.cwd,
                environment=request.environment,
                job_id=job.id,
                run_id=None if run is None else run.run_id,
                run_folder=None if run is None else run.folder,
                num_cpus=num_devices if device_kind == "cpu" else None,
                time_limit_s=request.time_limit_s,
            )
            atomic_write(job_paths.command_spec, spec.model_dump_json(indent=2), mode=_SECRET_MODE)

        def choose_folder(job: Job) -> tuple[JobPaths, str]:
            return self._paths.command(job.id), "" if run is None else run.run_id

        with self._database.transaction():
            job = self._new_jobs.enqueue(draft, choose_folder=choose_folder, write_files=write_files)
            RetryTable(self._database).insert(job.id, request.retries)
        return job


def name_of_program(program: str) -> str:
    """The job's name where a person gives none: the program's, with other characters than a name may have as dashes."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", Path(program).name).lstrip("._-")
    return name[:_MAX_NAME] or "command"
