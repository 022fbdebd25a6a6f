"""How many sequences go through the model at once, where the recipe says micro = "auto".

Candidates cut every rank's share of every step with little left over. A model of the memory (bertd.model.memory) leaves
out what cannot fit, then trials on rank 0 find the fastest: on a GPU from the largest down, since larger products are
mostly faster; on CPU from 16 outwards. One that runs out of memory is survived and passed over. Trials end after two
minutes or a fiftieth of a timed budget; if nothing has fitted by then, quarters of it are tried until something does.
What was found is remembered by device, model and versions.

Unmeasured on a GPU: how near the model's figures come there, and how many compiled trials two minutes hold.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import torch
from pydantic import ValidationError

import bertd
from bertd.errors import DeviceError, StorageError
from bertd.model.encoder import EncoderConfig
from bertd.model.memory import sequence_bytes, state_bytes
from bertd.records import Record
from bertd.run.durable import write_whole
from bertd.run.paths import measured_dir
from bertd.run.recipe import Recipe
from bertd.train.attention import Attention
from bertd.train.kernels import Kernels
from bertd.train.provenance import device_name
from bertd.train.ranks import Ranks
from bertd.train.shortage import memory_shortage
from bertd.train.trial import Setting, run_trial

_LARGEST = 1024
"""More never was faster: at BERT-large's width the products are large enough long before."""
_CPU_CANDIDATES = (16, 32, 8, 64, 4)
"""In the order of their promise; a processor's caches are full early."""
_MOST_TRIALS = 6
_USABLE = 0.92
"""Share of the free memory: the rest goes to the allocator's gaps and the libraries' workspaces."""
_LONGEST_S = 120.0
_BUDGET_SHARE = 0.02


@dataclass(frozen=True)
class MicroBatch:
    """The choice; the same on every rank."""

    sequences: int
    reason: str
    """For people."""


class Remembered(Record):
    """Content of a file in the folder of measurements."""

    sequences: int
    reason: str
    date: str


def choose_micro_batch(setting: Setting, *, kernels: Kernels, attention: Attention, ranks: Ranks) -> MicroBatch:
    """The recipe's, or for `auto` the fastest that fits; every rank must call.

    Raises:
        DeviceError: not even the smallest fits.
    """
    wanted = setting.recipe.batch.micro
    if wanted != "auto":
        return MicroBatch(wanted, "the recipe says so")
    found: MicroBatch | None = None
    problem = ""
    if ranks.is_first:
        try:
            found = _remembered_or_measured(setting, kernels=kernels, attention=attention)
        except DeviceError as error:
            problem = str(error)
    (sequences,) = ranks.share([float(found.sequences if found else 0)])
    if not sequences:
        raise DeviceError(problem or '[batch] micro = "auto": nothing fits the memory of the first rank; it says why')
    return found or MicroBatch(int(sequences), "as on the first rank")


def trial_size(recipe: Recipe, *, is_cpu: bool) -> int:
    """Sequences in a pass while kernels are compared, before a micro-batch is chosen."""
    if recipe.batch.micro != "auto":
        return recipe.batch.micro
    return min(candidates(recipe, is_cpu=is_cpu), key=lambda size: abs(size - (16 if is_cpu else 64)))


