"""Choose the micro-batch, the sequences of one forward pass, for recipes with micro = "auto".

Candidates divide each rank's batch into micro-batches with few padding rows. The memory model (bertd.model.memory)
drops those that cannot fit; then speed probes on rank 0 find the fastest. On a GPU they start with the largest, since
larger products are mostly faster; on CPU with 16. What several ranks need to exchange gradients is kept free in both. A
candidate that runs out of memory is skipped. Probes end after two minutes or a fiftieth of a timed budget. If none has
fitted by then, sizes a quarter as large are probed until one does. The result is cached by device, model and versions.
If memory turns out too small for it before the first step, rehearsal.py takes a smaller one.

Not measured on a GPU: how accurate the memory model is, and how many compiled probes fit in two minutes.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
import torch
from pydantic import ValidationError

import bertd
from bertd.errors import DeviceError, StorageError
from bertd.model.encoder import EncoderConfig
from bertd.model.memory import micro_batch_bytes, sequence_bytes, state_bytes
from bertd.records import Record
from bertd.run.amounts.quantities import format_bytes
from bertd.run.atomic_files import atomic_write
from bertd.run.log import log_line
from bertd.run.paths import measurements_dir
from bertd.run.recipe.schema import Recipe
from bertd.train.autotune.attention_backend import AttentionChoice
from bertd.train.autotune.kernels import KernelChoice
from bertd.train.autotune.speed_probe import ModelSetup, reserved_bytes, run_speed_probe
from bertd.train.distributed.process_group import Ranks
from bertd.train.oom import out_of_memory_reason
from bertd.train.provenance import device_name

_MAX_SIZE = 1024
"""Larger was never faster: at BERT-large's width the products are large enough long before."""
_CPU_CANDIDATES = (16, 32, 8, 64, 4)
"""The most promising first; small, because a CPU's caches fill early."""
_MAX_PROBES = 6
_USABLE_SHARE = 0.92
"""Share of the free memory; the rest is for fragmentation and the libraries' workspaces."""
_TIME_LIMIT_S = 120.0
_BUDGET_SHARE = 0.02


@dataclass(frozen=True)
class MicroBatchChoice:
    """The chosen micro-batch; `sequences` is the same on every rank."""

    sequences: int
    reason: str
    """As text, for the journal."""
    cache_file: Path | None = None
    """Where it is remembered for the next run; on rank 0, if it was measured."""
    too_large: str = ""
    """What did not fit the run and was given up for this one, as text for an alert; empty where it was the first."""


class CachedMicroBatch(Record):
    """Content of a cache file in the measurements folder."""

    sequences: int
    reason: str
    date: str


