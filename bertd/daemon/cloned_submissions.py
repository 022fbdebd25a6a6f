"""Make the submission that would queue a job once more, with other settings: from what its folder has of the first."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from bertd.api.models import (
    AnySubmission,
    CloneRequest,
    Submission,
    SubmitCommand,
    SubmitFinetune,
    SubmitGrid,
    SubmitPretrain,
)
from bertd.errors import RunFolderError, SubmissionError
from bertd.jobs.runner.command_job_runner import read_command_job_spec
from bertd.jobs.runner.grid.grid_runner import read_grid_spec
from bertd.jobs.store.queue import Job
from bertd.records import FinetuneSpec, JobKind, Record
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
    if request.hold:
        raise SubmissionError(f"--hold: a {job.kind} cannot be queued on hold; use `bertd hold` afterwards")
    if job.kind is JobKind.FINETUNE:
        return _build(SubmitFinetune, _of_finetuning(job), common, request.settings)
    if job.kind is JobKind.GRID:
        return _build(SubmitGrid, _of_grid(job), common, request.settings)
    raise SubmissionError(f"job {job.id}: a {job.kind} cannot be cloned; submit it again with `bertd {job.kind}`")


def _of_command(job: Job, num_retries: int) -> dict[str, object]:
    spec = read_command_job_spec(JobPaths(Path(job.folder)).command_spec)
    devices = {"devices": job.num_devices} if job.device_kind == "gpu" else {"cpus": job.num_devices}
    values = spec.model_dump(include={"argv", "cwd", "environment", "time_limit_s"})
    return values | devices | {"name": job.name, "run": spec.run_id, "retries": num_retries}


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
