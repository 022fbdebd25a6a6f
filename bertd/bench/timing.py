"""Measure training speed: warmed up, interleaved, synchronised and repeated; medians with their range.

Contenders take turns, so that a machine that slows down affects all of them. Each uses its fastest micro-batch, found
beforehand. The ceiling is the speed of a large matrix product, measured between the contenders in the same process.

Speed counts only with the right loss: a contender's first update must have the loss of its eager twin, and its last one
a finite loss. A turn that fails removes its contender; the others continue.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch._dynamo.utils import counters

from bertd.bench.gpu_state import GpuState, GpuWatch, combine_samples
from bertd.bench.models import (
    BuiltContender,
    Contender,
    build_contender,
    eager_twin,
    first_eager_loss,
    is_own_twin,
)
from bertd.bench.turn_log import CeilingRecord, FailureRecord, ReadyRecord, TurnLog, TurnRecord
from bertd.bench.workload import Workload
from bertd.errors import DeviceMemoryError
from bertd.train.backends.cpu_tuning import keep_freed_pages, return_freed_pages
from bertd.train.backends.synchronize import synchronize
from bertd.train.oom import out_of_memory_reason

_CEILING_SIZE = {"cpu": 2048, "cuda": 8192}
_PROBE_UPDATES = 2
NO_TIME = "no time was left to prepare it"
MAX_LOSS_DIFFERENCE = 0.02
"""Between a contender's first update and its eager twin's, as a share: rounding and other dropout make up far less."""


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
    first_loss: float
    """Nats, of the first update."""
    eager_loss: float | None
    """The same by its eager twin; None where that could not run."""
    cache: str
    """Where it is compiled: warm where the compiler found all graphs on the disk, else cold."""
    sequences_per_s: list[float] = field(default_factory=list)
    """One value per repeat; padding is not counted."""
    last_loss: float = math.nan
    """Nats, of the latest update."""
    gpu: GpuState | None = None
    """Means over its turns, if NVML is available."""

    @property
    def median(self) -> float:
        return statistics.median(self.sequences_per_s)

    @property
    def loss_difference(self) -> float | None:
        """Share by which its first loss is off its eager twin's; None where there is none to compare with."""
        return None if self.eager_loss is None else abs(self.first_loss - self.eager_loss) / abs(self.eager_loss)

    @property
    def loss_fault(self) -> str | None:
        """What is wrong with its losses, for people; None where nothing is."""
        if not (math.isfinite(self.first_loss) and math.isfinite(self.last_loss)):
            return f"its loss was {self.first_loss:.4g} at the first update and {self.last_loss:.4g} at the last"
        if self.loss_difference is not None and not self.loss_difference <= MAX_LOSS_DIFFERENCE:
            return f"its first loss is {self.first_loss:.4g}, and its eager twin's {self.eager_loss:.4g}"
        return None


@dataclass(frozen=True)
class BenchResults:
    """The results of all contenders."""

    measured: list[Measurement]
    ceiling_flops: float
    """FLOP/s of a large matrix product in the run's precision, median over the repeats."""
    failures: dict[str, str]
    """Contenders that could not run, with the reason."""

    @property
    def loss_faults(self) -> dict[str, str]:
        """Contenders that were timed and computed something else, with what is wrong."""
        faults = {each.contender.name: each.loss_fault for each in self.measured}
        return {name: fault for name, fault in faults.items() if fault is not None}


def run_bench(
    contenders: list[Contender],
    workload: Workload,
    *,
    micros: list[int],
    repeats: int,
    seconds: float,
    log_line: Callable[[str], None],
    turn_log: TurnLog | None = None,
    prepare_until_s: float = math.inf,
) -> BenchResults:
    """Measure every contender `repeats` times for `seconds` each, in turns.

    Args:
        log_line: gets progress messages.
        turn_log: gets each figure as soon as it is measured.
        prepare_until_s: of the monotonic clock; contenders that are not prepared by then get no turn, and say so.
    """
    turn_log = turn_log or TurnLog(None)
    ready: list[tuple[Measurement, BuiltContender]] = []
    failures: dict[str, str] = {}
    twins: dict[Contender, float | None] = {}
    for contender in contenders:
        if time.monotonic() > prepare_until_s:
            _record_failure(contender, RuntimeError(NO_TIME), failures=failures, turn_log=turn_log)
            continue
        log_line(f"preparing {contender.name}")
        try:
            measured, built = _prepare(contender, workload, micros=micros, twins=twins)
        except (DeviceMemoryError, RuntimeError) as error:
            # A contender that cannot run here, e.g. without a compiler, must not end the whole bench.
            _record_failure(contender, error, failures=failures, turn_log=turn_log)
            continue
        ready.append((measured, built))
        turn_log.append(_ready_record(measured))
    watch = GpuWatch(is_wanted=workload.device.type == "cuda")
    ceilings = []
    for repeat in range(1, repeats + 1):
        with watch:
            ceilings.append(_measure_matmul_flops(workload, seconds=seconds / 4))
        turn_log.append(CeilingRecord(repeat=repeat, flops=ceilings[-1], gpu=watch.state))
        for measured, built in list(ready):
            log_line(f"repeat {repeat} of {repeats}: {measured.contender.name}")
            try:
                turn_log.append(_take_turn(measured, built, workload, repeat=repeat, seconds=seconds, watch=watch))
            except (DeviceMemoryError, RuntimeError) as error:
                _record_failure(measured.contender, error, failures=failures, turn_log=turn_log)
                traceback.clear_frames(error.__traceback__)
                built.close()
                ready.remove((measured, built))
    for _, built in ready:
        built.close()
    ceiling_flops = statistics.median(ceilings) if ceilings else math.nan
    return BenchResults([measured for measured, _ in ready], ceiling_flops, failures)