def candidates(recipe: Recipe, *, is_cpu: bool) -> list[int]:
    """Sizes that cut every step with little left over, in the order in which they are tried. Pure."""
    batch, num_devices = recipe.batch, recipe.devices.count
    share = -(-min(batch.sizes) // num_devices)
    # A rank's share in 1, 2, 4 ... passes; beyond a pass for each sequence there is nothing to cut.
    by_passes = [-(-share >> doublings) for doublings in range(share.bit_length() + 1)]
    sizes = _CPU_CANDIDATES if is_cpu else [size for size in by_passes if size <= _LARGEST]
    usable = [size for size in dict.fromkeys(sizes) if batch.is_shared_by(num_devices, micro=size)]
    return usable or [1]


def fitting(
    sizes: list[int], *, config: EncoderConfig, recipe: Recipe, element_bytes: int, free_bytes: int
) -> list[int]:
    """Those that the memory model lets pass; the smallest in any case, since the model is from above. Pure."""
    is_muon = recipe.optimizer.kind == "muon"
    states = state_bytes(config, has_one_moment=is_muon, element_bytes=element_bytes)
    length = recipe.data.sequence_length
    predictions = recipe.masking.predictions(length)
    each = sequence_bytes(
        config,
        length=length,
        predictions=predictions,
        element_bytes=element_bytes,
        is_padded=recipe.data.packing == "sentences",
    )
    return [size for size in sizes if states + size * each <= _USABLE * free_bytes] or [min(sizes)]


def longest_s(recipe: Recipe) -> float:
    """How long trials may go on."""
    total_s = recipe.granted.total_s
    return _LONGEST_S if total_s is None else min(_LONGEST_S, _BUDGET_SHARE * total_s)


def _remembered_or_measured(setting: Setting, *, kernels: Kernels, attention: Attention) -> MicroBatch:
    path = measured_dir() / f"micro-batch-{_key(setting, kernels=kernels, attention=attention)}.json"
    sizes = candidates(setting.recipe, is_cpu=setting.device.type == "cpu")
    remembered = _read(path)
    if remembered is not None and remembered.sequences in sizes:
        return MicroBatch(remembered.sequences, f"{remembered.reason}; remembered from {remembered.date}")
    found = _measured(setting, sizes, kernels=kernels, attention=attention)
    memory = Remembered(sequences=found.sequences, reason=found.reason, date=time.strftime("%Y-%m-%d"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, memory.model_dump_json())
    except (OSError, StorageError) as error:
        return MicroBatch(found.sequences, f"{found.reason}; not remembered: {error}")
    return found


def _key(setting: Setting, *, kernels: Kernels, attention: Attention) -> str:
    recipe = setting.recipe
    facts = {
        "device": device_name(setting.device),
        "free": round(_free_bytes(setting.device) / 2**30) if setting.device.type == "cuda" else 0,
        "versions": [bertd.__version__, torch.__version__],
        "model": asdict(setting.config),
        "length": recipe.data.sequence_length,
        "predictions": recipe.masking.predictions(recipe.data.sequence_length),
        "precision": setting.precision.mode,
        "padded": setting.pad_id is not None,
        "kernels": [kernels.name, *kernels.apex.parts],
        "attention": attention.names[:1],
        "optimizer": recipe.optimizer.kind,
        "sizes": candidates(recipe, is_cpu=setting.device.type == "cpu"),
        "threads": torch.get_num_threads() if setting.device.type == "cpu" else 0,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _read(path: Path) -> Remembered | None:
    """Nothing where there is no file, or it is damaged: then it is measured again."""
    try:
        return Remembered.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def _measured(setting: Setting, sizes: list[int], *, kernels: Kernels, attention: Attention) -> MicroBatch:
    dtype = setting.precision.dtype
    element_bytes, free = (4 if dtype is None else dtype.itemsize), _free_bytes(setting.device)
    fit = fitting(sizes, config=setting.config, recipe=setting.recipe, element_bytes=element_bytes, free_bytes=free)
    limit_s, began_s, took_s = longest_s(setting.recipe), time.monotonic(), 0.0
    batch, speeds = setting.recipe.batch, dict[int, float]()
    too_large: list[int] = []
    for size in fit:
        elapsed_s = time.monotonic() - began_s
        is_late = elapsed_s + took_s > limit_s
        if speeds and (len(speeds) == _MOST_TRIALS or is_late):
            break
        if is_late and too_large and min(fit) < size and size * 4 > min(too_large):
            continue
        try:
            trial = run_trial(setting, kernels=kernels.name, apex=kernels.apex, attention=attention, micro=size)
        except (MemoryError, RuntimeError) as error:
            if memory_shortage(error) is None:
                raise
            too_large.append(size)
            took_s = time.monotonic() - began_s - elapsed_s
            continue
        # Rows that a step leaves empty are computed for nothing.
        empty = batch.num_empty(batch.sequences, micro=size, num_devices=setting.recipe.devices.count)
        speeds[size] = trial.sequences_per_s * batch.sequences / (batch.sequences + empty)
        took_s = time.monotonic() - began_s - elapsed_s
    if not speeds:
        tried = ", ".join(map(str, too_large))
        raise DeviceError(
            f'[batch] micro = "auto": none of {tried} sequences fits the {free / 2**30:.1f} GiB that '
            f"{device_name(setting.device)} has free; take a smaller model or a shorter data.sequence_length"
        )
    best = max(speeds, key=speeds.__getitem__)
    told = ", ".join(f"{size}: {speed:,.1f}" for size, speed in sorted(speeds.items()))
    large = f"; too large: {', '.join(map(str, sorted(too_large)))}" if too_large else ""
    left = [size for size in fit if size not in speeds and size not in too_large]
    untried = f"; not tried for lack of time: {', '.join(map(str, sorted(left)))}" if left else ""
    return MicroBatch(best, f"the fastest, in sequences/s of one rank: {told}{large}{untried}")
