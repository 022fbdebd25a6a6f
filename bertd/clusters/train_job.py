"""A Kubernetes job of Kubeflow Trainer: a ConfigMap with the recipe, a TrainingRuntime and a TrainJob. Pure.

The API is trainer.kubeflow.org/v1alpha1 as of Kubeflow Trainer 2.3, over JobSet v1alpha2 and batch/v1. The runtime is
the run's own, since a TrainJob alone cannot say how long a pod may take to end, nor which exit statuses are worth a
restart. Run folder and data sets are on volumes that every pod can mount; a pod that starts again continues the run in
its folder.
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

TRAINER_API = "trainer.kubeflow.org/v1alpha1"
_RECIPE_FOLDER, _RECIPE_KEY = "/etc/bertd-recipe", "recipe.toml"
_END_S = 300
"""From SIGTERM to SIGKILL of a pod: the step it is at, the checkpoint, the exit. Kubernetes' default is 30 s."""
_MAX_RESTARTS = 20
"""Of the whole job, after evictions: each continues the run."""
_WORTH_A_RESTART = [PAUSED_STATUS, 137, 143]
"""Exit statuses of a pod that was evicted: it paused, or was killed. After others the same would happen again."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")
"""Leaves room for what JobSet adds to it, within a DNS label."""


@dataclass(frozen=True)
class PodOptions:
    """What the pods need besides the recipe."""

    image: str
    """With bertd installed."""
    state_claim: str
    """PersistentVolumeClaim for the run folder, mounted at /state."""
    data_claim: str | None = None
    """The same for data sets, mounted read-only at /data; None if they are on the other one."""
    namespace: str | None = None


def train_job_manifest(recipe: Recipe, options: PodOptions) -> str:
    """Three YAML documents for `kubectl apply -f -`.

    Raises:
        RecipeError: the run's name or its data's place cannot be expressed.
    """
    name = recipe.run.name
    if not _NAME.fullmatch(name):
        raise RecipeError(
            f"[run] name = {name!r}: Kubernetes takes lower-case letters, digits and dashes, 42 at most; give --name"
        )
    _require_mounted(recipe, options)
    documents = [_config_map(recipe), _training_runtime(recipe, options), _train_job(recipe, options)]
    if options.namespace is not None:
        for document in documents:
            metadata = document["metadata"]
            assert isinstance(metadata, dict)
            metadata["namespace"] = options.namespace
    return format_yaml(documents)


def pod_command(recipe: Recipe, *, rank: str, first: str) -> str:
    """What the shell of each pod runs: the first one trains, the others join it.

    Args:
        recipe: of the run.
        rank: shell expression for the number of the pod.
        first: shell expression for the address of pod 0.
    """
    train = shlex.join(["bertd", "train", f"{_RECIPE_FOLDER}/{_RECIPE_KEY}", "--folder", f"/state/{recipe.run.name}"])
    if recipe.devices.nodes == 1:
        return f"exec {train}"
    join = f'bertd join "{first}" --port {recipe.devices.port}'
    return f'if [ "{rank}" = 0 ]; then exec {train}; else exec {join}; fi'


def _require_mounted(recipe: Recipe, options: PodOptions) -> None:
    """Refuse paths that no volume of the pods has.

    Raises:
        RecipeError: a path is elsewhere.
    """
    folders = ("/state/",) if options.data_claim is None else ("/data/", "/state/")
    places = [("[data] shards", place) for place in recipe.data.weights]
    if (start := recipe.model.start_from) is not None and start.startswith("/"):
        places.append(("[model] start_from", start))
    for key, place in places:
        if not place.startswith(folders):
            remedy = "" if options.data_claim else ", or name a volume for /data by --data-claim"
            raise RecipeError(
                f"{key} = {place!r}: the pods have volumes at {' and '.join(folders)}; put it on one of them and name "
                f"the path there{remedy}"
            )


def _config_map(recipe: Recipe) -> dict[str, Tree]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": _recipe_name(recipe)},
        "data": {_RECIPE_KEY: format_recipe(recipe)},
    }


def _training_runtime(recipe: Recipe, options: PodOptions) -> dict[str, Tree]:
    mounts: list[Tree] = [
        {"name": "recipe", "mountPath": _RECIPE_FOLDER, "readOnly": True},
        {"name": "state", "mountPath": "/state"},
        # Ranks exchange tensors through shared memory, of which a container has 64 MiB by default.
        {"name": "shm", "mountPath": "/dev/shm"},
    ]
    volumes: list[Tree] = [
        {"name": "recipe", "configMap": {"name": _recipe_name(recipe)}},
        {"name": "state", "persistentVolumeClaim": {"claimName": options.state_claim}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    if options.data_claim is not None:
        mounts.append({"name": "data", "mountPath": "/data", "readOnly": True})
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": options.data_claim}})
    pod: dict[str, Tree] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _END_S,
        "containers": [{"name": "node", "image": options.image, "volumeMounts": mounts}],
        "volumes": volumes,
    }
    refuse: dict[str, Tree] = {
        "action": "FailJob",
        "onExitCodes": {"containerName": "node", "operator": "NotIn", "values": [*_WORTH_A_RESTART]},
    }
    job: dict[str, Tree] = {
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": [refuse]},
        "template": {"spec": pod},
    }
    node: dict[str, Tree] = {
        "name": "node",
        "template": {
            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
            "spec": job,
        },
    }
    give_up: dict[str, Tree] = {
        "name": "other-failures",
        "action": "FailJobSet",
        "onJobFailureReasons": ["PodFailurePolicy"],
    }
    return {
        "apiVersion": TRAINER_API,
        "kind": "TrainingRuntime",
        "metadata": {"name": recipe.run.name, "labels": {"trainer.kubeflow.org/framework": "torch"}},
        "spec": {
            "mlPolicy": {"numNodes": recipe.devices.nodes, "torch": {}},
            "template": {
                "spec": {
                    "failurePolicy": {"maxRestarts": _MAX_RESTARTS, "rules": [give_up]},
                    "replicatedJobs": [node],
                }
            },
        },
    }


def _train_job(recipe: Recipe, options: PodOptions) -> dict[str, Tree]:
    devices = recipe.devices
    resources: dict[str, Tree] = (
        {"limits": {"nvidia.com/gpu": devices.count}} if devices.kind == "gpu" else {"requests": {"cpu": devices.count}}
    )
    command = pod_command(recipe, rank="$PET_NODE_RANK", first="$PET_MASTER_ADDR")
    return {
        "apiVersion": TRAINER_API,
        "kind": "TrainJob",
        "metadata": {"name": recipe.run.name},
        "spec": {
            "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": recipe.run.name},
            "trainer": {
                "image": options.image,
                "command": ["sh", "-c"],
                "args": [command],
                "numNodes": devices.nodes,
                "numProcPerNode": devices.count,
                "resourcesPerNode": resources,
            },
        },
    }


def _recipe_name(recipe: Recipe) -> str:
    return f"{recipe.run.name}-recipe"
