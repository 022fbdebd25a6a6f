"""A whole run by its runner on shards made on the spot: first step, checkpoint, pause, resume, end, memory returned.

This process imports no torch: what the card has less afterwards is what the run did not return.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from bertd.bench.gpu_state import find_visible_gpu, sample_gpu
from bertd.prove.context import StepContext
from bertd.prove.run_probe import JobProbe, make_run
from bertd.prove.sizes import REAL_VOCABULARY, TINY_VOCABULARY, choose_recipe, with_data
from bertd.prove.synthetic_data import ensure_dataset
from bertd.records import (
    AlertRecord,
    CheckpointRecord,
    CommandKind,
    CommandRecord,
    EndRecord,
    ExportRecord,
    JobState,
    StartRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.amounts.quantities import format_bytes
from bertd.run.machine.nvml import load_nvml
from bertd.run.recipe.schema import Recipe

_STEPS = {"cuda": 24, "cpu": 60}
_TINY_STEPS = 150
"""Of some milliseconds each: enough that the commands meet the run before its end."""
_WARM_STEPS = 2
_MOST_KEPT_BYTES = 64 << 20
"""What the card may hold more after a run than before it: the driver keeps a little."""


def prove(context: StepContext) -> None:
    """Go through the life of a run, then start another with a warm cache."""
    data = proof_dataset(context)
    until_s = time.monotonic() + context.left_s() - 2.0
    before = _used_bytes(context)
    steps = _TINY_STEPS if context.is_tiny else _STEPS[context.options.device]
    recipe = _recipe(context, data, steps=steps)
    probe = make_run(context.work / "run", recipe)
    # A cache of its own, so that this start is a cold one.
    cold = {"TORCHINDUCTOR_CACHE_DIR": str(context.work / "cold-cache"), "BERTD_DATA": str(context.work / "measured")}
    try:
        context.attempt("a whole run", lambda: _live(context, probe, cold, until_s=until_s))
    finally:
        probe.kill()
    _report_speed(context, probe)
    _check_memory(context, before=before)
    warm = make_run(context.work / "warm-run", _recipe(context, data, steps=_WARM_STEPS))
    try:
        context.attempt("a warm start", lambda: _start_warm(context, warm, cold, until_s=until_s))
    finally:
        warm.kill()


def proof_dataset(context: StepContext) -> Path:
    """The data set of all steps that train; made by the first of them."""
    vocab_size = TINY_VOCABULARY if context.is_tiny else REAL_VOCABULARY
    train, validation = (60_000, 8_000) if context.is_tiny else (26_000_000, 400_000)
    if not (context.is_tiny or context.is_cuda):
        train, validation = 2_000_000, 100_000
    folder = context.work / "data"
    return ensure_dataset(folder, vocab_size=vocab_size, train_tokens=train, validation_tokens=validation)


def _recipe(context: StepContext, data: Path, *, steps: int) -> Recipe:
    overrides = [f"budget.steps={steps}", "validation.max_sequences=512", "checkpoint.keep=1", *with_data(data)]
    return choose_recipe(is_cuda=context.is_cuda, is_tiny=context.is_tiny, overrides=overrides)


def _live(context: StepContext, probe: JobProbe, cold: dict[str, str], *, until_s: float) -> None:
    began = probe.start(**cold)
    probe.wait_for(lambda: bool(probe.records(StepRecord)), what="first step", until_s=until_s)
    _report_start(context, probe, began=began, key="cold", name="first step, compiler's cache cold")
    probe.post(CommandKind.CHECKPOINT)
    probe.wait_for(lambda: _saved(probe, "command"), what="checkpoint that was asked for", until_s=until_s)
    (saved,) = [record for record in probe.records(CheckpointRecord) if record.why == "command"][-1:]
    detail = f"step {saved.step}, {format_bytes(saved.size_bytes)}, stood still {saved.stall_s:.2f} s"
    context.check("checkpoint", True, detail)
    probe.post(CommandKind.PAUSE)
    outcome = probe.wait(until_s=until_s)
    context.check("pause", outcome.state is JobState.PAUSED, f"{outcome.state}: {outcome.reason}")
    last = max(record.step for record in probe.records(CheckpointRecord))
    began = probe.start(**cold)
    num_steps = len(probe.records(StepRecord))
    probe.wait_for(lambda: len(probe.records(StepRecord)) > num_steps, what="step after the pause", until_s=until_s)
    start = probe.records(StartRecord)[-1]
    context.check("resume", start.step == last, f"paused at step {last}, resumed at step {start.step}")
    detail = "the second attempt: nothing is measured again"
    context.measure("whole_run.resume_s", "first step after a pause", _first_step_s(probe, began), "s", detail)
    outcome = probe.wait(until_s=until_s)
    context.check("end", outcome.state is JobState.DONE, f"{outcome.state}: {outcome.reason}")
    _check_end(context, probe)


def _saved(probe: JobProbe, why: str) -> bool:
    return any(record.why == why for record in probe.records(CheckpointRecord))


def _check_end(context: StepContext, probe: JobProbe) -> None:
    end, exports = probe.records(EndRecord)[-1], probe.records(ExportRecord)
    context.check("budget", end.reason == "budget" and end.lr == 0.0, f"{end.reason} at step {end.step}, rate {end.lr}")
    context.check("export", bool(exports), ", ".join(record.architecture for record in exports) or "none")
    commands = probe.records(CommandRecord)
    are_done = len(commands) == 2 and all(record.outcome == "done" for record in commands)
    context.check("commands", are_done, ", ".join(f"{record.verb}: {record.outcome}" for record in commands) or "none")
    losses = [record.loss for record in probe.records(ValidationRecord)]
    detail = f"validation from {losses[0]:.3f} to {losses[-1]:.3f} nats" if losses else "not validated"
    context.check("loss", bool(losses) and all(loss == loss for loss in losses), detail)
    alerts = probe.records(AlertRecord)
    context.state("alerts of the run", "; ".join(f"{alert.code}: {alert.message}" for alert in alerts) or "none")
    start = probe.records(StartRecord)[0]
    context.state("precision", start.precision)
    context.state("kernels", f"{start.kernels}: {start.kernels_reason}")
    context.state("attention", f"{start.attention or 'PyTorch decides'}: {start.attention_reason}")
    context.state("micro-batch", f"{start.micro_batch}: {start.micro_batch_reason}")


def _report_start(context: StepContext, probe: JobProbe, *, began: float, key: str, name: str) -> None:
    start = probe.records(StartRecord)[-1]
    up_s = start.t - began
    detail = f"from the runner's start, {start.kernels}; of it {up_s:.1f} s until the ranks were up and all was chosen"
    context.measure(f"whole_run.{key}_start_s", name, _first_step_s(probe, began), "s", detail)


def _first_step_s(probe: JobProbe, began: float) -> float:
    """From the start of the newest attempt to its first step that was reported, the first of all or of its second."""
    return min(record.t for record in probe.records(StepRecord) if record.t > began) - began


def _start_warm(context: StepContext, probe: JobProbe, cold: dict[str, str], *, until_s: float) -> None:
    began = probe.start(**cold)
    probe.wait_for(lambda: bool(probe.records(StepRecord)), what="first step", until_s=until_s)
    _report_start(context, probe, began=began, key="warm", name="first step, compiler's cache warm")
    outcome = probe.wait(until_s=until_s)
    context.check("a warm start", outcome.state is JobState.DONE, f"{outcome.state}: {outcome.reason}")


def _report_speed(context: StepContext, probe: JobProbe) -> None:
    later, is_first = list[StepRecord](), True
    for record in probe.journal:
        if isinstance(record, StartRecord):
            is_first = True
        elif isinstance(record, StepRecord):
            # The first report of an attempt counts what is done once.
            if not is_first:
                later.append(record)
            is_first = False
    if not later:
        return
    speeds = [record.sequences_per_s for record in later]
    detail = f"median of {len(speeds)} reports, {min(speeds):.1f} to {max(speeds):.1f}; data and optimizer included"
    context.measure("whole_run.sequences_per_s", "a whole run", statistics.median(speeds), "sequences/s", detail)
    waits = [record.data_wait for record in later]
    context.measure("whole_run.data_wait", "waiting for data", statistics.mean(waits), "of the time")
    if saves := probe.records(CheckpointRecord):
        detail = f"{len(saves)} checkpoints in a run of {saves[-1].charged_s:.0f} s"
        context.measure(
            "whole_run.stall_share", "standing still for checkpoints", saves[-1].stall_share, "of the time", detail
        )
    if (mfu := later[-1].mfu) is not None:
        context.measure("whole_run.mfu", "share of the data sheet's peak", mfu, "of the peak")


def _used_bytes(context: StepContext) -> int | None:
    if not context.is_cuda:
        return None
    nvml, _ = load_nvml()
    handle = None if nvml is None else find_visible_gpu(nvml)
    return None if nvml is None or handle is None else sample_gpu(nvml, handle).memory_used_bytes


def _check_memory(context: StepContext, *, before: int | None) -> None:
    if not context.is_cuda:
        context.skip("the card's memory is returned", "the run was on the CPU")
        return
    after = _used_bytes(context)
    if before is None or after is None:
        context.skip("the card's memory is returned", "NVML does not say what is used")
        return
    detail = f"{before / 2**20:,.0f} MiB used before, {after / 2**20:,.0f} after the processes ended"
    context.check("the card's memory is returned", after - before <= _MOST_KEPT_BYTES, detail)
