"""Options and arguments that several subcommands share, and their values.

The client is imported when a subcommand runs, not here: `bertd --help` and shell completion must not wait for pydantic.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.completion import complete_job
from bertd.records.states import HIGHEST_PRIORITY as HIGHEST_PRIORITY

if TYPE_CHECKING:
    from bertd.api.client import Client
    from bertd.api.models import JobView
    from bertd.records import Record

SocketOption = Annotated[
    Path | None,
    typer.Option(
        "--socket",
        metavar="PATH",
        help="The daemon's socket. By default $BERTD_SOCKET, else yours, else /run/bertd/bertd.sock.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, as the socket API gives it.")]
_ID_HELP = "Job number, run id such as 7-demo, name, or @: what runs, else the newest."
JobArgument = Annotated[str, typer.Argument(metavar="ID", help=_ID_HELP, autocompletion=complete_job)]
JobsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help=_ID_HELP, autocompletion=complete_job, show_default=False),
]

PriorityOption = Annotated[
    int,
    typer.Option("--priority", min=-HIGHEST_PRIORITY, max=HIGHEST_PRIORITY, help="Higher goes first.", metavar="N"),
]

AfterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--after",
        metavar="JOB,...",
        help="Start when these jobs are done; RUN@0.5: when the run has spent half of its budget.",
        show_default=False,
    ),
]
AfterAnyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--after-any",
        metavar="JOB,...",
        help="Start when these jobs are over, also failed or cancelled ones.",
        show_default=False,
    ),
]
BeginOption = Annotated[
    str | None,
    typer.Option(
        "--begin",
        metavar="TIME",
        help="Start no earlier: 22:00, 2026-12-01T08:00 or +2h, in the daemon's local time.",
        show_default=False,
    ),
]
OnlyOption = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="HOURS",
        help="Run in these hours of the day alone, such as 20:00-08:00; paused outside of them.",
        show_default=False,
    ),
]

GroupOption = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="NAME",
        help="A group of the daemon's configuration: it starts when the group's limits allow it.",
        show_default=False,
    ),
]


def split_jobs(texts: list[str] | None) -> list[str]:
    """The jobs of an option that may be repeated and have commas."""
    return [name for text in texts or [] for name in text.split(",") if name]


def connect(socket: Path | None, *, timeout_s: float | None = None) -> Client:
    """A client of the daemon at `socket`, or at the default path; `timeout_s` if an answer is wanted only soon."""
    # Modules are never freed, so garbage collection while they load only takes time.
    gc.disable()
    from bertd.api.client import Client
    from bertd.run.paths import client_socket

    gc.enable()
    return Client(socket or client_socket(), timeout_s=timeout_s)


def find_run_folder(run: str, *, socket: Path | None) -> Path:
    """A folder that is named, with a / in it or one that is here; else that of a run of the daemon."""
    if "/" in run or Path(run).is_dir():
        return Path(run).absolute()
    return Path(connect(socket).job(run).folder)


def parse_time(text: str, *, option: str) -> float:
    """Seconds of an option's value such as 30s or 24h.

    Raises:
        BadParameter: it is not a duration.
    """
    from bertd.run.amounts.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def parse_past_time(text: str, *, option: str) -> float:
    """Unix seconds of an option's value such as `2h ago`, 22:00 or 2026-12-01T08:00.

    Raises:
        BadParameter: it is not a time in the past.
    """
    from bertd.run.amounts.local_times import parse_past

    try:
        return parse_past(text, now=time.time())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def print_json(answer: Record | list[Record]) -> None:
    """One line of JSON; a list stays a list."""
    from bertd.terminal_text import terminal_json

    if isinstance(answer, list):
        print("[" + ",".join(terminal_json(record.model_dump_json()) for record in answer) + "]")
    else:
        print(terminal_json(answer.model_dump_json()))


def status_line(job: JobView) -> str:
    """One line: the job, its state and the reason."""
    from bertd.terminal_text import terminal_line

    reason = f": {terminal_line(job.reason)}" if job.reason else ""
    return f"job {job.id} ({terminal_line(job.name)}) is {job.state}{reason}"


def print_next_commands(job_id: int, *, extra_hints: list[tuple[str, str]]) -> None:
    """What a person may do with a job that was queued."""
    hints = [
        *extra_hints,
        ("bertd status", "what it does now"),
        (f"bertd logs {job_id} -f", "its log, as it is written"),
        (f"bertd wait {job_id}", "until it is over"),
        ("bert-tui", "watch it in the dashboard"),
    ]
    for command, meaning in hints:
        print(f"  {command.ljust(20)}  {meaning}")
