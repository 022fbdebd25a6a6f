"""Make the submission that would queue a job once more, with other settings: from what its folder has of the first."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from bertd.api.models import (
    AnySubmission,
    CloneRequest,
    Submission,
    SubmitCommand,
    SubmitEvaluate,
    SubmitExport,
    SubmitFinetune,
    SubmitGrid,
    SubmitPrepare,
    SubmitPretrain,
)
from bertd.daemon.admission.program_job import own_arguments
from bertd.errors import RunFolderError, SubmissionError
from bertd.jobs.runner.command_job_runner import read_command_job_spec
from bertd.jobs.runner.grid.grid_runner import read_grid_spec
from bertd.jobs.store.queue import Job
from bertd.records import CommandJobSpec, FinetuneSpec, JobKind, Record
from bertd.run.paths import JobPaths, RunPaths, step_of
from bertd.validation_text import describe_problem

_S = TypeVar("_S", bound=Submission)
_R = TypeVar("_R", bound=Record)


def make_clone(job: Job, request: CloneRequest, *, num_retries: int) -> AnySubmission:
    """The submission of a job like another one.

    Raises:
        SubmissionError: a setting is not one of its kind, or a job of its kind cannot be cloned.
        RunFolderError: its folder is gone or damaged.
    """
    common: dict[str, object] = request.model_dump(include={"after", "after_any", "begin", "only"})
    common["priority"] = job.priority if request.priority is None else request.priority
    common["group"] = (job.group_name or None) if request.group is None else request.group
    if job.kind is JobKind.PRETRAIN:
        text = _read(RunPaths(Path(job.folder)).recipe)
        name = f"{job.run_id}'s recipe"
        values = {"recipe_toml": text, "recipe_name": name, "overrides": request.settings, "hold": request.hold}
        return SubmitPretrain.model_validate(values | common)
    if job.kind is JobKind.COMMAND:
        return _build(SubmitCommand, _of_command(job, num_retries), common | {"hold": request.hold}, request.settings)
    if request.hold and job.kind in (JobKind.FINETUNE, JobKind.GRID):
        raise SubmissionError(f"--hold: a {job.kind} cannot be queued on hold; use `bertd hold` afterwards")
    if job.kind is JobKind.FINETUNE:
        return _build(SubmitFinetune, _of_finetuning(job), common, request.settings)
    if job.kind is JobKind.GRID:
        return _build(SubmitGrid, _of_grid(job), common, request.settings)
    program = common | {"hold": request.hold}
    if job.kind is JobKind.PREPARE:
        return _build(SubmitPrepare, _of_prepare(job, num_retries), program, request.settings)
    if job.kind is JobKind.EVALUATE:
        return _build(SubmitEvaluate, _of_evaluation(job, num_retries), program, request.settings)
    assert job.kind is JobKind.EXPORT
    return _build(SubmitExport, _of_export(job, num_retries), program, request.settings)


def _of_command(job: Job, num_retries: int) -> dict[str, object]:
    spec = read_command_job_spec(JobPaths(Path(job.folder)).command_spec)
    devices = {"devices": job.num_devices} if job.device_kind == "gpu" else {"cpus": job.num_devices}
    values = spec.model_dump(include={"argv", "cwd", "environment", "time_limit_s"})
    return values | devices | {"name": job.name, "run": spec.run_id, "retries": num_retries}


def _of_program(job: Job, num_retries: int) -> tuple[dict[str, object], CommandJobSpec]:
    """What all programs of bertd have."""
    spec = read_command_job_spec(JobPaths(Path(job.folder)).command_spec)
    # A name that was not given says what the job is of, and so does that of the clone.
    name = None if job.name.startswith(f"{job.kind}-") else job.name
    values: dict[str, object] = {"name": name, "time_limit_s": spec.time_limit_s, "retries": num_retries}
    return values | ({"cpus": job.num_devices} if job.device_kind == "cpu" else {}), spec


def _of_prepare(job: Job, num_retries: int) -> dict[str, object]:
    values, spec = _of_program(job, num_retries)
    return values | {"arguments": own_arguments(spec.arguments), "out": spec.output, "cwd": spec.cwd}


def _of_evaluation(job: Job, num_retries: int) -> dict[str, object]:
    values, spec = _of_program(job, num_retries)
    options = _options(spec)
    run = _checkpoint(spec, options) if spec.run_id is not None else spec.arguments[0]
    memory = {} if job.device_kind == "cpu" else {"memory_bytes": job.memory_bytes}
    given = {"sequences": options.get("--sequences"), "sequence_length": options.get("--sequence-length")}
    numbers = {key: int(text) for key, text in given.items() if text is not None}
    return values | memory | numbers | {"run": run, "shards": options.get("--shards")}


def _of_export(job: Job, num_retries: int) -> dict[str, object]:
    values, spec = _of_program(job, num_retries)
    options = _options(spec)
    return values | {"run": _checkpoint(spec, options), "out": options.get("--out")}


def _options(spec: CommandJobSpec) -> dict[str, str]:
    """The options of an evaluation or an export, each with its value; an export's path is before the first."""
    options = spec.arguments if spec.run_id is not None else spec.arguments[1:]
    return dict(zip(options[::2], options[1::2], strict=True))


