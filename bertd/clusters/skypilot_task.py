"""A task file of SkyPilot, for `sky jobs launch`: the recipe is in it, state and data are on volumes. Pure.

The fields are those of SkyPilot 0.10 and later: `volumes`, and `recover_on_exit_codes` for a managed job. After a
preemption, or a pause, SkyPilot starts the task again, and the command continues the run in its folder.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from bertd.clusters.slurm_script import PAUSED_STATUS
from bertd.clusters.yaml_text import Tree, format_yaml
from bertd.errors import RecipeError
from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.schema import Recipe

_END_OF_RECIPE = "END-OF-RECIPE"
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?")
_STATE, _DATA = "/state", "/data"


@dataclass(frozen=True)
class SkyOptions:
    """What a task needs besides the recipe."""

    state_volume: str
    """For the run folder, mounted at /state."""
    accelerators: str | None = None
    """Kind of GPU, such as H100; None on the CPU."""
    infra: str | None = None
    """Such as aws/us-east-1 or k8s."""
    image: str | None = None
    """With bertd installed; without one, `setup` installs it."""
    data_volume: str | None = None
    """Mounted at /data."""
    use_spot: bool = False


def skypilot_task(recipe: Recipe, options: SkyOptions, *, install: str) -> str:
    """The task's YAML.

    Args:
        recipe: of the run.
        options: of the cloud.
        install: shell command that installs bertd where there is no image.

    Raises:
        RecipeError: it cannot be expressed.
    """
    devices = recipe.devices
    _check(recipe, options)
    resources: dict[str, Tree] = {}
    if options.infra is not None:
        resources["infra"] = options.infra
    if options.accelerators is not None:
        resources["accelerators"] = f"{options.accelerators}:{devices.count}"
    else:
        resources["cpus"] = f"{devices.count}+"
    if options.image is not None:
        resources["image_id"] = f"docker:{options.image}"
    resources["use_spot"] = options.use_spot
    resources["job_recovery"] = {"max_restarts_on_errors": 0, "recover_on_exit_codes": [PAUSED_STATUS]}
    volumes: dict[str, Tree] = {_STATE: options.state_volume}
    if options.data_volume is not None:
        volumes[_DATA] = options.data_volume
    task: dict[str, Tree] = {
        "name": recipe.run.name,
        "num_nodes": devices.nodes,
        "resources": resources,
        "volumes": volumes,
    }
    if options.image is None:
        task["setup"] = install
    task["run"] = _run_script(recipe)
    return format_yaml([task])


def _run_script(recipe: Recipe) -> str:
    text = format_recipe(recipe)
    assert _END_OF_RECIPE not in text
    folder = f"{_STATE}/{recipe.run.name}"
    train = shlex.join(["bertd", "train", f"{recipe.run.name}.toml", "--folder", folder])
    write = f"cat > {recipe.run.name}.toml <<'{_END_OF_RECIPE}'\n{text}{_END_OF_RECIPE}\n"
    if recipe.devices.nodes == 1:
        return f"{write}exec {train}\n"
    first = '"$(printf %s "$SKYPILOT_NODE_IPS" | head -n 1)"'
    join = f"bertd join {first} --port {recipe.devices.port}"
    return f'if [ "$SKYPILOT_NODE_RANK" != 0 ]; then exec {join}; fi\n{write}exec {train}\n'


def _check(recipe: Recipe, options: SkyOptions) -> None:
    """Refuse what a task cannot express.

    Raises:
        RecipeError: the name, the kind of GPU, or a path.
    """
    name, devices = recipe.run.name, recipe.devices
    if not _NAME.fullmatch(name):
        raise RecipeError(
            f"[run] name = {name!r}: SkyPilot takes lower-case letters, digits and dashes, 50 at most, first a letter; "
            "give --name"
        )
    if devices.kind == "gpu" and options.accelerators is None:
        raise RecipeError(f"{name}: its {devices.count} GPUs are of which kind? Give --gpu, such as --gpu H100")
    if devices.kind == "cpu" and options.accelerators is not None:
        raise RecipeError(f'{name}: [devices] kind = "cpu", and --gpu {options.accelerators}; leave one out')
    folders = (f"{_STATE}/",) if options.data_volume is None else (f"{_DATA}/", f"{_STATE}/")
    for place in recipe.data.weights:
        if not place.startswith(folders):
            raise RecipeError(
                f"[data] shards = {place!r}: the task has volumes at {' and '.join(folders)}; put it on one of them "
                "and name the path there"
            )
