"""Subcommands about sweeps: sweep, sweeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.completion import complete_sweep, complete_sweep_file
from bertd.cli.options import GroupOption, JsonOption, PriorityOption, SocketOption, connect, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from bertd.api.sweep_models import SubmitSweep
    from bertd.run.recipe.sweep_grid import Setting


def sweep(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A sweep file (docs/sweeps.md), or the name of a sweep of bertd.",
            autocompletion=complete_sweep_file,
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Queue nothing; say what it takes at most: time, devices, disk.")
    ] = False,
    priority: PriorityOption = 0,
    group: GroupOption = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Train every combination of a grid of recipe keys, drop the worse ones at rungs, and name the best.

    Every combination is checked here first, so a mistake in one of them costs nothing.
    """
    from bertd.cli.commands.submitting.sweep_estimate import estimate_sweep, estimate_text

    read = read_sweep_order(file, priority=priority, group=group)
    order, settings = read.order, read.settings
    client = connect(socket)
    if dry_run:
        estimate = estimate_sweep(order.spec, settings, client=client)
        if json:
            print_json(estimate)
        else:
            print(f"{estimate_text(estimate)}\nnothing was queued; submit it without --dry-run")
        return
    view = client.submit_sweep(order)
    if json:
        print_json(view)
        return
    print(
        f"sweep {view.id} ({view.name}) has begun\n{estimate_text(estimate_sweep(order.spec, settings, client=client))}"
    )
    print(f"  bertd sweeps {view.id}           its table\n  bertd sweeps {view.id} --cancel  end it with all its runs")


def sweeps(
    id: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="Number or name of one sweep, or @ for the newest.",
            show_default=False,
            autocompletion=complete_sweep,
        ),
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End it: runs that train are stopped with an export.")
    ] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """List the sweeps, or show the settings of one with their losses and ranks."""
    _require_name_to_cancel(id, cancel=cancel)
    client = connect(socket)
    from bertd.cli.output.sweep_tables import sweep_text, sweeps_text
    from bertd.cli.output.tables import detect_output_style

    if id is None:
        answer = client.sweeps()
        nothing = "No sweep yet; begin one with `bertd sweep FILE`."
        if json:
            print_json([*answer])
        else:
            print(sweeps_text(answer, style=detect_output_style()) if answer else nothing)
        return
    view = client.cancel_sweep(id) if cancel else client.sweep(id)
    if json:
        print_json(view)
    else:
        print(sweep_text(view, style=detect_output_style()))


def _require_name_to_cancel(id: str | None, *, cancel: bool) -> None:
    """Refuse to cancel what is not named.

    Raises:
        BadParameter: no sweep is named.
    """
    if cancel and id is None:
        raise typer.BadParameter("name the sweep to cancel", param_hint="--cancel")


@dataclass(frozen=True)
class SweepOrder:
    """A sweep file as it was read."""

    order: SubmitSweep
    """The request; its paths are absolute."""
    settings: list[Setting]
    base_recipe: Path
    """The file that every setting is made of."""


def read_sweep_order(file: str, *, priority: int, group: str | None) -> SweepOrder:
    """Read a sweep file and check every setting of it.

    Raises:
        RecipeError: it, its recipe or a setting is wrong.
        ShardError: there is no such data set.
    """
    from bertd.api.sweep_models import SubmitSweep
    from bertd.run.paths import expand_user, find_data_set
    from bertd.run.recipe.load import find_recipe, read_recipe
    from bertd.run.recipe.sweep_file import find_sweep, read_sweep, resolve_sweep
    from bertd.run.recipe.sweep_grid import PATH_KEYS, expand_settings, map_paths

    path = find_sweep(file)
    sweep_toml, parsed = read_sweep(path)
    beside = path.parent / parsed.recipe
    base = beside if beside.is_file() else find_recipe(parsed.recipe)
    base_recipe = read_recipe(base)

    def make_absolute(key: str, text: str) -> str:
        if key == "data.shards":
            return str(find_data_set(text))
        folder = expand_user(text).absolute()
        return str(folder) if folder.exists() else text

    spec = parsed.spec
    base_paths: tuple[str | dict[str, int] | None, ...] = (
        base_recipe.data.shards,
        base_recipe.model.start_from,
        base_recipe.finetune.data,
    )
    for key, value in zip(PATH_KEYS, base_paths, strict=True):
        if value is not None and key not in spec.fixed and key not in spec.grid:
            spec = spec.model_copy(update={"fixed": {**spec.fixed, key: value}})
    recipe_toml = base.read_text(encoding="utf-8")
    settings = expand_settings(spec, recipe_toml=recipe_toml, recipe_name=base.name, name=path.name)
    spec = map_paths(resolve_sweep(parsed, settings).model_copy(update={"fixed": spec.fixed}), make_absolute)
    order = SubmitSweep(
        spec=spec,
        sweep_toml=sweep_toml,
        sweep_name=path.name,
        recipe_toml=recipe_toml,
        recipe_name=base.name,
        priority=priority,
        group=group,
    )
    return SweepOrder(order=order, settings=settings, base_recipe=base)
