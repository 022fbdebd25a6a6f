"""The `bertd` command: register the subcommands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer
from typer.core import TyperCommand

import bertd
from bertd.cli import exit_codes
from bertd.cli.argument_parsing import CommandWithNegativeNumbers, PlainWordsGroup
from bertd.cli.commands import (
    budget,
    doctor,
    export,
    finetune,
    glue_submission,
    job_commands,
    logs,
    programs,
    query_commands,
    submit,
    sweep,
)
from bertd.cli.forwarding import FORWARD_ALL_ARGUMENTS, ForwardingCommand
from bertd.program import run_main

app = typer.Typer(
    name="bertd",
    cls=PlainWordsGroup,
    help="Train BERT-class encoders within a budget, on the machine you have.",
    epilog=exit_codes.epilog(),
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _register_commands(panel: str, *commands: Callable[..., None], cls: type[TyperCommand] = TyperCommand) -> None:
    for command in commands:
        app.command(rich_help_panel=panel, cls=cls)(command)


_register_commands("Queue work", submit.submit, finetune.finetune, sweep.sweep)
_register_commands(
    "Look",
    query_commands.status,
    query_commands.jobs,
    query_commands.show,
    logs.logs,
    query_commands.scores,
    sweep.sweeps,
    query_commands.wait,
)
_register_commands("Act on a job", job_commands.pause, job_commands.resume, job_commands.checkpoint, job_commands.stop)
_register_commands("Act on a job", budget.budget, cls=CommandWithNegativeNumbers)
_register_commands("Act on a job", job_commands.hold, job_commands.release)
_register_commands("Act on a job", job_commands.priority, cls=CommandWithNegativeNumbers)
_register_commands("The daemon", programs.start, job_commands.shutdown, doctor.doctor)
_register_commands("Data", export.export)
app.command(rich_help_panel="Data", cls=ForwardingCommand, context_settings=FORWARD_ALL_ARGUMENTS)(programs.predict)
app.command(rich_help_panel="Look", cls=ForwardingCommand, context_settings=FORWARD_ALL_ARGUMENTS)(programs.bench)
app.command(rich_help_panel="Look", cls=ForwardingCommand, context_settings=FORWARD_ALL_ARGUMENTS)(programs.prove)
app.add_typer(programs.data_app, name="data", rich_help_panel="Data")
app.add_typer(glue_submission.glue_app, name="glue", rich_help_panel="Data")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"bertd {bertd.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train BERT-class encoders within a budget, on the machine you have."""


def main() -> NoReturn:
    """Entry point of the `bertd` command."""
    sys.exit(run_main(lambda: app(prog_name="bertd")))
