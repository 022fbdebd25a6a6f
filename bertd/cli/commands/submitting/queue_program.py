"""Queue a program of bertd as a job: `bertd data prepare`, `bertd export` and `bertd evaluate` with --queue."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.commands.programs import answer_of_program
from bertd.cli.options import connect, parse_time, print_json, print_next_commands, split_jobs, status_line

if TYPE_CHECKING:
    from bertd.api.models import SubmitEvaluate, SubmitExport, SubmitPrepare

QUEUE_PANEL = "As a job of the daemon"
_OF_A_JOB = {
    "name": "--name",
    "cpus": "--cpus",
    "memory": "--memory",
    "time_limit": "--time-limit",
    "retries": "--retries",
    "hold": "--hold",
    "priority": "--priority",
    "after": "--after",
    "after_any": "--after-any",
    "begin": "--begin",
}

QueueOption = Annotated[
    bool, typer.Option("--queue", help="Queue it as a job of the daemon.", rich_help_panel=QUEUE_PANEL)
]
NameOption = Annotated[
    str | None, typer.Option("--name", help="Name of the job.", show_default=False, rich_help_panel=QUEUE_PANEL)
]
CpusOption = Annotated[
    int | None,
    typer.Option(
        "--cpus",
        min=1,
        max=65_536,
        metavar="N",
        help="Cores; an evaluation then has no GPU.",
        show_default=False,
        rich_help_panel=QUEUE_PANEL,
    ),
]
HoldOption = Annotated[
    bool, typer.Option("--hold", help="Do not start before `bertd release`.", rich_help_panel=QUEUE_PANEL)
]


def require_queue(context: typer.Context, *, is_queued: bool) -> None:
    """Refuse options of a job for what is done at once.

    Raises:
        BadParameter: one was given.
    """
    for name, option in _OF_A_JOB.items():
        source = context.get_parameter_source(name)
        if not is_queued and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter("is for a job of the daemon: give --queue too", param_hint=option)


def job_options(
    *,
    name: str | None,
    cpus: int | None,
    time_limit: str | None,
    retries: int,
    hold: bool,
    priority: int,
    after: list[str] | None,
    after_any: list[str] | None,
    begin: str | None,
) -> dict[str, object]:
    """What each submission of a program has, from the options.

    Raises:
        BadParameter: the time limit is not a duration.
    """
    return {
        "name": name,
        "cpus": cpus,
        "time_limit_s": None if time_limit is None else parse_time(time_limit, option="--time-limit"),
        "retries": retries,
        "hold": hold,
        "priority": priority,
        "after": split_jobs(after),
        "after_any": split_jobs(after_any),
        "begin": begin,
    }


def submit_program(
    submission: SubmitPrepare | SubmitEvaluate | SubmitExport, *, socket: Path | None, json: bool
) -> None:
    """Queue it, and print the job."""
    job = connect(socket).submit(submission)
    if json:
        print_json(job)
        return
    print(status_line(job))
    print_next_commands(job.id, extra_hints=[(f"bertd release {job.id}", "let it start")] if submission.hold else [])


def is_queued(arguments: Sequence[str]) -> bool:
    """Whether `bertd data prepare` is given --queue."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return "--queue" in arguments[:end]


def queue_prepare(arguments: list[str]) -> None:
    """Have the program read and check its arguments, then submit the job that it describes.

    Raises:
        BadParameter: an option of the job is wrong.
    """
    answer = answer_of_program("bertd.data.commands.prepare", arguments)
    if {"-h", "--help"}.intersection(arguments):
        sys.stdout.write(answer)
        return
    from bertd.api.models import HIGHEST_PRIORITY, SubmitPrepare
    from bertd.records import PrepareJob

    asked = PrepareJob.model_validate_json(answer)
    if abs(asked.priority) > HIGHEST_PRIORITY:
        raise typer.BadParameter(f"{asked.priority} is not between -{HIGHEST_PRIORITY} and {HIGHEST_PRIORITY}")
    time_limit_s = None if asked.time_limit is None else parse_time(asked.time_limit, option="--time-limit")
    submission = SubmitPrepare(
        arguments=asked.arguments,
        out=asked.out,
        cwd=str(Path.cwd()),
        name=asked.name,
        cpus=asked.processes,
        time_limit_s=time_limit_s,
        retries=asked.retries,
        hold=asked.hold,
        priority=asked.priority,
        after=asked.after,
        after_any=asked.after_any,
        begin=asked.begin,
    )
    submit_program(submission, socket=None if asked.socket is None else Path(asked.socket), json=asked.json_output)
