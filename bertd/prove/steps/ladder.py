"""One saving after the other, each with what it adds to the one above it; then 8-bit products, where there are any."""

from __future__ import annotations

from bertd.bench.models import LADDER, OURS, select_contenders
from bertd.bench.timing import Measurement, run_bench
from bertd.errors import DeviceError
from bertd.prove.context import StepContext
from bertd.prove.results import StepFindings, read_findings
from bertd.prove.run_step import findings_path
from bertd.prove.step_bench import StepTurnLog, measure_contender, plan_step_workload, prepare_until

_REPEATS = 2


def prove(context: StepContext) -> None:
    """Time each rung."""
    workload, micros = plan_step_workload(context)
    rungs = select_contenders(workload, is_ladder=True)
    if context.is_tiny:
        rungs = [rung for rung in LADDER if not rung.compiled][:3]
    results = run_bench(
        rungs,
        workload,
        micros=micros,
        repeats=_REPEATS,
        seconds=context.turn_s(share=0.25, turns=_REPEATS * len(rungs), most=3.0),
        log_line=lambda line: print(line, flush=True),
        turn_log=StepTurnLog(context, step="ladder"),
        prepare_until_s=prepare_until(context),
    )
    before: Measurement | None = None
    for measured in results.measured:
        measure_contender(context, measured, workload, step="ladder")
        if before is not None and measured.contender.name.startswith("+"):
            gain = measured.median / before.median - 1
            key = f"ladder.gain.{measured.contender.name.removeprefix('+ ').replace(' ', '_')}"
            context.measure(key, f"gain of {measured.contender.name}", 100 * gain, "%", f"over {before.contender.name}")
        before = measured
    for name, reason in results.failures.items():
        context.skip(name, f"cannot run here: {reason}")
    context.attempt("8-bit products", lambda: _measure_float8(context))


def _measure_float8(context: StepContext) -> None:
    try:
        workload, micros = plan_step_workload(context, "precision.mode=fp8")
    except DeviceError as error:
        context.skip("8-bit products", str(error))
        return
    compiled = [each for each in OURS if each.compiled]
    results = run_bench(
        compiled,
        workload,
        micros=micros,
        repeats=_REPEATS,
        seconds=context.turn_s(share=0.25, turns=_REPEATS, most=3.0),
        log_line=lambda line: print(line, flush=True),
    )
    for name, reason in results.failures.items():
        context.skip(f"8-bit products: {name}", f"cannot run here: {reason}")
    for measured in results.measured:
        measure_contender(context, measured, workload, step="ladder.fp8")
        detail = "of the largest layers alone (bertd/train/backends/float8.py)"
        context.measure("ladder.fp8_sequences_per_s", "8-bit products", measured.median, "sequences/s", detail)
        stock = _stock_speed(read_findings(findings_path(context.options.out, "comparison")))
        if stock is not None:
            detail = "the stock model's speed is that of the step before"
            context.measure("ladder.fp8_ratio", "8-bit against BertForMaskedLM", measured.median / stock, "x", detail)


def _stock_speed(findings: StepFindings) -> float | None:
    """Of the best BertForMaskedLM in the comparison, if that was measured."""
    stock = [each.value for each in findings.figures if each.key.startswith("comparison.BertForMaskedLM")]
    return max(stock, default=None)
