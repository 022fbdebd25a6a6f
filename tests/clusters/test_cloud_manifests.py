"""bertd.clusters.train_job and skypilot_task: what the engines accept, and errors for the rest."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import jsonschema
import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types

from bertd.clusters.skypilot_task import SkyOptions, skypilot_task
from bertd.clusters.train_job import PodOptions, train_job_manifest
from bertd.errors import RecipeError
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe
from tests.cli.conftest import Bertd
from tests.clusters.schemas import CONFIG_MAP, SKYPILOT_TASK, TRAIN_JOB, TRAINING_RUNTIME
from tests.clusters.tiny_recipe import TINY

PODS = PodOptions(image="example/bertd:1", state_claim="state", data_claim="data", namespace="nlp")
SKY = SkyOptions(state_volume="state", data_volume="data", accelerators="H100", infra="aws", use_spot=True)


def gpu_recipe(*overrides: str, shards: str = "/data/mine") -> Recipe:
    text = TINY.format(budget="hours = 2", shards=shards)
    settings = ["devices.kind=gpu", "devices.count=2", "batch.sequences=16", *overrides]
    return parse_recipe(text, name="tiny", overrides=settings)


@pytest.mark.parametrize("nodes", [1, 2])
def test_kubeflow_accepts_the_three_documents(nodes: int) -> None:
    recipe = gpu_recipe(f"devices.nodes={nodes}")
    documents = list(yaml.safe_load_all(train_job_manifest(recipe, PODS)))
    for document, schema in zip(documents, (CONFIG_MAP, TRAINING_RUNTIME, TRAIN_JOB), strict=True):
        jsonschema.Draft202012Validator(schema).validate(document)
        assert document["metadata"]["namespace"] == "nlp"
    config, runtime, job = documents
    assert parse_recipe(config["data"]["recipe.toml"], name="r") == recipe
    trainer = job["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (nodes, 2)
    assert trainer["resourcesPerNode"] == {"limits": {"nvidia.com/gpu": 2}}
    assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    (shell,) = trainer["args"]
    assert "bertd train /etc/bertd-recipe/recipe.toml --folder /state/tiny" in shell
    assert ("bertd join" in shell) == (nodes > 1)
    check_shell(shell)


def test_a_pod_has_time_to_save_and_starts_again_only_after_an_eviction() -> None:
    runtime = list(yaml.safe_load_all(train_job_manifest(gpu_recipe(), PODS)))[1]
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    job = node["template"]["spec"]
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] == 300
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {"containerName": "node", "operator": "NotIn", "values": [13, 137, 143]}


@pytest.mark.parametrize("nodes", [1, 2])
def test_skypilot_accepts_the_task(nodes: int) -> None:
    recipe = gpu_recipe(f"devices.nodes={nodes}")
    task: dict[str, Any] = yaml.safe_load(skypilot_task(recipe, SKY, install="pip install bertd"))
    jsonschema.Draft202012Validator(SKYPILOT_TASK).validate(task)
    assert task["resources"]["accelerators"] == "H100:2" and task["num_nodes"] == nodes
    assert task["resources"]["job_recovery"]["recover_on_exit_codes"] == [13]
    assert task["volumes"] == {"/state": "state", "/data": "data"}
    check_shell(task["run"])
    written = task["run"].partition("<<'END-OF-RECIPE'\n")[2].partition("END-OF-RECIPE\n")[0]
    assert parse_recipe(written, name="r") == recipe


def test_the_schemas_refuse_what_the_engines_do_not_know() -> None:
    task = yaml.safe_load(skypilot_task(gpu_recipe(), SKY, install="pip install bertd"))
    for schema, document in ((SKYPILOT_TASK, task), (TRAIN_JOB, {})):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate(document | {"surprise": 1})


def check_shell(script: str) -> None:
    if shutil.which("sh") is None:
        pytest.skip("no sh")
    done = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_cannot_be_expressed_is_refused_with_a_remedy() -> None:
    with pytest.raises(RecipeError, match="volumes at /state/; put it on one of them"):
        train_job_manifest(gpu_recipe(), PodOptions(image="i", state_claim="s"))
    with pytest.raises(RecipeError, match="lower-case letters"):
        train_job_manifest(gpu_recipe('run.name="My_Run"'), PODS)
    with pytest.raises(RecipeError, match="Give --gpu"):
        skypilot_task(gpu_recipe(), SkyOptions(state_volume="s", data_volume="d"), install="x")
    with pytest.raises(RecipeError, match="leave one out"):
        skypilot_task(gpu_recipe('devices.kind="cpu"'), SKY, install="x")
    with pytest.raises(RecipeError, match="volumes at /data/ and /state/"):
        skypilot_task(gpu_recipe(shards="/home/mine"), SKY, install="x")
    with pytest.raises(RecipeError, match="lower-case letters"):
        skypilot_task(gpu_recipe('run.name="4"'), SKY, install="x")


def test_both_are_subcommands(bertd: Bertd) -> None:
    settings = ["demo", "--set", "data.shards=/data/mine", "--name", "demo"]
    said = bertd("k8s", *settings, "--image", "i", "--state-claim", "s", "--data-claim", "d")
    assert said.code == 0 and len(list(yaml.safe_load_all(said.out))) == 3
    said = bertd("skypilot", *settings, "--state-volume", "s", "--data-volume", "d")
    assert said.code == 0 and yaml.safe_load(said.out)["name"] == "demo"
    assert bertd("skypilot", "demo", "--state-volume", "s").code == 2
