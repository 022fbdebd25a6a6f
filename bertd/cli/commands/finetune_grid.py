"""`bertd finetune --tasks`: queue a grid of finetunings as one job, or say what it would be."""

from __future__ import annotations

from pathlib import Path

import typer

from bertd.cli.options import connect, print_json, status_line

_OF_ONE_FINETUNING = {
    "task": "--task",
    "text": "--text",
    "label": "--label",
    "dev": "--dev",
    "dev_share": "--dev-share",
    "metric": "--metric",
    "keep": "--keep",
    "seed": "--seed",
    "lr": "--lr",
    "batch_size": "--batch-size",
    "epochs": "--epochs",
}
_OF_A_GRID = {"preset": "--preset", "seeds": "--seeds", "dry_run": "--dry-run"}


def require_options_of_one_kind(context: typer.Context, *, is_grid: bool) -> None:
    """Refuse options of the other kind of finetuning than the one that is asked for.

    Raises:
        BadParameter: one was given.
    """
    why = "a grid tries its preset's settings on --tasks" if is_grid else "it is for a grid: give --tasks too"
    for name, option in (_OF_ONE_FINETUNING if is_grid else _OF_A_GRID).items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"cannot be given here: {why}", param_hint=option)


def submit_grid(
    run: str,
    *,
    tasks: str,
    preset: str,
    num_seeds: int | None,
    data: Path,
    priority: int,
    dry_run: bool,
    socket: Path | None,
    json: bool,
) -> int | None:
    """Queue the grid and print how many trials it has; the job's number, None for a dry run or JSON.

    Raises:
        BadParameter: a task is not GLUE's, or the data is not a folder.
    """
    from bertd.api.models import SubmitGrid
    from bertd.records import Preset
    from bertd.run.finetune_grid import describe_trials, make_trials, parse_tasks

    try:
        names = parse_tasks(tasks)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--tasks") from error
    if not data.is_dir():
        raise typer.BadParameter(
            f"{data} is a table: a grid is of GLUE's tasks; give their folder", param_hint="--data"
        )
    trials = make_trials(names, preset=Preset(preset), num_seeds=num_seeds)
    if dry_run:
        if json:
            print_json([*trials])
        else:
            print(describe_trials(trials))
        return None
    job = connect(socket).submit(
        SubmitGrid(
            run=run,
            tasks=names,
            preset=Preset(preset),
            num_seeds=num_seeds,
            data_dir=str(data.absolute()),
            priority=priority,
        )
    )
    if json:
        print_json(job)
        return None
    print(status_line(job))
    print(describe_trials(trials))
    return job.id
