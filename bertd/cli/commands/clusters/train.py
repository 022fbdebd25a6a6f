"""`bertd train`: a run without a daemon."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli import exit_codes
from bertd.cli.completion import complete_recipe, complete_set

if TYPE_CHECKING:
    from bertd.records import JournalRecord, Outcome

_STEP_EVERY_S = 30.0
"""Between two lines about steps."""

SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override one value; may be repeated.",
        show_default=False,
        autocompletion=complete_set,
    ),
]
BudgetOption = Annotated[
    str | None,
    typer.Option("--budget", metavar="AMOUNT", help="The budget: 90min, 24h, 5000steps, ...", show_default=False),
]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the run.", show_default=False)]


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, or the name of a recipe of bertd. Without it, the run in --folder continues.",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="FOLDER", help="Of the run. By default its name, here.", show_default=False),
    ] = None,
    set_: SettingsOption = None,
    budget: BudgetOption = None,
    name: NameOption = None,
) -> None:
    """Train a run here and now, without a daemon; the same command continues it.

    Ctrl-C or SIGTERM pauses it with a checkpoint, and ends with status 13. For Slurm, containers, and by hand.

    Raises:
        BadParameter: neither a recipe nor a folder is given, or a change of a recipe that is not.
        Exit: it did not end well.
    """
    from bertd.cli.commands.submitting.resolve_recipe import check_start_from, resolve_recipe
    from bertd.jobs.standalone_run import open_run_folder, train_run

    resolved = None
    if recipe is not None:
        resolved = resolve_recipe(recipe, settings=set_ or [], budget=budget, name=name).recipe
        folder = folder or Path(resolved.run.name)
        check_start_from(resolved)
    elif set_ or budget or name:
        raise typer.BadParameter("a run keeps its recipe; name a RECIPE for another one", param_hint="--set")
    if folder is None:
        raise typer.BadParameter("name a RECIPE, or the folder of a run to continue", param_hint="RECIPE")
    paths = open_run_folder(folder.absolute(), resolved)
    _show(f"the run is in {paths.root}")
    outcome = train_run(paths, on_record=_Printer())
    if outcome is not None:
        _show(f"{outcome.state}: {outcome.reason}")
    if code := exit_code_of(outcome):
        raise typer.Exit(code)


def exit_code_of(outcome: Outcome | None) -> int:
    """As `bertd wait`, and one more for a pause; None is a runner that was killed."""
    from bertd.cli.commands.wait import EXIT_CODE_BY_STATE
    from bertd.records import JobState

    if outcome is None:
        return exit_codes.LOST
    return {**EXIT_CODE_BY_STATE, JobState.PAUSED: exit_codes.PAUSED}[outcome.state]


class _Printer:
    """Prints what happens: each event, and a step now and then."""

    def __init__(self) -> None:
        self._step_s = -_STEP_EVERY_S

    def __call__(self, record: JournalRecord) -> None:
        from bertd.metrics.event_text import event_text
        from bertd.records import StepRecord

        if isinstance(record, StepRecord):
            if time.monotonic() - self._step_s < _STEP_EVERY_S:
                return
            self._step_s = time.monotonic()
        _show(event_text(record))


def _show(text: str) -> None:
    from bertd.terminal_text import terminal_line

    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {terminal_line(text)}", flush=True)
