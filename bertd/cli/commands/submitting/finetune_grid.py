"""`bertd finetune` for a grid of finetunings: queue it as one job, or say what it would be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bertd.cli.options import connect, print_json, print_next_commands, status_line
from bertd.program import print_note

if TYPE_CHECKING:
    from bertd.api.models import GridEstimateView, SubmitGrid
    from bertd.cli.finetune_options import Kept, ViaName
    from bertd.records import OwnTask

_OF_ONE_FINETUNING = {
    "task": "--task",
    "seed": "--seed",
    "lr": "--lr",
    "batch_size": "--batch-size",
    "epochs": "--epochs",
    "weight_decay": "--weight-decay",
    "warmup": "--warmup",
}
_OF_OWN_DATA = {
    "text": "--text",
    "label": "--label",
    "dev": "--dev",
    "dev_share": "--dev-share",
    "metric": "--metric",
}
_OF_A_GRID = {"preset": "--preset", "seeds": "--seeds", "halving": "--halving"}
_VIA = {"via": "--via"}


def asks_for_own_grid(context: typer.Context, data: Path) -> bool:
    """Whether the options are those of a grid on data of one's own, which needs no --tasks."""
    return not data.is_dir() and any(_is_given(context, name) for name in _OF_A_GRID)


def require_options_of_one_kind(context: typer.Context, *, is_grid: bool, is_own: bool) -> None:
    """Refuse options of the other kind of finetuning than the one that is asked for.

    Raises:
        BadParameter: one was given.
    """
    if is_own:
        refused, why = (
            _OF_ONE_FINETUNING,
            "a grid tries its preset's settings; for one finetuning leave out --preset, --seeds, --halving",
        )
        _refuse_via(context)
    elif is_grid:
        refused, why = _OF_ONE_FINETUNING | _OF_OWN_DATA, "a grid tries its preset's settings on --tasks"
    else:
        refused, why = _OF_A_GRID | _VIA, "it is for a grid: give --tasks too"
    for name, option in refused.items():
        if _is_given(context, name):
            raise typer.BadParameter(f"cannot be given here: {why}", param_hint=option)


def _refuse_via(context: typer.Context) -> None:
    if _is_given(context, "via"):
        raise typer.BadParameter(
            "cannot be given here: it is for GLUE's rte, mrpc and sts-b; leave it out", param_hint="--via"
        )


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def make_own_grid(
    run: str,
    own: OwnTask,
    *,
    task: str,
    num_train: int,
    preset: str,
    num_seeds: int | None,
    keep: Kept,
    is_halving: bool,
    priority: int,
    after: list[str],
    after_any: list[str],
    begin: str | None,
    only: str | None,
    group: str | None,
) -> SubmitGrid:
    """The grid that the options describe, of one task of one's own.

    Raises:
        BadParameter: the preset has no setting for it, or none to drop.
    """
    from bertd.api.models import SubmitGrid
    from bertd.records import Keep, Preset
    from bertd.run.grid.finetune_grid import require_own_settings

    try:
        require_own_settings(Preset(preset))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--preset") from error
    _require_halving_settings(preset, is_halving=is_halving)
    return SubmitGrid(
        run=run,
        tasks=[task],
        own=own,
        num_train=num_train,
        preset=Preset(preset),
        num_seeds=num_seeds,
        keep=Keep(keep),
        is_halving=is_halving,
        data_dir=str(Path(own.train).parent),
        priority=priority,
        after=after,
        after_any=after_any,
        begin=begin,
        only=only,
        group=group,
    )


def _require_halving_settings(preset: str, *, is_halving: bool) -> None:
    from bertd.records import Preset
    from bertd.run.grid.finetune_grid import require_halving_settings

    try:
        require_halving_settings(Preset(preset), is_halving=is_halving)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--halving") from error


