"""How speed is measured: warm, interleaved, synchronised, repeated; medians with their spread.

Contenders take turns, so that a machine that slows down slows all of them. Each uses the micro-batch that is fastest
for it, found first. The ceiling is a matrix product measured in the same process, between the same contenders.
"""

from __future__ import annotations

import gc
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from bertd.bench.contenders import Built, Contender, Update, build
from bertd.bench.work import Work
from bertd.errors import DeviceMemoryError
from bertd.train.host_cpu import keep_freed_pages, return_freed_pages
from bertd.train.shortage import memory_shortage

_CEILING_SIZE = {"cpu": 2048, "cuda": 8192}
_PROBE_UPDATES = 2


@dataclass
class Measured:
    """One contender's figures."""

    contender: Contender
    micro: int
    """Sequences in a forward pass: the fastest of those tried."""
    first_s: float
    """Of the first update."""
    compile_s: float
    """The first update less a later one: compiling, and what else is done once."""
    peak_bytes: int | None
    """Device memory; None on CPU, where contenders share the process."""
    num_parameters: int
    sequences_per_s: list[float] = field(default_factory=list)
    """One for each repeat; padding does not count."""

    @property
    def median(self) -> float:
        return statistics.median(self.sequences_per_s)


@dataclass(frozen=True)
class Results:
    """A whole bench."""

    measured: list[Measured]
    ceiling_flops: float
    """FLOP/s of a large matrix product in the run's precision, median over the repeats."""
    failures: dict[str, str]
    """Contenders that could not run, with the reason."""


def run_bench(
    contenders: list[Contender],
    work: Work,
    *,
    micros: list[int],
    repeats: int,
    seconds: float,
    say: Callable[[str], None],
) -> Results:
    """Measure every contender `repeats` times for `seconds` each, in turns; `say` tells how far it is."""
    ready: list[tuple[Measured, Built]] = []
    failures: dict[str, str] = {}
    for contender in contenders:
        say(f"preparing {contender.name}")
        try:
            ready.append(_prepare(contender, work, micros=micros))
        except (DeviceMemoryError, RuntimeError) as error:
            # One that cannot run here, for want of a compiler or of a kernel, leaves the others their table.
            failures[contender.name] = str(error).strip().partition("\n")[0]
    ceilings = []
    for repeat in range(repeats):
        ceilings.append(_matmul_flops(work, seconds=seconds / 4))
        for measured, built in ready:
            say(f"repeat {repeat + 1} of {repeats}: {measured.contender.name}")
            _set_up(measured.contender, work)
            useful = work.num_sequences * measured.contender.fill(work)
            _make_present(built, work.device)
            measured.sequences_per_s.append(useful / _seconds_each(built.update, work.device, seconds=seconds))
            _make_room(built, work.device)
    for _, built in ready:
        built.close()
    return Results([measured for measured, _ in ready], statistics.median(ceilings), failures)


@dataclass(frozen=True)
class _Tried:
    """A contender with one micro-batch."""

    built: Built
    micro: int
    first_s: float
    each_s: float
    peak_bytes: int | None


def _prepare(contender: Contender, work: Work, *, micros: list[int]) -> tuple[Measured, Built]:
    """Find the fastest micro-batch and warm the contender up with it.

    Raises:
        DeviceMemoryError: not even the first micro-batch fits.
        RuntimeError: it failed for another reason.
    """
    _set_up(contender, work)
    best: _Tried | None = None
    shortage = None
    for micro in micros:
        try:
            tried = _try(contender, work, micro=micro)
        except RuntimeError as error:
            if (shortage := memory_shortage(error)) is None:
                if best is not None:
                    best.built.close()
                raise
            # The frames that failed hold the model.
            traceback.clear_frames(error.__traceback__)
            gc.collect()
            torch.cuda.empty_cache()
            break
        _make_room(tried.built, work.device)
        slower: _Tried | None = tried
        if best is None or tried.each_s < best.each_s:
            best, slower = tried, best
        if slower is not None:
            slower.built.close()
        del tried, slower
        gc.collect()
    if best is None:
        raise DeviceMemoryError(f"not even a micro-batch of {micros[0]} fits: {shortage}")
    measured = Measured(
        contender,
        micro=best.micro,
        first_s=best.first_s,
        compile_s=max(0.0, best.first_s - best.each_s),
        peak_bytes=best.peak_bytes,
        num_parameters=sum(parameter.numel() for parameter in best.built.model.parameters()),
    )
    return measured, best.built


def _try(contender: Contender, work: Work, *, micro: int) -> _Tried:
    torch.manual_seed(0)
    others = _reset_peak(work.device)
    built = build(contender, work, micro=micro)
    try:
        first_s = _timed(built.update, work.device)
        each_s = min(_timed(built.update, work.device) for _ in range(_PROBE_UPDATES))
    except RuntimeError:
        built.close()
        raise
    return _Tried(built, micro, first_s=first_s, each_s=each_s, peak_bytes=_peak(work.device, others=others))


def _set_up(contender: Contender, work: Work) -> None:
    if work.device.type == "cpu":
        keep_freed_pages() if contender.freed_pages == "kept" else return_freed_pages()


def _make_room(built: Built, device: torch.device) -> None:
    """A GPU's memory is for the one that runs: else those that are prepared last would find least of it."""
    if device.type == "cuda":
        built.move(torch.device("cpu"))
        gc.collect()
        torch.cuda.empty_cache()


def _make_present(built: Built, device: torch.device) -> None:
    if device.type == "cuda":
        built.move(device)
        built.update()


def _timed(update: Update, device: torch.device) -> float:
    _synchronise(device)
    began_s = time.perf_counter()
    update()
    _synchronise(device)
    return time.perf_counter() - began_s


def _seconds_each(update: Callable[[], object], device: torch.device, *, seconds: float) -> float:
    """Mean over as many updates as fill the time, with one wait at the end."""
    _synchronise(device)
    began_s, updates = time.perf_counter(), 0
    while updates == 0 or time.perf_counter() - began_s < seconds:
        update()
        updates += 1
    _synchronise(device)
    return (time.perf_counter() - began_s) / updates


def _matmul_flops(work: Work, *, seconds: float) -> float:
    size = _CEILING_SIZE[work.device.type]
    a, b = (torch.randn(size, size, device=work.device, dtype=work.precision.dtype) for _ in range(2))
    torch.mm(a, b)
    return 2 * size**3 / _seconds_each(lambda: torch.mm(a, b), work.device, seconds=seconds)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> int:
    """Begin anew; what other contenders hold meanwhile."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device, *, others: int) -> int | None:
    return torch.cuda.max_memory_allocated(device) - others if device.type == "cuda" else None
