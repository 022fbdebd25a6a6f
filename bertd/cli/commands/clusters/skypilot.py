"""`bertd skypilot`: a run as a task of SkyPilot."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bertd.cli.commands.clusters.train import BudgetOption, NameOption, SettingsOption
from bertd.cli.completion import complete_recipe


def skypilot(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, or the name of a recipe of bertd. Its paths are those of the task.",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ],
    state_volume: Annotated[
        str,
        typer.Option(
            "--state-volume",
            metavar="VOLUME",
            help="For the run's folder, which becomes /state/NAME.",
            show_default=False,
        ),
    ],
    data_volume: Annotated[
        str | None,
        typer.Option("--data-volume", metavar="VOLUME", help="For data sets, at /data.", show_default=False),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", metavar="KIND", help="As SkyPilot names it: H100, A100-80GB, ...", show_default=False),
    ] = None,
    infra: Annotated[
        str | None,
        typer.Option("--infra", metavar="WHERE", help="Such as aws/us-east-1 or k8s.", show_default=False),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image", metavar="IMAGE", help="With bertd in it; without one, pip installs it.", show_default=False
        ),
    ] = None,
    spot: Annotated[bool, typer.Option("--spot", help="On machines that may be taken away.")] = False,
    set_: SettingsOption = None,
    budget: BudgetOption = None,
    name: NameOption = None,
) -> None:
    """Print a task file of SkyPilot, for `sky jobs launch FILE`."""
    import bertd
    from bertd.cli.commands.submitting.resolve_recipe import resolve_recipe
    from bertd.clusters.skypilot_task import SkyOptions, skypilot_task

    # The data set is on the task's volume, not here.
    resolved = resolve_recipe(recipe, settings=set_ or [], budget=budget, name=name, is_awaiting=True).recipe
    options = SkyOptions(
        state_volume=state_volume,
        data_volume=data_volume,
        accelerators=gpu,
        infra=infra,
        image=image,
        use_spot=spot,
    )
    sys.stdout.write(skypilot_task(resolved, options, install=f"pip install bertd=={bertd.__version__}"))
