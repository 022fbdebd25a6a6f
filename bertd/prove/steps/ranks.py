"""Several GPUs: as right as one and how much faster, the bus, and what happens when a rank is killed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import psutil

from bertd.prove.context import StepContext
from bertd.prove.run_probe import JobProbe, ProbeFailedError, make_run
from bertd.prove.sizes import choose_recipe, with_data
from bertd.prove.steps.whole_run import proof_dataset
from bertd.records import JobState, RestartRecord, StartRecord, StepRecord, ValidationRecord
from bertd.train.distributed.local_rendezvous import rank_store_in_memory

_STEPS = 12
_LOSS_TOLERANCE = 1e-2
"""Of the last validation as a share: sums in another order, in bf16."""
_SIZES_MIB = {"cuda": (25, 200, 1340), "cpu": (1, 4)}
_MANY_STEPS = 100_000
_DEATH_TIMEOUT_S = 20.0


def prove(context: StepContext) -> None:
    """Where there is more than one GPU."""
    if not context.is_cuda:
        context.skip_all("NCCL needs more than one GPU, and this proof is of the CPU")
        return
    import torch

    count = torch.cuda.device_count()
    if count < 2:
        context.skip_all(f"NCCL needs more than one GPU, and {count} is visible")
        return
    prove_ranks(context, count=count)


def prove_ranks(context: StepContext, *, count: int) -> None:
    """The same on any devices: `count` ranks against one."""
    context.measure("ranks.count", "ranks", count, "")
    context.attempt("bandwidth of the bus", lambda: _measure_bus(context, count=count))
    context.attempt("losses of several ranks", lambda: _compare_losses(context, count=count))
    context.attempt("a killed rank", lambda: _kill_rank(context, count=count))


def _measure_bus(context: StepContext, *, count: int) -> None:
    kind = context.options.device
    sizes = list(map(str, _SIZES_MIB[kind]))
    with rank_store_in_memory() as store:
        command = [sys.executable, "-m", "bertd.prove.all_reduce", store]
        ranks = [
            subprocess.Popen([*command, str(rank), str(count), kind, *sizes], stdout=subprocess.PIPE, text=True)
            for rank in range(count)
        ]
        try:
            output, _ = ranks[0].communicate(timeout=max(1.0, context.left_s() / 3))
            statuses = [rank.wait(10) for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
    if any(statuses):
        raise ProbeFailedError(f"the ranks ended with {statuses}")
    for size, speed in json.loads(output).items():
        context.measure(f"ranks.bus.{size}", f"bus, {size} MiB", speed, "GB/s", f"all-reduce over {count} ranks")


def _run_to_end(context: StepContext, *, count: int) -> JobProbe:
    overrides = [
        f"budget.steps={_STEPS}",
        f"devices.count={count}",
        "validation.max_sequences=64",
        *with_data(proof_dataset(context)),
    ]
    recipe = choose_recipe(is_cuda=context.is_cuda, is_tiny=context.is_tiny, overrides=overrides)
    probe = make_run(context.work / f"ranks-{count}", recipe)
    try:
        probe.start()
        outcome = probe.wait(until_s=time.monotonic() + context.left_s() - 2.0)
    finally:
        probe.kill()
    context.check(f"a run on {count}", outcome.state is JobState.DONE, f"{outcome.state}: {outcome.reason}")
    return probe


def _compare_losses(context: StepContext, *, count: int) -> None:
    several, one = _run_to_end(context, count=count), _run_to_end(context, count=1)
    losses = [probe.records(ValidationRecord)[-1].loss for probe in (several, one)]
    difference = abs(losses[0] - losses[1]) / losses[1]
    detail = f"{losses[0]:.5f} and {losses[1]:.5f} nats after {_STEPS} steps"
    context.check(f"losses of {count} ranks are one rank's", difference <= _LOSS_TOLERANCE, detail)
    speeds = [_speed(probe) for probe in (several, one)]
    if all(speeds):
        detail = f"{speeds[0]:.1f} sequences/s on {count}, {speeds[1]:.1f} on one"
        context.measure("ranks.scaling", f"{count} against one", speeds[0] / speeds[1], "x", detail)


def _speed(probe: JobProbe) -> float:
    later = [record.sequences_per_s for record in probe.records(StepRecord)][1:]
    return statistics.median(later) if later else 0.0


def _kill_rank(context: StepContext, *, count: int) -> None:
    overrides = [f"budget.steps={_MANY_STEPS}", f"devices.count={count}", *with_data(proof_dataset(context))]
    recipe = choose_recipe(is_cuda=context.is_cuda, is_tiny=context.is_tiny, overrides=overrides)
    probe = make_run(context.work / "ranks-killed", recipe)
    until_s = time.monotonic() + context.left_s() - 2.0
    try:
        probe.start()
        probe.wait_for(lambda: bool(probe.records(StepRecord)), what="first step", until_s=until_s)
        first = probe.ranks()
        context.check("ranks are there", len(first) == count, f"{len(first)} processes")
        killed_s = time.monotonic()
        first[-1].kill()
        probe.wait_for(lambda: bool(probe.records(RestartRecord)), what="restart", until_s=until_s)
        restart = probe.records(RestartRecord)[-1]
        detail = f"{time.monotonic() - killed_s:.1f} s after kill -9: {restart.cause}"
        context.check("a killed rank restarts the run", True, detail)
        _, left = psutil.wait_procs(first, timeout=_DEATH_TIMEOUT_S)
        context.check("no rank of before is left", not left, f"{len(left)} of {count}")
        probe.wait_for(lambda: len(probe.records(StartRecord)) > 1, what="second attempt", until_s=until_s)
        context.check("the second attempt trains", True, f"from step {probe.records(StartRecord)[-1].step}")
    finally:
        probe.kill()
