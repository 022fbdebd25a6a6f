"""What this machine has: software, devices, data set."""

from __future__ import annotations

import os
import socket

import torch

from bertd.run.machine.software import read_software
from bertd.run.paths import RunPaths
from bertd.run.recipe.schema import DevicesSection
from bertd.train.distributed.nodes.node_records import NodeFacts, collect_facts
from bertd.train.provenance import device_name
from bertd.train.run_inputs import load_run_inputs


def read_facts(paths: RunPaths, devices: DevicesSection) -> NodeFacts:
    """Read them.

    Args:
        paths: of a folder with the recipe.
        devices: of the recipe.

    Raises:
        RecipeError: the recipe is not valid.
        ShardError: the data set is missing, damaged or too small.
        VocabularyError: its tokenizer is not the one it was prepared with.
    """
    return collect_facts(
        read_software(os.environ),
        host=socket.gethostname(),
        device=_name_device(devices),
        data_fingerprint=load_run_inputs(paths).dataset.fingerprint,
    )


def count_devices(devices: DevicesSection) -> int:
    """GPUs of this machine, or its cores."""
    return torch.cuda.device_count() if devices.kind == "gpu" else os.cpu_count() or 1


def _name_device(devices: DevicesSection) -> str:
    if devices.kind == "cpu":
        return "cpu"
    return device_name(torch.device("cuda", 0)) if torch.cuda.is_available() else "no GPU"
