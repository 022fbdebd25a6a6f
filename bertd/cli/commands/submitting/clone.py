"""`bertd submit --like ID`: queue a job like another one; and `bertd recipe RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.completion import complete_job, complete_run
from bertd.cli.options import JsonOption, SocketOption, connect, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from bertd.api.models import CloneRequest

LikeOption = Annotated[
    str | None,
    typer.Option(
        "--like",
        metavar="ID",
        help="Instead of a recipe: queue a job like this one, of whatever kind, with the changes of --set.",
        autocompletion=complete_job,
        show_default=False,
    ),
]
_NOT_OF_A_CLONE = {
    **{"words": "RECIPE", "budget": "--budget", "name": "--name", "dry_run": "--dry-run", "command": "--command"},
    "on": "--on",
    **{"devices": "--devices", "cpus": "--cpus", "env": "--env", "run": "--run"},
    **{"time_limit": "--time-limit", "retries": "--retries"},
}


def require_options_of_a_clone(context: typer.Context) -> None:
    """Refuse options that --set stands for.

    Raises:
        BadParameter: one was given.
    """
    for name, option in _NOT_OF_A_CLONE.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and context.params.get(name):
            why = (
                "cannot be given with --like: change the settings of that job with --set, such as --set budget.hours=2"
            )
            raise typer.BadParameter(why, param_hint=option)


def was_given(context: typer.Context, name: str) -> bool:
    """Whether an option is on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def clone_job(id: str, request: CloneRequest, *, socket: Path | None, json: bool) -> None:
    """Queue it, and print the job."""
    from bertd.cli.options import print_next_commands, status_line

    job = connect(socket).clone(id, request)
    if json:
        print_json(job)
        return
    print(status_line(job))
    print_next_commands(job.id, extra_hints=[(f"bertd release {job.id}", "let it start")] if request.hold else [])


def recipe(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Run id, name, job number, or @: what runs, else the newest.",
            autocompletion=complete_run,
        ),
    ],
    defaults: Annotated[bool, typer.Option("--defaults", help="Print the values that are the defaults, too.")] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Print a run's recipe as TOML, a template for `bertd submit FILE`; values that are the defaults are left out."""
    from bertd.run.recipe.load import format_recipe, parse_recipe
    from bertd.run.recipe.template import format_template

    view = connect(socket).recipe(run)
    if json:
        print_json(view)
        return
    parsed = parse_recipe(view.toml, name=view.run_id)
    print((format_recipe(parsed) if defaults else format_template(parsed, run_id=view.run_id)).rstrip("\n"))