def choose_micro_batch(
    setup: ModelSetup, *, kernels: KernelChoice, attention: AttentionChoice, ranks: Ranks
) -> MicroBatchChoice:
    """Return the recipe's micro-batch, or for `auto` the fastest that fits; every rank must call.

    Raises:
        DeviceError: not even the smallest candidate fits.
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
        raise DeviceError(ranks.broadcast_text(problem))
    return found or MicroBatchChoice(int(sequences), "as on the first rank")


def likely_micro_batches(setup: ModelSetup) -> list[int]:
    """Return the sequences per pass for comparing kernels, before a micro-batch is chosen, the most likely first."""
    if setup.recipe.batch.micro != "auto":
        return [setup.recipe.batch.micro]
    return _fitting_sizes(setup, candidate_sizes(setup.recipe, is_cpu=setup.device.type == "cpu"))


def candidate_sizes(recipe: Recipe, *, is_cpu: bool) -> list[int]:
    """Sizes that divide every step with few padding rows, in the order in which they are probed. Pure."""
    batch, num_devices = recipe.batch, recipe.devices.num_ranks
    share = -(-min(batch.step_sizes) // num_devices)
    # Divide a rank's share into 1, 2, 4 ... passes, down to one sequence per pass.
    by_passes = [-(-share >> doublings) for doublings in range(share.bit_length() + 1)]
    sizes = _CPU_CANDIDATES if is_cpu else [size for size in by_passes if size <= _MAX_SIZE]
    usable = [size for size in dict.fromkeys(sizes) if batch.divides_among(num_devices, micro=size)]
    return usable or [1]


def filter_by_memory(
    sizes: list[int], *, config: EncoderConfig, recipe: Recipe, element_bytes: int, free_bytes: int
) -> list[int]:
    """Keep the sizes that fit by the memory model, and always the smallest: the model is an upper bound. Pure."""
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
    usable_bytes = _USABLE_SHARE * free_bytes - reserved_bytes(recipe)

    def fits(size: int) -> bool:
        return states + micro_batch_bytes(config, sequences=size, each_bytes=each) <= usable_bytes

    return [size for size in sizes if fits(size)] or [min(sizes)]


def time_limit_s(recipe: Recipe) -> float:
    """Time limit for all speed probes together."""
    total_s = recipe.granted.total_s
    return _TIME_LIMIT_S if total_s is None else min(_TIME_LIMIT_S, _BUDGET_SHARE * total_s)


def _load_or_measure(setup: ModelSetup, *, kernels: KernelChoice, attention: AttentionChoice) -> MicroBatchChoice:
    path = measurements_dir() / f"micro-batch-{_cache_key(setup, kernels=kernels, attention=attention)}.json"
    sizes = candidate_sizes(setup.recipe, is_cpu=setup.device.type == "cpu")
    cached = _read_cached(path)
    if cached is not None and cached.sequences in sizes:
        return MicroBatchChoice(cached.sequences, f"{cached.reason}; measured on {cached.date}", cache_file=path)
    found = _measure_sizes(setup, sizes, kernels=kernels, attention=attention)
    entry = CachedMicroBatch(sequences=found.sequences, reason=found.reason, date=time.strftime("%Y-%m-%d"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, entry.model_dump_json())
    except (OSError, StorageError) as error:
        return MicroBatchChoice(found.sequences, f"{found.reason}; not cached: {error}")
    return replace(found, cache_file=path)


def forget(choice: MicroBatchChoice) -> None:
    """Have the next run measure again."""
    if choice.cache_file is None:
        return
    try:
        choice.cache_file.unlink(missing_ok=True)
    except OSError as error:
        log_line(f"bertd: {choice.cache_file}: is wrong and cannot be deleted: {error}; delete it by hand")


def _cache_key(setup: ModelSetup, *, kernels: KernelChoice, attention: AttentionChoice) -> str:
    recipe = setup.recipe
    facts = {
        "device": device_name(setup.device),
        "free": round(_free_bytes(setup.device) / 2**30) if setup.device.type == "cuda" else 0,
        "versions": [bertd.__version__, torch.__version__],
        "model": asdict(setup.config),
        "length": recipe.data.sequence_length,
        "predictions": recipe.masking.predictions(recipe.data.sequence_length),
        "precision": [setup.precision.mode, recipe.precision.fp8_products, recipe.precision.product_search],
        "padded": setup.pad_id is not None,
        "kernels": [kernels.name, recipe.precision.compile_unit, *kernels.apex.classes],
        "attention": attention.names[:1],
        "optimizer": recipe.optimizer.kind,
        "reserved": reserved_bytes(recipe),
        "sizes": candidate_sizes(recipe, is_cpu=setup.device.type == "cpu"),
        "threads": torch.get_num_threads() if setup.device.type == "cpu" else 0,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _read_cached(path: Path) -> CachedMicroBatch | None:
    """None if there is no file or it is damaged; the sizes are then measured again."""
    try:
        return CachedMicroBatch.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def _fitting_sizes(setup: ModelSetup, sizes: list[int]) -> list[int]:
    dtype = setup.precision.dtype
    return filter_by_memory(
        sizes,
        config=setup.config,
        recipe=setup.recipe,
        element_bytes=4 if dtype is None else dtype.itemsize,
        free_bytes=_free_bytes(setup.device),
    )


def _probe_speed(setup: ModelSetup, size: int, *, kernels: KernelChoice, attention: AttentionChoice) -> float:
    probe = run_speed_probe(setup, kernels=kernels.name, apex=kernels.apex, attention=attention, micro=size)
    return probe.sequences_per_s


def _measure_sizes(
    setup: ModelSetup, sizes: list[int], *, kernels: KernelChoice, attention: AttentionChoice
) -> MicroBatchChoice:
    free, fitting_sizes = _free_bytes(setup.device), _fitting_sizes(setup, sizes)
    limit_s, began_s, last_probe_s = time_limit_s(setup.recipe), time.monotonic(), 0.0
    batch, speeds = setup.recipe.batch, dict[int, float]()
    too_large: list[int] = []
    for size in fitting_sizes:
        elapsed_s = time.monotonic() - began_s
        is_late = elapsed_s + last_probe_s > limit_s
        if speeds and (len(speeds) == _MAX_PROBES or is_late):
            break
        # Late and nothing has fitted: skip to a quarter of what was too large, or to the smallest size.
        if is_late and too_large and min(fitting_sizes) < size and size * 4 > min(too_large):
            continue
        try:
            # Comparing kernels has measured one of them.
            speed = kernels.speeds.get(size) or _probe_speed(setup, size, kernels=kernels, attention=attention)
        except (MemoryError, RuntimeError) as error:
            if out_of_memory_reason(error) is None:
                raise
            too_large.append(size)
            last_probe_s = time.monotonic() - began_s - elapsed_s
            continue
        # Do not count padding rows, which are computed for nothing.
        empty = batch.num_padding_rows(batch.sequences, micro=size, num_devices=setup.recipe.devices.num_ranks)
        speeds[size] = speed * batch.sequences / (batch.sequences + empty)
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
