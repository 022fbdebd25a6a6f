"""`bertd export`: find the run's folder, then exec the program that writes the export, or queue it as a job."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from bertd.cli.commands.programs import exec_module
from bertd.cli.commands.submitting.queue_program import (
    CpusOption,
    HoldOption,
    NameOption,
    QueueOption,
    job_options,
    require_queue,
    submit_program,
)
from bertd.cli.commands.submitting.submit_command import RetriesOption, TimeLimitOption
from bertd.cli.completion import complete_run
from bertd.cli.options import (
    AfterAnyOption,
    AfterOption,
    BeginOption,
    JsonOption,
    PriorityOption,
    SocketOption,
    connect,
)
from bertd.errors import CheckpointError

_STEP_OR_MARKER = re.compile(r"\d+|0?\.\d+")
"""A step, or a marker, which is written as a share of the budget."""


def export(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN[@STEP]",
            help="Run id, name, job number or @; then @0.5 for a marker. Or a folder, with a / in it.",
            autocompletion=complete_run,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="The folder to make. By default exports/step-N of the run.",
            show_default=False,
        ),
    ] = None,
    queue: QueueOption = False,
    name: NameOption = None,
    cpus: CpusOption = None,
    hold: HoldOption = False,
    priority: PriorityOption = 0,
    after: AfterOption = None,
    after_any: AfterAnyOption = None,
    begin: BeginOption = None,
    time_limit: TimeLimitOption = None,
    retries: RetriesOption = 0,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Write a folder that stock transformers loads, from a checkpoint of a run: the newest, or that of a step."""
    require_queue(context, is_queued=queue)
    if queue:
        from bertd.api.models import SubmitExport

        of_job = job_options(
            name=name,
            cpus=cpus,
            time_limit=time_limit,
            retries=retries,
            hold=hold,
            priority=priority,
            after=after,
            after_any=after_any,
            begin=begin,
        )
        place = None if out is None else str(out.absolute())
        submit_program(SubmitExport.model_validate(of_job | {"run": run, "out": place}), socket=socket, json=json)
        return
    named, step_or_marker = split_checkpoint(run)
    folder = named if "/" in named else find_run_folder(named, socket=socket)
    step_or_marker = _check_before_start(Path(folder), step_or_marker, out=out)
    options = [
        *(["--step", step_or_marker] if step_or_marker else []),
        *([] if out is None else ["--out", str(out)]),
        *(["--json"] if json else []),
    ]
    exec_module("bertd.train.checkpoint.export_checkpoint", [folder, *options])


def split_checkpoint(run: str) -> tuple[str, str]:
    """RUN@STEP or RUN@0.5 as its two parts; the second is empty where none is named."""
    name, _, step_or_marker = run.rpartition("@")
    return (name, step_or_marker) if name and _STEP_OR_MARKER.fullmatch(step_or_marker) else (run, "")


def _check_before_start(folder: Path, step_or_marker: str, *, out: Path | None) -> str:
    """Refuse what is sure to fail, before the program that exports loads torch; return the step, if one is named.

    Raises:
        OutputExistsError: what it would write exists.
        CheckpointError: the run has not passed the marker.
    """
    from bertd.run.checkpoint_index import find_checkpoint_at_marker
    from bertd.run.paths import RunPaths, newest_first, require_new_folder, step_folder_name

    paths = RunPaths(folder.absolute())
    if "." in step_or_marker:
        step_or_marker = str(find_checkpoint_at_marker(paths, float(step_or_marker), name=str(folder)).step)
    found = [] if step_or_marker else newest_first(paths.checkpoints)
    if out is not None:
        require_new_folder(out)
    elif step_or_marker or found:
        name = step_folder_name(int(step_or_marker)) if step_or_marker else found[0].name
        require_new_folder(paths.exports / name)
    return step_or_marker


def find_run_folder(name: str, *, socket: Path | None) -> str:
    """The folder of the run that a person names.

    Raises:
        CheckpointError: it is the number of another job.
    """
    client = connect(socket)
    if name.isdecimal():
        from bertd.records import JobKind

        job = client.job(name)
        if job.kind is not JobKind.PRETRAIN:
            raise CheckpointError(f"job {job.id}: is a {job.kind} and keeps no checkpoint; name its run {job.run_id}")
        return job.folder
    return client.run(name).folder