def _record_failure(contender: Contender, error: Exception, *, failures: dict[str, str], turn_log: TurnLog) -> None:
    lines = str(error).strip().splitlines()
    failures[contender.name] = lines[0] if lines else type(error).__name__
    turn_log.append(FailureRecord(name=contender.name, reason=failures[contender.name]))


def _ready_record(measured: Measurement) -> ReadyRecord:
    return ReadyRecord(
        name=measured.contender.name,
        micro=measured.micro,
        first_update_s=measured.first_update_s,
        compile_s=measured.compile_s,
        cache=measured.cache,
        peak_bytes=measured.peak_bytes,
        num_parameters=measured.num_parameters,
        first_loss=measured.first_loss,
        eager_loss=measured.eager_loss,
    )


def _take_turn(
    measured: Measurement,
    built: BuiltContender,
    workload: Workload,
    *,
    repeat: int,
    seconds: float,
    watch: GpuWatch,
) -> TurnRecord:
    _configure_malloc(measured.contender, workload)
    _load_to_device(built, workload.device)
    useful = workload.num_sequences * measured.contender.text_share(workload)
    losses: list[Tensor] = []

    def update() -> None:
        losses[:] = [built.update()]

    with watch:
        mean_s = _measure_mean_s(update, workload.device, seconds=seconds)
    measured.sequences_per_s.append(useful / mean_s)
    measured.last_loss = float(losses[0])
    measured.gpu = combine_samples([state for state in (measured.gpu, watch.state) if state is not None])
    _offload_to_cpu(built, workload.device)
    return TurnRecord(
        repeat=repeat,
        name=measured.contender.name,
        sequences_per_s=measured.sequences_per_s[-1],
        loss=measured.last_loss,
        gpu=watch.state,
    )


@dataclass(frozen=True)
class _MicroBatchTiming:
    """A contender's timing with one micro-batch."""

    built: BuiltContender
    micro: int
    first_update_s: float
    update_s: float
    peak_bytes: int | None
    first_loss: float
    cache: str


def _prepare(
    contender: Contender, workload: Workload, *, micros: list[int], twins: dict[Contender, float | None]
) -> tuple[Measurement, BuiltContender]:
    """Find the fastest micro-batch and warm the contender up with it; `twins` keeps the losses of eager twins.

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
    twin = eager_twin(contender)
    if twin not in twins:
        is_own = is_own_twin(contender)
        twins[twin] = best.first_loss if is_own else _measure_twin(contender, workload, micro=best.micro)
    measured = Measurement(
        contender,
        micro=best.micro,
        first_update_s=best.first_update_s,
        compile_s=max(0.0, best.first_update_s - best.update_s),
        peak_bytes=best.peak_bytes,
        num_parameters=sum(parameter.numel() for parameter in best.built.model.parameters()),
        first_loss=best.first_loss,
        eager_loss=twins[twin],
        cache=best.cache if contender.compiled else "",
    )
    return measured, best.built


def _measure_twin(contender: Contender, workload: Workload, *, micro: int) -> float | None:
    """The first loss of its eager twin; None where that does not fit beside the others or has no kernel here."""
    torch.manual_seed(0)
    try:
        return first_eager_loss(contender, workload, micro=micro)
    except RuntimeError as error:
        traceback.clear_frames(error.__traceback__)
        return None
    finally:
        gc.collect()
        if workload.device.type == "cuda":
            torch.cuda.empty_cache()


def _time_micro_batch(contender: Contender, workload: Workload, *, micro: int) -> _MicroBatchTiming:
    torch.manual_seed(0)
    others = _reset_peak(workload.device)
    built = build_contender(contender, workload, micro=micro)
    missed_before = counters["inductor"]["fxgraph_cache_miss"]
    losses: list[Tensor] = []
    try:
        first_update_s = _time_update(lambda: losses.append(built.update()), workload.device)
        first_loss, has_missed = float(losses[0]), counters["inductor"]["fxgraph_cache_miss"] > missed_before
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
        first_loss=first_loss,
        cache="cold" if has_missed else "warm",
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


def _time_update(update: Callable[[], object], device: torch.device) -> float:
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
