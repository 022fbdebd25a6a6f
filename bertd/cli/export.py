"""`bertd export`: find the run's folder, then exec the program that writes the export."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from bertd.cli.completion import complete_run
from bertd.cli.options import SocketOption, connect
from bertd.cli.programs import exec_module
from bertd.errors import CheckpointError

_STEP_OR_MARKER = re.compile(r"\d+|0?\.\d+")
"""A step, or a marker, which is written as a share of the budget."""


def export(
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
    socket: SocketOption = None,
) -> None:
    """Write a folder that stock transformers loads, from a checkpoint of a run: the newest, or that of a step."""
    name, _, step_or_marker = run.rpartition("@")
    if not (name and _STEP_OR_MARKER.fullmatch(step_or_marker)):
        name, step_or_marker = run, ""
    folder = name if "/" in name else _find_run_folder(name, socket=socket)
    options = [
        *(["--marker" if "." in step_or_marker else "--step", step_or_marker] if step_or_marker else []),
        *([] if out is None else ["--out", str(out)]),
    ]
    exec_module("bertd.train.checkpoint.export_checkpoint", [folder, *options])


def _find_run_folder(name: str, *, socket: Path | None) -> str:
    client = connect(socket)
    if name.isdecimal():
        from bertd.records import JobKind

        job = client.job(name)
        if job.kind is not JobKind.PRETRAIN:
            raise CheckpointError(f"job {job.id}: is a {job.kind} and keeps no checkpoint; name its run {job.run_id}")
        return job.folder
    return client.run(name).folder