def make_grid(
    run: str,
    *,
    tasks: str,
    preset: str,
    num_seeds: int | None,
    via: ViaName | None,
    keep: Kept,
    is_halving: bool,
    data: Path,
    priority: int,
    after: list[str],
    after_any: list[str],
    begin: str | None,
    only: str | None,
    group: str | None,
) -> SubmitGrid:
    """The grid that the options describe.

    Raises:
        BadParameter: a task is not GLUE's, tasks or preset do not fit the other options, or the data is not a folder.
    """
    from bertd.api.models import SubmitGrid
    from bertd.records import Keep, Preset
    from bertd.run.grid.finetune_grid import ALL, GRID_TASKS, parse_tasks, require_via

    try:
        names = parse_tasks(tasks, preset=Preset(preset))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--tasks") from error
    try:
        require_via(names, via=via)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--via") from error
    _require_halving_settings(preset, is_halving=is_halving)
    if ALL in tasks.split(",") and (missing := [task for task in GRID_TASKS if task not in names]):
        print_note(f"{preset} has no published setting for {', '.join(missing)}, which is left out")
    if not data.is_dir():
        raise typer.BadParameter(
            f"{data} is a file, and --tasks are those of GLUE's folder; leave --tasks out: --preset makes a grid of it",
            param_hint="--data",
        )
    return SubmitGrid(
        run=run,
        tasks=names,
        preset=Preset(preset),
        num_seeds=num_seeds,
        via=via,
        keep=Keep(keep),
        is_halving=is_halving,
        data_dir=str(data.absolute()),
        priority=priority,
        after=after,
        after_any=after_any,
        begin=begin,
        only=only,
        group=group,
    )


def submit_grid(grid: SubmitGrid, *, dry_run: bool, is_sure: bool, socket: Path | None, json: bool) -> None:
    """Queue the grid, and print how many trials it has and how long they take; with `dry_run` only the latter."""
    from bertd.cli.commands.submitting.finetune_now import confirm_lend

    client = connect(socket)
    if grid.now is not None and not confirm_lend(client, grid, is_sure=is_sure, dry_run=dry_run, json=json):
        return
    estimate = client.estimate_grid(grid)
    estimated = estimate_text(estimate)
    if grid.is_halving:
        estimated += "\nat most: after each seed the worse half of a task's settings is dropped"
    if dry_run:
        if json:
            print_json(estimate)
        else:
            print(f"{estimated}\nnothing was queued; submit it without --dry-run")
        return
    job = client.submit(grid)
    if json:
        print_json(job)
        return
    print(status_line(job))
    print(estimated)
    print_next_commands(job.id, extra_hints=[("bertd scores", "the scores so far")])


def estimate_text(estimate: GridEstimateView) -> str:
    """How many trials, and how long, for a person."""
    from bertd.run.amounts.quantities import format_count

    by_task = ", ".join(f"{task} {number}" for task, number in estimate.num_trials_by_task.items())
    return f"{format_count(estimate.num_trials, 'trial')}: {by_task}\n{_time_text(estimate)}"


def _time_text(estimate: GridEstimateView) -> str:
    from bertd.run.amounts.durations import format_duration
    from bertd.run.amounts.quantities import format_count

    noun, unit = ("GPU", "GPU-hours") if estimate.device_kind == "gpu" else ("core", "core-hours")
    where = f"on {format_count(estimate.num_devices, noun)}, {format_count(estimate.num_workers, 'trial')} at a time"
    if estimate.wall_s is None or estimate.device_hours is None:
        return f"time: unknown until the first trial of each task is over; {where}"
    time_text = f"time: about {format_duration(estimate.wall_s)} {where}: {estimate.device_hours:.3g} {unit}"
    if estimate.unmeasured:
        time_text += f", without {', '.join(estimate.unmeasured)}: unknown until the first trial of each is over"
    for task, batch_sizes in estimate.assumed.items():
        listed = " and ".join(map(str, batch_sizes))
        time_text += (
            f"\n{task} was not measured with batch {listed}: an epoch is taken to need as long as with the nearest size"
        )
    return time_text
