"""Submit jobs that are a program of bertd: the making of a data set, an evaluation, an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bertd.api.models import ProgramSubmission, SubmitEvaluate, SubmitExport, SubmitPrepare
from bertd.daemon.admission.command_job import require_memory
from bertd.daemon.admission.data_set import require_manifest
from bertd.daemon.admission.find_export import RUN_REFERENCE, find_run_job
from bertd.daemon.admission.finetuning import require_export
from bertd.daemon.admission.program_job import arguments_of_prepare, choose_cores, require_prepare
from bertd.daemon.admission.quota import Quotas
from bertd.daemon.command_submissions import name_of_program
from bertd.daemon.new_jobs import NewJobs, draft_job
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.errors import BertdError, CheckpointError, DeviceError, SubmissionError, UnknownJobError
from bertd.jobs.runner.command_job_runner import read_command_job_spec
from bertd.jobs.store.database import Database
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.retry_table import RetryTable
from bertd.records import CommandJobSpec, Dependency, JobKind
from bertd.run.atomic_files import atomic_write
from bertd.run.checkpoint_index import find_checkpoint_at_marker
from bertd.run.paths import JobPaths, RunPaths, StatePaths, newest_first, require_new_folder, step_folder_name

_EVALUATION_BYTES = 8 << 30
"""BERT-large in fp32 has 1.3 GB of weights; a batch and its scores take less, the driver's context half a GB."""
_SECRET_MODE = 0o600
"""As of a command, whose file has the same name."""


@dataclass(frozen=True)
class _Checkpoint:
    """A checkpoint of a run, which need not exist yet."""

    job: Job
    options: list[str]
    """Of the program that reads it: --step or --marker; none for the newest."""


