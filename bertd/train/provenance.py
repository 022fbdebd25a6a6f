"""Write provenance.json: the code, packages, hardware and data behind a run's numbers."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

import bertd
from bertd.records import Record
from bertd.run.atomic_files import atomic_write
from bertd.run.machine.cpu_model import read_cpu_model
from bertd.train.distributed.process_group import Ranks
from bertd.train.run_inputs import RunInputs

_PACKAGES = ("torch", "numpy", "safetensors", "tokenizers", "transformers")


class Provenance(Record):
    """Content of provenance.json: where the numbers of this run come from."""

    bertd: str
    python: str
    platform: str
    packages: dict[str, str]
    device_name: str
    world_size: int
    recipe_sha256: str
    data_fingerprint: str


def device_name(device: torch.device) -> str:
    """The GPU's product name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return read_cpu_model() or platform.machine()


def write_provenance(run_inputs: RunInputs, ranks: Ranks) -> None:
    provenance = Provenance(
        bertd=bertd.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: version(name) for name in _PACKAGES},
        device_name=device_name(ranks.device),
        world_size=ranks.world_size,
        recipe_sha256=run_inputs.recipe_sha256,
        data_fingerprint=run_inputs.dataset.fingerprint,
    )
    atomic_write(run_inputs.paths.provenance, provenance.model_dump_json(indent=1))
