"""An update of a run under the profiler: kernels by family, launches, idle time; and whether the host ever waits."""

from __future__ import annotations

from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bertd.bench.models import BuiltContender, Contender, build_contender
from bertd.bench.workload import plan_workload
from bertd.prove.context import StepContext
from bertd.prove.host_syncs import count_host_syncs
from bertd.prove.kernel_families import KernelRun, idle_share, sum_families
from bertd.prove.sizes import choose_recipe, with_data
from bertd.prove.steps.whole_run import proof_dataset
from bertd.run.amounts.quantities import format_bytes
from bertd.train.backends.synchronize import synchronize

_TRACE = "trace.json.gz"
_WARM_UPS = 2
_NUM_NAMED = 12


def prove(context: StepContext) -> None:
    """Profile a warm update."""
    device = torch.device(context.options.device)
    overrides = with_data(proof_dataset(context))
    recipe = choose_recipe(is_cuda=context.is_cuda, is_tiny=context.is_tiny, overrides=overrides)
    num_sequences, micro = (8, 4) if context.is_tiny else (1024, 512) if context.is_cuda else (32, 16)
    workload = plan_workload(recipe, device=device, num_sequences=num_sequences, is_synthetic=False)
    contender = Contender("a whole run", "run", compiled=context.is_cuda, attention="measured")
    built = build_contender(contender, workload, micro=micro)
    try:
        for _ in range(_WARM_UPS):
            built.update()
        context.attempt("the host never waits", lambda: _check_syncs(context, built, device))
        context.attempt("profile", lambda: _profile(context, built, device))
    finally:
        built.close()


def _check_syncs(context: StepContext, built: BuiltContender, device: torch.device) -> None:
    waits = count_host_syncs(built.update, device)
    how = "by torch's look-out" if context.is_cuda else "by the operations that would wait on a GPU"
    detail = f"{len(waits)} times in an update, {how}{': ' if waits else ''}{', '.join(sorted(set(waits)))}"
    context.check("the host never waits", not waits, detail)


def _profile(context: StepContext, built: BuiltContender, device: torch.device) -> None:
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if context.is_cuda else [])]
    with profile(activities=activities) as profiler:
        built.update()
        synchronize(device)
    trace = context.options.out / _TRACE
    profiler.export_chrome_trace(str(trace))
    context.state("trace", f"{_TRACE}, {format_bytes(trace.stat().st_size)}; open it in https://ui.perfetto.dev")
    if context.is_cuda:
        _report_kernels(context, profiler)
    else:
        _report_operations(context, profiler)


def _report_kernels(context: StepContext, profiler: profile) -> None:
    events: Any = profiler.events()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    runs = [
        KernelRun(event.name, float(event.time_range.start), float(event.time_range.end))
        for event in events or []
        # The names that optimizers and others give to stretches of time span kernels, and are none.
        if str(event.device_type).endswith("CUDA") and not event.is_user_annotation
    ]
    context.check("kernels are seen", bool(runs), f"{len(runs)} runs of kernels")
    context.measure("kernels.launches", "kernels in an update", len(runs), "")
    context.measure(
        "kernels.idle", "time without a kernel", idle_share(runs), "of the update", "profiler's own included"
    )
    durations = [(run.name, run.end_us - run.start_us) for run in runs]
    _report_families(context, durations, what="kernels")


def _report_operations(context: StepContext, profiler: profile) -> None:
    """On a CPU operations stand for kernels; there is no idle time to speak of."""
    averages: Any = profiler.key_averages()
    durations = [
        (each.key, each.self_cpu_time_total / max(each.count, 1)) for each in averages for _ in range(each.count)
    ]
    context.check("operations are seen", bool(durations), f"{len(durations)} operations in an update")
    context.skip("launches and idle time", "of a GPU alone")
    _report_families(context, durations, what="operations")


def _report_families(context: StepContext, durations: list[tuple[str, float]], *, what: str) -> None:
    total_us = sum(duration_us for _, duration_us in durations)
    for each in sum_families(durations):
        detail = f"{each.total_us / total_us:.1%} of the {what}' time, {each.count} of them"
        key = f"kernels.{each.family.replace(' ', '_')}"
        context.measure(key, each.family, each.total_us / 1e3, "ms", detail)
    by_name: dict[str, float] = {}
    for name, duration_us in durations:
        by_name[name] = by_name.get(name, 0.0) + duration_us
    longest = sorted(by_name, key=by_name.__getitem__, reverse=True)[:_NUM_NAMED]
    context.state("longest", "; ".join(f"{name[:80]} {by_name[name] / 1e3:.2f} ms" for name in longest))
