"""Measure training speed: warmed up, interleaved, synchronised and repeated; medians with their range.

Contenders take turns, so that a machine that slows down affects all of them. Each uses its fastest micro-batch, found
beforehand. The ceiling is the speed of a large matrix product, measured between the contenders in the same process.
"""

from __future__ import annotations

import gc
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from bertd.bench.models import BuiltContender, Contender, UpdateFn, build_contender
from bertd.bench.workload import Workload
from bertd.errors import DeviceMemoryError
from bertd.train.backends.cpu_tuning import keep_freed_pages, return_freed_pages
from bertd.train.backends.synchronize import synchronize
from bertd.train.oom import out_of_memory_reason

_CEILING_SIZE = {"cpu": 2048, "cuda": 8192}
_PROBE_UPDATES = 2


@dataclass
class Measurement:
    """One contender's results."""

    contender: Contender
    micro: int
    """Sequences in a forward pass: the fastest micro-batch of those tried."""
    first_update_s: float
    compile_s: float
    """First update minus a later one: compilation and other one-time work."""
    peak_bytes: int | None
    """Peak device memory; None on CPU, where contenders share the process."""
    num_parameters: int
    sequences_per_s: list[float] = field(default_factory=list)
    """One value per repeat; padding is not counted."""

    @property
    def median(self) -> float:
        return statistics.median(self.sequences_per_s)


@dataclass(frozen=True)
class BenchResults:
    """The results of all contenders."""

    measured: list[Measurement]
    ceiling_flops: float
    """FLOP/s of a large matrix product in the run's precision, median over the repeats."""
    failures: dict[str, str]
    """Contenders that could not run, with the reason."""


def run_bench(
    contenders: list[Contender],
    workload: Workload,
    *,
    micros: list[int],
    repeats: int,
    seconds: float,
    log_line: Callable[[str], None],
) -> BenchResults:
    """Measure every contender `repeats` times for `seconds` each, in turns; `log_line` gets progress messages."""
    ready: list[tuple[Measurement, BuiltContender]] = []
    failures: dict[str, str] = {}
    for contender in contenders:
        log_line(f"preparing {contender.name}")
        try:
            ready.append(_prepare(contender, workload, micros=micros))
        except (DeviceMemoryError, RuntimeError) as error:
            # A contender that cannot run here, e.g. without a compiler, must not end the whole bench.
            failures[contender.name] = str(error).strip().partition("\n")[0]
    ceilings = []
    for repeat in range(repeats):
        ceilings.append(_measure_matmul_flops(workload, seconds=seconds / 4))
        for measured, built in ready:
            log_line(f"repeat {repeat + 1} of {repeats}: {measured.contender.name}")
            _configure_malloc(measured.contender, workload)
            useful = workload.num_sequences * measured.contender.text_share(workload)
            _load_to_device(built, workload.device)
            measured.sequences_per_s.append(useful / _measure_mean_s(built.update, workload.device, seconds=seconds))
            _offload_to_cpu(built, workload.device)
    for _, built in ready:
        built.close()
    return BenchResults([measured for measured, _ in ready], statistics.median(ceilings), failures)


@dataclass(frozen=True)
class _MicroBatchTiming:
    """A contender's timing with one micro-batch."""

    built: BuiltContender
    micro: int
    first_update_s: float
    update_s: float
    peak_bytes: int | None


def _prepare(contender: Contender, workload: Workload, *, micros: list[int]) -> tuple[Measurement, BuiltContender]:
    """Find the fastest micro-batch and warm the contender up with it.

    Raises:
        DeviceMemoryError: not even the first micro-batch fits.
        RuntimeError: it failed for another reason.
    """
    _configure_malloc(contender, workload)
    best: _MicroBatchTiming | None = None
    oom_reason = None
    for micro in micros:
        try:
            timing = _time_micro_batch(contender, workload, micro=micro)
        except RuntimeError as error:
            if (oom_reason := out_of_memory_reason(error)) is None:
                if best is not None:
                    best.built.close()
                raise
            # The traceback's frames keep the model alive.
            traceback.clear_frames(error.__traceback__)
            gc.collect()
            torch.cuda.empty_cache()
            break
        _offload_to_cpu(timing.built, workload.device)
        slower: _MicroBatchTiming | None = timing
        if best is None or timing.update_s < best.update_s:
            best, slower = timing, best
        if slower is not None:
            slower.built.close()
        del timing, slower
        gc.collect()
    if best is None:
        raise DeviceMemoryError(f"not even a micro-batch of {micros[0]} fits: {oom_reason}")
    measured = Measurement(
        contender,
        micro=best.micro,
        first_update_s=best.first_update_s,
        compile_s=max(0.0, best.first_update_s - best.update_s),
        peak_bytes=best.peak_bytes,
        num_parameters=sum(parameter.numel() for parameter in best.built.model.parameters()),
    )
    return measured, best.built


def _time_micro_batch(contender: Contender, workload: Workload, *, micro: int) -> _MicroBatchTiming:
    torch.manual_seed(0)
    others = _reset_peak(workload.device)
    built = build_contender(contender, workload, micro=micro)
    try:
        first_update_s = _time_update(built.update, workload.device)
        update_s = min(_time_update(built.update, workload.device) for _ in range(_PROBE_UPDATES))
    except RuntimeError:
        built.close()
        raise
    return _MicroBatchTiming(
        built,
        micro,
        first_update_s=first_update_s,
        update_s=update_s,
        peak_bytes=_read_peak_bytes(workload.device, others=others),
    )


def _configure_malloc(contender: Contender, workload: Workload) -> None:
    if workload.device.type == "cpu":
        keep_freed_pages() if contender.freed_pages == "kept" else return_freed_pages()


def _offload_to_cpu(built: BuiltContender, device: torch.device) -> None:
    """Free the GPU for the next contender; otherwise the last ones would have the least memory."""
    if device.type == "cuda":
        built.move(torch.device("cpu"))
        gc.collect()
        torch.cuda.empty_cache()


def _load_to_device(built: BuiltContender, device: torch.device) -> None:
    if device.type == "cuda":
        built.move(device)
        built.update()


def _time_update(update: UpdateFn, device: torch.device) -> float:
    synchronize(device)
    began_s = time.perf_counter()
    update()
    synchronize(device)
    return time.perf_counter() - began_s


def _measure_mean_s(update: Callable[[], object], device: torch.device, *, seconds: float) -> float:
    """Mean seconds per update over `seconds`, with one synchronisation at the end."""
    synchronize(device)
    began_s, updates = time.perf_counter(), 0
    while updates == 0 or time.perf_counter() - began_s < seconds:
        update()
        updates += 1
    synchronize(device)
    return (time.perf_counter() - began_s) / updates


def _measure_matmul_flops(workload: Workload, *, seconds: float) -> float:
    size = _CEILING_SIZE[workload.device.type]
    a, b = (torch.randn(size, size, device=workload.device, dtype=workload.precision.dtype) for _ in range(2))
    torch.mm(a, b)
    return 2 * size**3 / _measure_mean_s(lambda: torch.mm(a, b), workload.device, seconds=seconds)


def _reset_peak(device: torch.device) -> int:
    """Reset the peak statistics; returns the bytes that other contenders hold."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _read_peak_bytes(device: torch.device, *, others: int) -> int | None:
    return torch.cuda.max_memory_allocated(device) - others if device.type == "cuda" else None
