"""`bertd slurm`: a run, or a sweep, as a job of Slurm."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.commands.clusters.train import BudgetOption, NameOption, SettingsOption
from bertd.cli.completion import complete_recipe
from bertd.cli.options import parse_time

if TYPE_CHECKING:
    from bertd.clusters.slurm_script import SlurmOptions
    from bertd.clusters.train_command import ClusterRun
    from bertd.run.budget import Budget

_SBATCH_TIMEOUT_S = 60.0


def slurm(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, or the name of a recipe of bertd.",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            metavar="FILE",
            help="A sweep file in place of RECIPE: an array with a task for each setting, which trains to its end.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="Of the run, or of a sweep's runs, on a disk that all machines of the cluster have. By default its "
            "name, here.",
            show_default=False,
        ),
    ] = None,
    set_: SettingsOption = None,
    budget: BudgetOption = None,
    name: NameOption = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            "--time-limit",
            metavar="TIME",
            help="The longest that the cluster allows, such as 4h. By default what the budget takes.",
            show_default=False,
        ),
    ] = None,
    at_once: Annotated[
        int | None,
        typer.Option(
            "--at-once",
            metavar="N",
            min=1,
            help="Of a sweep: settings that train at the same time.",
            show_default=False,
        ),
    ] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(
            "--sbatch",
            metavar="OPTION",
            help="Another option of sbatch, such as --sbatch=--partition=gpu; may be repeated.",
            show_default=False,
        ),
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Hand the script to sbatch.")] = False,
) -> None:
    """Print a script for Slurm's sbatch that trains a run, pauses it before the limit, and requeues itself.

    Raises:
        BadParameter: RECIPE and --sweep do not go together.
    """
    from bertd.clusters.slurm_script import SlurmOptions

    if (recipe is None) == (sweep is None):
        raise typer.BadParameter("give a RECIPE or --sweep FILE", param_hint="RECIPE")
    given_s = None if time_limit is None else parse_time(time_limit, option="--time-limit")
    options = SlurmOptions(
        limit_s=given_s or 0.0, program=_own_program(), directives=tuple(sbatch or ()), at_once=at_once
    )
    if recipe is not None:
        if at_once is not None:
            raise typer.BadParameter("is of a sweep", param_hint="--at-once")
        script, place = _script_of_run(
            recipe, folder, settings=set_ or [], budget=budget, name=name, given_s=given_s, options=options
        )
    else:
        if set_ or budget or name:
            raise typer.BadParameter("write it in the sweep's file", param_hint="--set")
        assert sweep is not None
        script, place = _script_of_sweep(sweep, folder, given_s=given_s, options=options)
    if submit:
        place.mkdir(parents=True, exist_ok=True)
        print(_hand_to_sbatch(script))
    else:
        sys.stdout.write(script)


def _script_of_run(
    recipe: str,
    folder: Path | None,
    *,
    settings: list[str],
    budget: str | None,
    name: str | None,
    given_s: float | None,
    options: SlurmOptions,
) -> tuple[str, Path]:
    from dataclasses import replace

    from bertd.clusters.slurm_script import slurm_script
    from bertd.clusters.time_limit import limit_for

    run = make_cluster_run(recipe, folder, settings=settings, budget=budget, name=name)
    granted, charged_s = _spent_so_far(run)
    options = replace(options, limit_s=limit_for(granted, charged_s=charged_s, given_s=given_s))
    return slurm_script(run, options, budget=granted, charged_s=charged_s), run.folder.parent


def _script_of_sweep(
    sweep: str, folder: Path | None, *, given_s: float | None, options: SlurmOptions
) -> tuple[str, Path]:
    from dataclasses import replace

    from bertd.cli.commands.submitting.sweep import read_sweep_order
    from bertd.clusters.slurm_script import slurm_array_script
    from bertd.clusters.time_limit import limit_for
    from bertd.clusters.train_command import ClusterRun
    from bertd.run.recipe.sweep_grid import expand_settings

    read = read_sweep_order(sweep, priority=0, group=None)
    order, base = read.order, str(read.base_recipe.absolute())
    root = (folder or Path(order.spec.name)).absolute()
    # Again, of the order: its paths are absolute.
    settings = expand_settings(
        order.spec, recipe_toml=order.recipe_toml, recipe_name=order.recipe_name, name=order.sweep_name
    )
    runs = [
        ClusterRun(setting.recipe, base, root / setting.recipe.run.name, tuple(setting.overrides))
        for setting in settings
    ]
    limits = [limit_for(run.recipe.granted, charged_s=0.0, given_s=given_s) for run in runs]
    if order.spec.rungs:
        print(
            "bertd: the sweep's rungs need a daemon, which ends the worse settings at them; here each setting trains "
            "to its end",
            file=sys.stderr,
        )
    return slurm_array_script(order.spec.name, runs, replace(options, limit_s=max(limits))), root


def make_cluster_run(
    recipe: str, folder: Path | None, *, settings: list[str], budget: str | None, name: str | None
) -> ClusterRun:
    """The run that a person names, with absolute paths."""
    from bertd.cli.commands.submitting.resolve_recipe import resolve_recipe
    from bertd.clusters.train_command import ClusterRun

    resolved = resolve_recipe(recipe, settings=settings, budget=budget, name=name)
    file = str(Path(recipe).absolute()) if Path(recipe).is_file() else recipe
    place = (folder or Path(resolved.recipe.run.name)).absolute()
    return ClusterRun(resolved.recipe, file, place, tuple(resolved.overrides))


def _spent_so_far(run: ClusterRun) -> tuple[Budget, float]:
    """The budget granted to a run, and the seconds charged of it, if its folder is there."""
    from bertd.run.journal_digest import read_progress
    from bertd.run.ledger import read_ledger
    from bertd.run.paths import RunPaths

    paths = RunPaths(run.folder)
    if not paths.recipe.exists():
        return run.recipe.granted, 0.0
    plan = read_progress(paths.journal).budget_plan(run.recipe.granted)
    return plan.granted, read_ledger(paths.ledger).ticked_s


def _own_program() -> str:
    """The path of this bertd, which the machines of a cluster share."""
    beside = Path(sys.executable).with_name("bertd")
    return str(beside) if beside.is_file() else "bertd"


def _hand_to_sbatch(script: str) -> str:
    """Submit a script; return what sbatch says.

    Raises:
        MissingPackageError: there is no sbatch here.
        ClientError: sbatch refused the script, or does not answer.
    """
    from bertd.errors import ClientError, MissingPackageError

    program = shutil.which("sbatch")
    if program is None:
        raise MissingPackageError("sbatch: no such program here; call this on a machine from which jobs are submitted")
    try:
        done = subprocess.run(
            [program], input=script, text=True, capture_output=True, timeout=_SBATCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ClientError("sbatch: does not answer; check the cluster with `sinfo`") from error
    if done.returncode:
        raise ClientError(f"sbatch: {done.stderr.strip().removeprefix('sbatch: error: ')}; change it by --sbatch")
    return done.stdout.strip()
