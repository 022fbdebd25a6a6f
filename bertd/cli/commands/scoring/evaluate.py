"""`bertd evaluate`: find the run's folder, then exec the program that evaluates, or queue it as a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bertd.cli.commands.programs import exec_module
from bertd.cli.commands.scoring.export import find_run_folder, split_checkpoint
from bertd.cli.commands.submitting.queue_program import (
    CpusOption,
    HoldOption,
    NameOption,
    QueueOption,
    job_options,
    require_queue,
    submit_program,
)
from bertd.cli.commands.submitting.submit_command import MemoryOption, RetriesOption, TimeLimitOption, parse_memory
from bertd.cli.completion import complete_run
from bertd.cli.options import AfterAnyOption, AfterOption, BeginOption, JsonOption, PriorityOption, SocketOption


def evaluate(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN[@STEP]",
            help="Run id, name, job number or @; then @0.5 for a marker. Or the folder of an export, with a / in it.",
            autocompletion=complete_run,
        ),
    ],
    shards: Annotated[
        str | None,
        typer.Option(
            "--shards", metavar="DATA", help="The data set, by name or path. By default the run's.", show_default=False
        ),
    ] = None,
    sequences: Annotated[
        int | None,
        typer.Option(
            "--sequences",
            metavar="N",
            min=1,
            max=2**31,
            help="At most so many of its validation split. By default as many as the run validates on.",
            show_default=False,
        ),
    ] = None,
    sequence_length: Annotated[
        int | None,
        typer.Option(
            "--sequence-length",
            metavar="TOKENS",
            min=8,
            max=8192,
            help="Tokens per sequence, for an export. By default 128.",
            show_default=False,
        ),
    ] = None,
    queue: QueueOption = False,
    name: NameOption = None,
    cpus: CpusOption = None,
    memory: MemoryOption = None,
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
    """Measure loss and accuracy of a checkpoint or an export on the validation split of a data set."""
    require_queue(context, is_queued=queue)
    has_folder = "/" in run
    if queue:
        from bertd.api.models import SubmitEvaluate
        from bertd.run.paths import place_data_set

        options = job_options(
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
        what = {
            "run": str(Path(run).absolute()) if has_folder else run,
            "shards": None if shards is None else str(_find_shards(shards, place_data_set(shards))),
            "sequences": sequences,
            "sequence_length": sequence_length,
            "memory_bytes": None if memory is None else parse_memory(memory),
        }
        submit_program(SubmitEvaluate.model_validate(options | what), socket=socket, json=json)
        return
    named, step_or_marker = split_checkpoint(run)
    folder = named if "/" in named else find_run_folder(named, socket=socket)
    which = "--marker" if "." in step_or_marker else "--step"
    arguments = [
        *([which, step_or_marker] if step_or_marker else []),
        *([] if shards is None else ["--shards", shards]),
        *([] if sequences is None else ["--sequences", str(sequences)]),
        *([] if sequence_length is None else ["--sequence-length", str(sequence_length)]),
        *(["--json"] if json else []),
    ]
    exec_module("bertd.train.evaluation.command", [folder, *arguments])


def _find_shards(name: str, planned: Path) -> Path:
    """The data set as `bertd submit` finds it; where a job will make it, if there is none yet."""
    from bertd.errors import ShardError
    from bertd.run.paths import find_data_set

    try:
        return find_data_set(name)
    except ShardError:
        return planned
