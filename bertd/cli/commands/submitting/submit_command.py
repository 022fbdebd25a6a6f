"""`bertd submit --command -- PROGRAM ...`: queue a program of a person's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.options import connect, parse_time, print_json, print_next_commands, status_line

if TYPE_CHECKING:
    from bertd.api.models import SubmitCommand

_PANEL = "Of a command"
_OF_A_COMMAND = {
    "devices": "--devices",
    "cpus": "--cpus",
    "memory": "--memory",
    "env": "--env",
    "run": "--run",
    "time_limit": "--time-limit",
    "retries": "--retries",
}
_OF_A_RECIPE = {"set_": "--set", "budget": "--budget", "dry_run": "--dry-run", "on": "--on"}

CommandOption = Annotated[
    bool,
    typer.Option("--command", help="Queue a program: give it after --, with its arguments.", rich_help_panel=_PANEL),
]
DevicesOption = Annotated[
    int,
    typer.Option(
        "--devices",
        min=0,
        max=65_536,
        metavar="N",
        help="Whole GPUs, by UUID in CUDA_VISIBLE_DEVICES; 0 for cores alone.",
        rich_help_panel=_PANEL,
    ),
]
CpusOption = Annotated[
    int,
    typer.Option(
        "--cpus", min=1, max=65_536, metavar="N", help="Cores of a command without GPUs.", rich_help_panel=_PANEL
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="AMOUNT",
        help="Share one GPU: the most that it may use of its memory, such as 10GiB. It is ended if it uses more.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        metavar="NAME[=VALUE]",
        help="Pass one more variable, with your value or this one; may be repeated. Never a secret.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="The run it belongs to: BERTD_RUN and BERTD_RUN_FOLDER in its environment.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
TimeLimitOption = Annotated[
    str | None,
    typer.Option(
        "--time-limit",
        metavar="TIME",
        help="End it after this wall time: SIGTERM, and SIGKILL 30s later.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
RetriesOption = Annotated[
    int,
    typer.Option(
        "--retries",
        min=0,
        max=1000,
        metavar="N",
        help="Begin it again up to N times when it fails: after 30s, 1min, 2min, ...",
        rich_help_panel=_PANEL,
    ),
]


def require_options_of_one_kind(context: typer.Context, *, is_command: bool) -> None:
    """Refuse options of a recipe for a command, and of a command for a recipe.

    Raises:
        BadParameter: one was given.
    """
    why = "it is for a recipe; leave it out" if is_command else "it is for a command: give --command too"
    for name, option in (_OF_A_RECIPE if is_command else _OF_A_COMMAND).items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"cannot be given here: {why}", param_hint=option)


def make_command(
    argv: Sequence[str],
    *,
    name: str | None,
    devices: int,
    cpus: int,
    memory: str | None,
    env: Sequence[str],
    run: str | None,
    time_limit: str | None,
    retries: int,
    priority: int,
    after: list[str],
    after_any: list[str],
    begin: str | None,
    only: str | None,
    group: str | None,
    hold: bool,
) -> SubmitCommand:
    """The submission that the options describe, with the folder and the environment of this process.

    Raises:
        BadParameter: there is no program, or an option does not fit.
    """
    from bertd.api.models import SubmitCommand

    if not argv:
        raise typer.BadParameter("give the program after --, such as `bertd submit --command -- python train.py`")
    return SubmitCommand(
        argv=list(argv),
        cwd=str(Path.cwd()),
        environment=_environment(env),
        name=name,
        devices=devices,
        cpus=cpus,
        memory_bytes=None if memory is None else parse_memory(memory),
        run=run,
        time_limit_s=None if time_limit is None else parse_time(time_limit, option="--time-limit"),
        retries=retries,
        priority=priority,
        after=after,
        after_any=after_any,
        begin=begin,
        only=only,
        group=group,
        hold=hold,
    )


def parse_memory(text: str) -> int:
    """Bytes of --memory.

    Raises:
        BadParameter: it is not an amount of at least a MiB.
    """
    from bertd.run.amounts.quantities import parse_bytes

    try:
        memory_bytes = parse_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--memory") from error
    if not 1 << 20 <= memory_bytes <= 1 << 50:
        raise typer.BadParameter(f"{text!r:.40} is less than 1MiB or more than 1024TiB", param_hint="--memory")
    return memory_bytes


def _environment(named: Sequence[str]) -> dict[str, str]:
    """What is passed by rule, and the variables that --env names.

    Raises:
        BadParameter: one of these may not be passed, or is not set.
    """
    from bertd.run.machine.command_environment import refusal_of_variable, select_environment

    environment = select_environment(os.environ)
    for text in named:
        name, has_value, value = text.partition("=")
        if (refusal := refusal_of_variable(name)) is not None:
            raise typer.BadParameter(f"{name!r} {refusal}", param_hint="--env")
        if not has_value and name not in os.environ:
            raise typer.BadParameter(f"{name} is not set here; give {name}=VALUE", param_hint="--env")
        environment[name] = value if has_value else os.environ[name]
    return environment


def submit_command(command: SubmitCommand, *, socket: Path | None, json: bool) -> None:
    """Queue it, and print the job."""
    job = connect(socket).submit(command)
    if json:
        print_json(job)
        return
    print(status_line(job))
    hints = [(f"bertd release {job.id}", "let it start")] if command.hold else []
    print_next_commands(job.id, extra_hints=hints)
