"""The `bertd` command: register the subcommands."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from typer.core import TyperCommand

import bertd
from bertd.cli import exit_codes
from bertd.cli.argument_parsing import CommandWithBareNow, CommandWithNegativeNumbers, PlainWordsGroup
from bertd.cli.commands import budget, export_metrics, job_commands, logs, programs, query_commands, reporting
from bertd.cli.commands.clusters import join, kubernetes, skypilot, slurm, train
from bertd.cli.commands.daemon import audit, backup, config, device_commands, doctor, garbage, hooks, service
from bertd.cli.commands.planning import plan
from bertd.cli.commands.scoring import evaluate, export, glue_submission
from bertd.cli.commands.submitting import clone, finetune, submit, sweep
from bertd.cli.forwarding import FORWARD_ALL_ARGUMENTS, ForwardingCommand

Command = Callable[..., None]

_PANELS: list[tuple[str, list[Command]]] = [
    ("Queue work", [submit.submit, finetune.finetune, sweep.sweep, plan.plan]),
    (
        "Look",
        [
            query_commands.status,
            query_commands.jobs,
            device_commands.devices,
            query_commands.show,
            clone.recipe,
            logs.logs,
            query_commands.scores,
            sweep.sweeps,
            query_commands.wait,
        ],
    ),
    ("Act on a job", [job_commands.pause, job_commands.resume, job_commands.checkpoint, job_commands.stop]),
    (
        "Act on a job",
        [
            budget.budget,
            job_commands.hold,
            job_commands.release,
            job_commands.priority,
            job_commands.move,
            job_commands.change,
        ],
    ),
    (
        "The daemon",
        [
            programs.start,
            job_commands.shutdown,
            config.config,
            doctor.doctor,
            backup.backup,
            backup.restore,
            garbage.gc,
            audit.audit,
            device_commands.drain,
            device_commands.undrain,
        ],
    ),
    ("Without a daemon", [train.train, join.join, slurm.slurm, kubernetes.k8s, skypilot.skypilot]),
    ("Data", [export.export, evaluate.evaluate, programs.predict]),
    ("Look", [reporting.report, export_metrics.export_metrics]),
    ("Look", [programs.bench, programs.prove]),
]
"""The subcommands in the order of `bertd --help`, below the panels' headings."""
_GROUPS = {
    "data": (programs.data_app, "Data"),
    "glue": (glue_submission.glue_app, "Data"),
    "hooks": (hooks.hooks_app, "The daemon"),
    "service": (service.service_app, "The daemon"),
}
_WITH_NEGATIVE_NUMBERS = (budget.budget, job_commands.priority)
_FORWARDING = (programs.predict, programs.bench, programs.prove)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"bertd {bertd.__version__}")
        raise typer.Exit


def _refuse_host_elsewhere(host: str | None) -> None:
    """Where it is the first word, bertd.cli.main takes it.

    Raises:
        BadParameter: it is somewhere else.
    """
    if host is not None:
        raise typer.BadParameter("give it before all else: bertd --host user@box VERB")


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="USER@BOX",
            callback=_refuse_host_elsewhere,
            help="Act on the daemon of another machine over ssh, by the subcommands that need no files; "
            "before all else: bertd --host user@box status",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train BERT-class encoders within a budget, on the machine you have."""


def build_app(verb: str | None = None) -> typer.Typer:
    """The command with all its subcommands.

    Args:
        verb: the subcommand that is called, or anything else if none is; the others then have their names and texts but
            no parameters, which Typer takes longer to prepare than most subcommands to run. None for all parameters.
    """
    app = typer.Typer(
        name="bertd",
        cls=PlainWordsGroup,
        help="Train BERT-class encoders within a budget, on the machine you have.",
        epilog=exit_codes.epilog(),
        context_settings={"help_option_names": ["-h", "--help"]},
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for panel, commands in _PANELS:
        for command in commands:
            is_whole = verb in (None, _name_of(command))
            _register(app, command if is_whole else _without_parameters(command), panel=panel, original=command)
    for name, (group, panel) in _GROUPS.items():
        for command_info in group.registered_commands:
            command_info.help = _help_text(command_info.callback)
        whole = typer.Typer(help=group.info.help)
        app.add_typer(group if verb in (None, name) else whole, name=name, rich_help_panel=panel)
    return app


def _register(app: typer.Typer, command: Command, *, panel: str, original: Command) -> None:
    if original in _FORWARDING:
        app.command(
            _name_of(original), rich_help_panel=panel, cls=ForwardingCommand, context_settings=FORWARD_ALL_ARGUMENTS
        )(command)
    else:
        cls = CommandWithNegativeNumbers if original in _WITH_NEGATIVE_NUMBERS else TyperCommand
        cls = CommandWithBareNow if original is finetune.finetune else cls
        app.command(_name_of(original), help=_help_text(original), rich_help_panel=panel, cls=cls)(command)


def _name_of(command: Command) -> str:
    """As Typer names the subcommand."""
    return command.__name__.replace("_", "-")


def _help_text(command: Command | None) -> str:
    """What --help says: the docstring without the errors, which are for those who read the code."""
    return inspect.cleandoc((command and command.__doc__) or "").partition("\n\nRaises:")[0]


def _without_parameters(command: Command) -> Command:
    def named() -> None:
        raise AssertionError(f"{command.__name__} was called without its parameters")

    named.__name__, named.__doc__ = command.__name__, command.__doc__
    return named


app = build_app()


def _find_verb(arguments: Sequence[str]) -> str:
    """The subcommand that is called, or of which the shell completes an argument; empty if there is none."""
    if (words := os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS")) is not None:
        arguments = words.split()[1:]
    return next((word for word in arguments if not word.startswith("-")), "")


def run_app(arguments: Sequence[str]) -> int | None:
    """Run a command line without the program's name, or complete the one that the shell gives in the environment."""
    result: int | None = build_app(_find_verb(arguments))(list(arguments), prog_name="bertd")
    return result