class ProgramSubmissions:
    """Creates jobs that are a program of bertd."""

    def __init__(
        self, paths: StatePaths, *, database: Database, queue: Queue, inventory: Inventory, quotas: Quotas
    ) -> None:
        self._paths = paths
        self._database = database
        self._queue = queue
        self._new_jobs = NewJobs(database=database, queue=queue, quotas=quotas)
        self._inventory = inventory

    def submit(
        self, request: SubmitPrepare | SubmitEvaluate | SubmitExport, *, uid: int, now: float, is_awaiting: bool
    ) -> Job:
        """Queue one.

        Args:
            is_awaiting: it waits for other jobs, which may make what it reads: that is then checked by its program.

        Raises:
            SubmissionError: a path or an argument is wrong.
            OutputExistsError: what it would write exists.
            CheckpointError: there is no such checkpoint or export.
            ShardError: there is no such data set.
            DeviceError: the machine does not have the cores.
            UnknownJobError: there is no such run.
            StorageError: the disk refused.
        """
        if isinstance(request, SubmitPrepare):
            return self._submit_prepare(request, uid=uid, now=now)
        if isinstance(request, SubmitExport):
            return self._submit_export(request, uid=uid, now=now, is_awaiting=is_awaiting)
        return self._submit_evaluate(request, uid=uid, now=now, is_awaiting=is_awaiting)

    def planned_data(self, dependencies: list[Dependency]) -> frozenset[str]:
        """The data sets that the jobs make which are waited for."""
        found = set()
        for dependency in dependencies:
            job = self._queue.get(dependency.on_job_id)
            if job.kind is not JobKind.PREPARE:
                continue
            try:
                output = read_command_job_spec(JobPaths(Path(job.folder)).command_spec).output
            except BertdError:
                # Its folder is damaged or gone: its start says so, and holds what waits for it.
                continue
            if output is not None:
                found.add(output)
        return frozenset(found)

    def _submit_prepare(self, request: SubmitPrepare, *, uid: int, now: float) -> Job:
        require_prepare(request)
        cores = choose_cores(request.cpus or self._inventory.cpu_slots, inventory=self._inventory)
        arguments = arguments_of_prepare(request, num_processes=cores)
        spec = _draft_spec(
            request,
            module="bertd.data.commands.prepare",
            typed=["data", "prepare", *arguments],
            arguments=arguments,
            num_cpus=cores,
        ).model_copy(update={"cwd": request.cwd, "output": request.out})
        name = request.name or name_of_program(request.out)
        return self._enqueue(
            JobKind.PREPARE, request, spec, name=name, device_kind="cpu", num_devices=cores, run=None, uid=uid, now=now
        )

    def _submit_export(self, request: SubmitExport, *, uid: int, now: float, is_awaiting: bool) -> Job:
        checkpoint = self._find_checkpoint(request.run, must_exist=not is_awaiting)
        out = _absolute(request.out, option="--out")
        output = None if out is None else Path(out)
        if output is None and not is_awaiting:
            output = _own_export(checkpoint)
        if output is not None:
            require_new_folder(output)
        cores = choose_cores(request.cpus or 1, inventory=self._inventory)
        options = [*checkpoint.options, *([] if out is None else ["--out", out])]
        spec = _draft_spec(
            request,
            module="bertd.train.checkpoint.export_checkpoint",
            typed=["export", request.run, *([] if out is None else ["--out", out])],
            arguments=options,
            num_cpus=cores,
        ).model_copy(update={"output": None if output is None else str(output)})
        run = checkpoint.job
        name = request.name or f"export-{run.name}"[:64]
        return self._enqueue(
            JobKind.EXPORT, request, spec, name=name, device_kind="cpu", num_devices=cores, run=run, uid=uid, now=now
        )

    def _submit_evaluate(self, request: SubmitEvaluate, *, uid: int, now: float, is_awaiting: bool) -> Job:
        shards = _absolute(request.shards, option="--shards")
        if shards is not None and not is_awaiting:
            require_manifest(Path(shards))
        run, first, options = None, list[str](), list[str]()
        if request.run.startswith("/"):
            if shards is None:
                raise SubmissionError(f"{request.run}: an export does not say where its data set is; give --shards")
            first = [request.run if is_awaiting else str(require_export(Path(request.run)))]
        else:
            if request.sequence_length is not None:
                raise SubmissionError(
                    f"{request.run}: is a run, whose recipe has the length; leave out --sequence-length"
                )
            checkpoint = self._find_checkpoint(request.run, must_exist=not is_awaiting)
            run, options = checkpoint.job, checkpoint.options
        shared = [
            *([] if shards is None else ["--shards", shards]),
            *([] if request.sequences is None else ["--sequences", str(request.sequences)]),
            *([] if request.sequence_length is None else ["--sequence-length", str(request.sequence_length)]),
        ]
        kind, number, memory_bytes = self._choose_evaluation_devices(request)
        spec = _draft_spec(
            request,
            module="bertd.train.evaluation.command",
            typed=["evaluate", request.run, *shared],
            arguments=[*first, *options, *shared],
            num_cpus=number if kind == "cpu" else None,
        )
        name = request.name or f"evaluate-{Path(request.run).name if run is None else run.name}"[:64]
        return self._enqueue(
            JobKind.EVALUATE,
            request,
            spec,
            name=name_of_program(name),
            device_kind=kind,
            num_devices=number,
            run=run,
            uid=uid,
            now=now,
            memory_bytes=memory_bytes,
        )

    def _choose_evaluation_devices(self, request: SubmitEvaluate) -> tuple[Literal["cpu", "gpu"], int, int | None]:
        """The kind, the number, and the part of a GPU's memory.

        Raises:
            DeviceError: the machine has no such part, or fewer cores.
        """
        sizes = self._inventory.cards.memory_bytes
        if request.cpus is None and self._inventory.gpus:
            if request.memory_bytes is not None:
                require_memory(request.memory_bytes, inventory=self._inventory)
            largest_bytes = max(sizes.values(), default=None)
            default_bytes = None if largest_bytes is None else min(_EVALUATION_BYTES, largest_bytes)
            return "gpu", 1, request.memory_bytes or default_bytes
        if request.memory_bytes is not None:
            raise DeviceError("--memory: is a part of a GPU, and this evaluation has cores alone; leave it out")
        return "cpu", choose_cores(request.cpus or self._inventory.cpu_slots, inventory=self._inventory), None

    def _find_checkpoint(self, text: str, *, must_exist: bool) -> _Checkpoint:
        match = RUN_REFERENCE.match(text)
        if match is None:
            raise UnknownJobError(f"{text!r}: not a run, RUN@STEP or RUN@0.5 (a marker)")
        job = find_run_job(self._queue, match[1])
        paths = RunPaths(Path(job.folder))
        if match[2] is None:
            if must_exist and not newest_first(paths.checkpoints):
                raise CheckpointError(
                    f"{job.run_id}: has no checkpoint yet; `bertd checkpoint` saves one, or wait for its end with "
                    f"--after {job.id}"
                )
            return _Checkpoint(job, [])
        if "." in match[2]:
            if must_exist:
                find_checkpoint_at_marker(paths, float(match[2]), name=job.run_id)
            return _Checkpoint(job, ["--marker", match[2]])
        if must_exist and not (paths.checkpoints / step_folder_name(int(match[2]))).is_dir():
            raise CheckpointError(f"{job.run_id}: has no checkpoint of step {match[2]}; `bertd show` lists them")
        return _Checkpoint(job, ["--step", match[2]])

    def _enqueue(
        self,
        kind: JobKind,
        request: ProgramSubmission,
        spec: CommandJobSpec,
        *,
        name: str,
        device_kind: Literal["cpu", "gpu"],
        num_devices: int,
        run: Job | None,
        uid: int,
        now: float,
        memory_bytes: int | None = None,
    ) -> Job:
        draft = draft_job(
            kind,
            name=name,
            device_kind=device_kind,
            num_devices=num_devices,
            priority=request.priority,
            group=request.group,
            hold=request.hold,
            uid=uid,
            now=now,
            memory_bytes=memory_bytes,
        )

        def write_files(job_paths: JobPaths, job: Job) -> None:
            of_run = {} if run is None else {"run_id": run.run_id, "run_folder": run.folder}
            placed = spec.model_copy(update={"job_id": job.id} | of_run)
            atomic_write(job_paths.command_spec, placed.model_dump_json(indent=2), mode=_SECRET_MODE)

        def choose_folder(job: Job) -> tuple[JobPaths, str]:
            return self._paths.command(job.id), "" if run is None else run.run_id

        with self._database.transaction():
            job = self._new_jobs.enqueue(draft, choose_folder=choose_folder, write_files=write_files)
            RetryTable(self._database).insert(job.id, request.retries)
        return job


def _draft_spec(
    request: ProgramSubmission, *, module: str, typed: list[str], arguments: list[str], num_cpus: int | None
) -> CommandJobSpec:
    """The spec of a job that has no number and no run yet."""
    return CommandJobSpec(
        argv=["bertd", *typed],
        module=module,
        arguments=arguments,
        cwd="/",
        environment={},
        job_id=0,
        run_id=None,
        run_folder=None,
        num_cpus=num_cpus,
        time_limit_s=request.time_limit_s,
    )


def _absolute(path: str | None, *, option: str) -> str | None:
    if path is not None and (not path.startswith("/") or "\0" in path):
        raise SubmissionError(f"{option} {path!r:.300}: not an absolute path; give its whole path")
    return path


def _own_export(checkpoint: _Checkpoint) -> Path:
    """Where the run has its own export of a checkpoint that exists."""
    paths = RunPaths(Path(checkpoint.job.folder))
    match checkpoint.options:
        case ["--step", step]:
            name = step_folder_name(int(step))
        case ["--marker", marker]:
            name = find_checkpoint_at_marker(paths, float(marker), name=checkpoint.job.run_id).name
        case _:
            name = newest_first(paths.checkpoints)[0].name
    return paths.exports / name
