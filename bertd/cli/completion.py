"""What the shell offers at Tab: jobs, runs, recipes, their keys, tasks; and the options of the programs behind `data`.

Nothing here raises or waits: a daemon that does not answer at once offers nothing. What is offered comes from where the
subcommand itself gets it. Imports are inside the functions, since each Tab starts the program.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

if TYPE_CHECKING:
    from bertd.api.models import DeviceView, JobView

_TIMEOUT_S = 1.0


def complete_job(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Numbers, run ids and names of jobs, each with its state."""
    return _matching(_job_ids(_jobs(ctx), runs_only=False), incomplete)


def complete_run(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """As `complete_job`, for runs alone."""
    return _matching(_job_ids(_jobs(ctx), runs_only=True), incomplete)


def complete_device(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Numbers of the GPUs and cpu, each with its name."""
    gpus = [device for device in _devices(ctx) if device.kind == "gpu"]
    numbered = [(str(number), f"{device.id} {device.name}") for number, device in enumerate(gpus)]
    return _matching([*numbered, ("cpu", "all cores")], incomplete)


def complete_recipe(incomplete: str) -> list[tuple[str, str]]:
    """Names of bertd's recipes, and TOML files."""
    from bertd.run.recipe.load import list_recipes

    names = dict.fromkeys(list_recipes(), "recipe of bertd")
    return _with_toml_files(names, incomplete)


def complete_sweep_file(incomplete: str) -> list[tuple[str, str]]:
    """Names of bertd's sweeps, and TOML files."""
    from bertd.run.recipe.load import recipe_folders

    folders = [folder / "sweeps" for folder in recipe_folders()]
    names = {entry.stem: "sweep of bertd" for folder in folders for entry in folder.glob("*.toml")}
    return _with_toml_files(names, incomplete)


def complete_sweep(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Numbers and names of sweeps, each with its state."""
    from bertd.errors import BertdError
    from bertd.terminal_text import terminal_line

    try:
        from bertd.cli.options import connect

        sweeps = connect(ctx.params.get("socket"), timeout_s=_TIMEOUT_S).sweeps()
    except (BertdError, OSError):
        return []
    names = [sweep.name for sweep in sweeps]
    offers = [("@", "the newest")] if sweeps else []
    for sweep in sweeps:
        offers.append((str(sweep.id), f"{terminal_line(sweep.name)}, {sweep.state}"))
        if names.count(sweep.name) == 1:
            offers.append((sweep.name, str(sweep.state)))
    return _matching(offers, incomplete)


def _with_toml_files(names: dict[str, str], incomplete: str) -> list[tuple[str, str]]:
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    for entry in _entries(folder):
        if entry.suffix == ".toml" or entry.is_dir():
            prefix = "" if str(folder) == "." and not incomplete.startswith(".") else f"{folder}/"
            names[f"{prefix}{entry.name}{'/' if entry.is_dir() else ''}"] = "folder" if entry.is_dir() else "file"
    return _matching(list(names.items()), incomplete)


def complete_set(incomplete: str) -> list[tuple[str, str]]:
    """Keys of a recipe as section.key=."""
    from pydantic import BaseModel

    from bertd.run.recipe.schema import Recipe

    keys = []
    for section, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += [(f"{section}.{key}=", "") for key in field.annotation.model_fields]
    return _matching(keys, incomplete)


def complete_task(incomplete: str) -> list[tuple[str, str]]:
    """Names of GLUE's tasks."""
    from bertd.records import GLUE_TASKS

    return _matching([(task, "") for task in GLUE_TASKS], incomplete)


def complete_past_time(incomplete: str) -> list[tuple[str, str]]:
    """The forms of a time in the past."""
    import time
    from datetime import datetime

    today = datetime.fromtimestamp(time.time())
    offers = [("10min", "ago"), ("2h", "ago"), ("1d", "ago"), (f"{today:%H:%M}", "today, or yesterday")]
    return _matching([*offers, (f"{today:%Y-%m-%dT00:00}", "a date with a time")], incomplete)


def _matching(offers: list[tuple[str, str]], incomplete: str) -> list[tuple[str, str]]:
    return [(word, meaning) for word, meaning in offers if word.startswith(incomplete)]


def _jobs(ctx: typer.Context) -> list[JobView]:
    """The jobs in the daemon's status, which is one answer however many jobs there are."""
    answer = _ask(ctx, "/v1/status")
    return [] if answer is None else cast("list[JobView]", answer.jobs)


def _devices(ctx: typer.Context) -> list[DeviceView]:
    return cast("list[DeviceView]", _ask(ctx, "/v1/devices") or [])


def _ask(ctx: typer.Context, path: str) -> Any:
    """A daemon's answer; None if it does not answer at once, or is of another version."""
    from bertd.api.unchecked import parse_unchecked, request_unchecked
    from bertd.errors import BertdError
    from bertd.run.paths import client_socket

    try:
        content = request_unchecked(ctx.params.get("socket") or client_socket(), path, timeout_s=_TIMEOUT_S)
        return None if content is None else parse_unchecked(content)
    except (BertdError, OSError, ValueError):
        return None


def _job_ids(jobs: list[JobView], *, runs_only: bool) -> list[tuple[str, str]]:
    from bertd.records import JobKind
    from bertd.terminal_text import terminal_line

    offers = [("@", "what runs, else the newest")]
    names = [job.name for job in jobs if job.kind == JobKind.PRETRAIN]
    for job in jobs:
        if runs_only and job.kind != JobKind.PRETRAIN:
            continue
        what = f"{job.kind}, {job.state}"
        offers.append((str(job.id), f"{terminal_line(job.name)}, {what}"))
        if job.kind == JobKind.PRETRAIN:
            offers.append((job.run_id, what))
            if names.count(job.name) == 1:
                offers.append((job.name, what))
    return offers


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
