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
from bertd.run.atomic_files import atomic_write
from bertd.run.paths import measurements_dir
from bertd.run.quantities import format_bytes
from bertd.run.recipe.schema import Recipe
from bertd.train.autotune.attention_backend import AttentionChoice
from bertd.train.autotune.kernels import KernelChoice
from bertd.train.autotune.speed_probe import ModelSetup, run_speed_probe
from bertd.train.distributed.process_group import Ranks
from bertd.train.oom import out_of_memory_reason
from bertd.train.provenance import device_name

_MAX_SIZE = 1024
"""More never was faster: at BERT-large's width the products are large enough long before."""
_CPU_CANDIDATES = (16, 32, 8, 64, 4)
"""In the order of their promise; a processor's caches are full early."""
_MAX_PROBES = 6
_USABLE_SHARE = 0.92
"""Share of the free memory: the rest goes to the allocator's gaps and the libraries' workspaces."""
_TIME_LIMIT_S = 120.0
_BUDGET_SHARE = 0.02


@dataclass(frozen=True)
class MicroBatchChoice:
    """The choice; the same on every rank."""

    sequences: int
    reason: str
    """For people."""


class CachedMicroBatch(Record):
    """Content of a file in the folder of measurements."""

    sequences: int
    reason: str
    date: str


def choose_micro_batch(
    setup: ModelSetup, *, kernels: KernelChoice, attention: AttentionChoice, ranks: Ranks
) -> MicroBatchChoice:
    """The recipe's, or for `auto` the fastest that fits; every rank must call.

    Raises:
        DeviceError: not even the smallest fits.
    """
    wanted = setup.recipe.batch.micro
    if wanted != "auto":
        return MicroBatchChoice(wanted, "the recipe says so")
    found: MicroBatchChoice | None = None
    problem = ""
    if ranks.is_first:
        try:
            found = _load_or_measure(setup, kernels=kernels, attention=attention)
        except DeviceError as error:
            problem = str(error)
    (sequences,) = ranks.broadcast([float(found.sequences if found else 0)])
    if not sequences:
        raise DeviceError(problem or '[batch] micro = "auto": nothing fits the memory of the first rank; it says why')
    return found or MicroBatchChoice(int(sequences), "as on the first rank")


def probe_micro_batch(recipe: Recipe, *, is_cpu: bool) -> int:
    """Sequences in a pass while kernels are compared, before a micro-batch is chosen."""
    if recipe.batch.micro != "auto":
        return recipe.batch.micro
    return min(candidate_sizes(recipe, is_cpu=is_cpu), key=lambda size: abs(size - (16 if is_cpu else 64)))


