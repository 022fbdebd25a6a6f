"""One saving after the other, each with what it adds to the one above it.

Then 8-bit products, where there are any, and kernels searched for each product, if there is time.
"""

from __future__ import annotations

from functools import partial

from bertd.bench.models import FLOAT8_ROWS, LADDER, OURS, PRODUCT_SEARCH_ROW, select_contenders
from bertd.bench.timing import Measurement, run_bench
from bertd.errors import DeviceError
from bertd.prove.context import StepContext
from bertd.prove.results import StepFindings, read_findings
from bertd.prove.run_step import findings_path
from bertd.prove.step_bench import StepTurnLog, measure_contender, plan_step_workload, prepare_until

_REPEATS = 2
_SEARCH_S = 300.0
"""Time for the compiler to search kernels for all products of a graph; an estimate, not measured."""
_FP8_KEY = "ladder.fp8_sequences_per_s"


def prove(context: StepContext) -> None:
    """Time each rung."""
    workload, micros = plan_step_workload(context)
    measured_below = (*FLOAT8_ROWS, PRODUCT_SEARCH_ROW)
    rungs = [rung for rung in select_contenders(workload, is_ladder=True) if rung not in measured_below]
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
    for products in ("large", "all"):
        context.attempt(f"8-bit products, {products}", partial(_measure_float8, context, products))
    context.attempt("products searched", lambda: _measure_product_search(context))


def _measure_float8(context: StepContext, products: str) -> None:
    name = f"8-bit products, {products}"
    try:
        workload, micros = plan_step_workload(context, "precision.mode=fp8", f"precision.fp8_products={products}")
    except DeviceError as error:
        context.skip(name, str(error))
        return
    results = run_bench(
        [each for each in OURS if each.compiled],
        workload,
        micros=micros,
        repeats=_REPEATS,
        seconds=context.turn_s(share=0.15, turns=_REPEATS, most=3.0),
        log_line=lambda line: print(line, flush=True),
    )
    for contender, reason in results.failures.items():
        context.skip(f"{name}: {contender}", f"cannot run here: {reason}")
    for measured in results.measured:
        measure_contender(context, measured, workload, step=f"ladder.fp8_{products}")
        best = max((figure.value for figure in context.findings.figures if figure.key == _FP8_KEY), default=0.0)
        if measured.median <= best:
            continue
        detail = f"the better of large and all: {products}"
        context.measure(_FP8_KEY, "8-bit products", measured.median, "sequences/s", detail)
        stock = _stock_speed(read_findings(findings_path(context.options.out, "comparison")))
        if stock is not None:
            detail = "the stock model's speed is that of the step before"
            context.measure("ladder.fp8_ratio", "8-bit against BertForMaskedLM", measured.median / stock, "x", detail)


def _measure_product_search(context: StepContext) -> None:
    if not context.is_cuda:
        context.skip("products searched", "a choice among a GPU's kernels")
        return
    if context.left_s() < _SEARCH_S:
        reason = f"the search may take {_SEARCH_S:.0f} s, and {max(0.0, context.left_s()):.0f} s are left"
        context.skip("products searched", f"{reason}; give more --minutes")
        return
    workload, micros = plan_step_workload(context)
    results = run_bench(
        [PRODUCT_SEARCH_ROW],
        workload,
        micros=micros,
        repeats=_REPEATS,
        seconds=3.0,
        log_line=lambda line: print(line, flush=True),
    )
    for contender, reason in results.failures.items():
        context.skip(contender, f"cannot run here: {reason}")
    for measured in results.measured:
        measure_contender(context, measured, workload, step="ladder")


def _stock_speed(findings: StepFindings) -> float | None:
    """Of the best BertForMaskedLM in the comparison, if that was measured."""
    stock = [each.value for each in findings.figures if each.key.startswith("comparison.BertForMaskedLM")]
    return max(stock, default=None)