def _checkpoint(spec: CommandJobSpec, options: Mapping[str, str]) -> str:
    """By the run's id: what was typed, such as @, may mean another run by now."""
    which = options.get("--step", options.get("--marker"))
    return f"{spec.run_id}@{which}" if which is not None else f"{spec.run_id}"


def _of_finetuning(job: Job) -> dict[str, object]:
    spec = _parse(FinetuneSpec, JobPaths(Path(job.folder)).finetune_spec)
    values = spec.model_dump(include=set(SubmitFinetune.model_fields))
    return values | {"run": _export(job, source=spec.source, name=spec.source_name)}


def _of_grid(job: Job) -> dict[str, object]:
    spec = read_grid_spec(JobPaths(Path(job.folder)).grid_spec)
    values = spec.model_dump(include={"preset", "data_dir", "own", "keep", "is_halving"})
    return values | {
        "run": _export(job, source=spec.source, name=spec.source_name),
        "tasks": list(dict.fromkeys(trial.task for trial in spec.trials)),
        "num_seeds": len({trial.seed for trial in spec.trials}),
        "via": next((trial.via for trial in spec.trials if trial.via is not None), None),
    }


def _export(job: Job, *, source: str, name: str) -> str:
    """As a submission names it: of a run by its id, which stays true when the state folder is moved."""
    return f"{job.run_id}@{step_of(Path(source))}" if name.startswith(f"{job.run_id}/") else source


def _build(model: type[_S], values: dict[str, object], common: dict[str, object], settings: list[str]) -> _S:
    known = sorted(set(model.model_fields) - set(Submission.model_fields) - {"kind", "hold"})
    for setting in settings:
        _set(values, setting, known=known)
    try:
        return model.model_validate_json(json.dumps(values | common, default=str))
    except ValidationError as error:
        # Without the values: one may be of the environment.
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SubmissionError(f"--set {place}: {describe_problem(first)}") from None


def _set(values: dict[str, object], setting: str, *, known: list[str]) -> None:
    key, equals, text = setting.partition("=")
    path = key.strip().split(".")
    if not equals or path[0] not in known:
        raise SubmissionError(f"--set {key}: write KEY=VALUE with one of {', '.join(known)}")
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()
    table = values
    for part in path[:-1]:
        inner = table.get(part)
        if not isinstance(inner, dict):
            raise SubmissionError(f"--set {key}: {part} has no keys here")
        table[part] = table = dict(inner)
    table[path[-1]] = value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: cannot be read: {error}; the job cannot be cloned without it") from error


def _parse(model: type[_R], path: Path) -> _R:
    try:
        return model.model_validate_json(_read(path))
    except ValidationError as error:
        raise RunFolderError(f"{path}: is damaged; the job cannot be cloned without it") from error