def candidate_sizes(recipe: Recipe, *, is_cpu: bool) -> list[int]:
    """Sizes that cut every step with little left over, in the order in which they are tried. Pure."""
    batch, num_devices = recipe.batch, recipe.devices.count
    share = -(-min(batch.step_sizes) // num_devices)
    # A rank's share in 1, 2, 4 ... passes; beyond a pass for each sequence there is nothing to cut.
    by_passes = [-(-share >> doublings) for doublings in range(share.bit_length() + 1)]
    sizes = _CPU_CANDIDATES if is_cpu else [size for size in by_passes if size <= _MAX_SIZE]
    usable = [size for size in dict.fromkeys(sizes) if batch.divides_among(num_devices, micro=size)]
    return usable or [1]


def filter_by_memory(
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
    return [size for size in sizes if states + size * each <= _USABLE_SHARE * free_bytes] or [min(sizes)]


def time_limit_s(recipe: Recipe) -> float:
    """How long trials may go on."""
    total_s = recipe.granted.total_s
    return _TIME_LIMIT_S if total_s is None else min(_TIME_LIMIT_S, _BUDGET_SHARE * total_s)


def _load_or_measure(setup: ModelSetup, *, kernels: KernelChoice, attention: AttentionChoice) -> MicroBatchChoice:
    path = measurements_dir() / f"micro-batch-{_cache_key(setup, kernels=kernels, attention=attention)}.json"
    sizes = candidate_sizes(setup.recipe, is_cpu=setup.device.type == "cpu")
    cached = _read_cached(path)
    if cached is not None and cached.sequences in sizes:
        return MicroBatchChoice(cached.sequences, f"{cached.reason}; remembered from {cached.date}")
    found = _measure_sizes(setup, sizes, kernels=kernels, attention=attention)
    entry = CachedMicroBatch(sequences=found.sequences, reason=found.reason, date=time.strftime("%Y-%m-%d"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, entry.model_dump_json())
    except (OSError, StorageError) as error:
        return MicroBatchChoice(found.sequences, f"{found.reason}; not remembered: {error}")
    return found


def _cache_key(setup: ModelSetup, *, kernels: KernelChoice, attention: AttentionChoice) -> str:
    recipe = setup.recipe
    facts = {
        "device": device_name(setup.device),
        "free": round(_free_bytes(setup.device) / 2**30) if setup.device.type == "cuda" else 0,
        "versions": [bertd.__version__, torch.__version__],
        "model": asdict(setup.config),
        "length": recipe.data.sequence_length,
        "predictions": recipe.masking.predictions(recipe.data.sequence_length),
        "precision": setup.precision.mode,
        "padded": setup.pad_id is not None,
        "kernels": [kernels.name, *kernels.apex.classes],
        "attention": attention.names[:1],
        "optimizer": recipe.optimizer.kind,
        "sizes": candidate_sizes(recipe, is_cpu=setup.device.type == "cpu"),
        "threads": torch.get_num_threads() if setup.device.type == "cpu" else 0,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _read_cached(path: Path) -> CachedMicroBatch | None:
    """Nothing where there is no file, or it is damaged: then it is measured again."""
    try:
        return CachedMicroBatch.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def _measure_sizes(
    setup: ModelSetup, sizes: list[int], *, kernels: KernelChoice, attention: AttentionChoice
) -> MicroBatchChoice:
    dtype = setup.precision.dtype
    element_bytes, free = (4 if dtype is None else dtype.itemsize), _free_bytes(setup.device)
    fitting_sizes = filter_by_memory(
        sizes, config=setup.config, recipe=setup.recipe, element_bytes=element_bytes, free_bytes=free
    )
    limit_s, began_s, last_probe_s = time_limit_s(setup.recipe), time.monotonic(), 0.0
    batch, speeds = setup.recipe.batch, dict[int, float]()
    too_large: list[int] = []
    for size in fitting_sizes:
        elapsed_s = time.monotonic() - began_s
        is_late = elapsed_s + last_probe_s > limit_s
        if speeds and (len(speeds) == _MAX_PROBES or is_late):
            break
        if is_late and too_large and min(fitting_sizes) < size and size * 4 > min(too_large):
            continue
        try:
            probe = run_speed_probe(setup, kernels=kernels.name, apex=kernels.apex, attention=attention, micro=size)
        except (MemoryError, RuntimeError) as error:
            if out_of_memory_reason(error) is None:
                raise
            too_large.append(size)
            last_probe_s = time.monotonic() - began_s - elapsed_s
            continue
        # Rows that a step leaves empty are computed for nothing.
        empty = batch.num_padding_rows(batch.sequences, micro=size, num_devices=setup.recipe.devices.count)
        speeds[size] = probe.sequences_per_s * batch.sequences / (batch.sequences + empty)
        last_probe_s = time.monotonic() - began_s - elapsed_s
    if not speeds:
        tried = ", ".join(map(str, too_large))
        raise DeviceError(
            f'[batch] micro = "auto": none of {tried} sequences fits the {format_bytes(free)} that '
            f"{device_name(setup.device)} has free; take a smaller model or a shorter data.sequence_length"
        )
    best = max(speeds, key=speeds.__getitem__)
    speeds_text = ", ".join(f"{size}: {speed:,.1f}" for size, speed in sorted(speeds.items()))
    too_large_text = f"; too large: {', '.join(map(str, sorted(too_large)))}" if too_large else ""
    untried_sizes = [size for size in fitting_sizes if size not in speeds and size not in too_large]
    untried_text = (
        f"; not tried for lack of time: {', '.join(map(str, sorted(untried_sizes)))}" if untried_sizes else ""
    )
    return MicroBatchChoice(
        best, f"the fastest, in sequences/s of one rank: {speeds_text}{too_large_text}{untried_text}"
    )
