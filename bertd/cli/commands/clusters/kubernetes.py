"""`bertd k8s`: a run as a job of Kubernetes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bertd.cli.commands.clusters.train import BudgetOption, NameOption, SettingsOption
from bertd.cli.completion import complete_recipe


def k8s(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, or the name of a recipe of bertd. Its paths are those of the pods.",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ],
    image: Annotated[str, typer.Option("--image", metavar="IMAGE", help="With bertd in it.", show_default=False)],
    state_claim: Annotated[
        str,
        typer.Option(
            "--state-claim",
            metavar="CLAIM",
            help="PersistentVolumeClaim for the run's folder, which becomes /state/NAME.",
            show_default=False,
        ),
    ],
    data_claim: Annotated[
        str | None,
        typer.Option(
            "--data-claim", metavar="CLAIM", help="The same for data sets, at /data, read only.", show_default=False
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", metavar="NAME", help="Of all objects; without it kubectl's.", show_default=False),
    ] = None,
    set_: SettingsOption = None,
    budget: BudgetOption = None,
    name: NameOption = None,
) -> None:
    """Print a TrainJob of Kubeflow Trainer, with its runtime and the recipe, for `kubectl apply -f -`."""
    from bertd.cli.commands.submitting.resolve_recipe import resolve_recipe
    from bertd.clusters.train_job import PodOptions, train_job_manifest

    # The data set is on the pods' volume, not here.
    resolved = resolve_recipe(recipe, settings=set_ or [], budget=budget, name=name, is_awaiting=True).recipe
    options = PodOptions(image=image, state_claim=state_claim, data_claim=data_claim, namespace=namespace)
    sys.stdout.write(train_job_manifest(resolved, options))
