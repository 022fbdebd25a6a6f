"""This model beside stock BertForMaskedLM, on the same tensors in turns, losses compared: bertd.bench and its file."""

from __future__ import annotations

from bertd.bench.models import BASELINES, OURS
from bertd.bench.timing import NO_TIME, Measurement, run_bench
from bertd.prove.context import StepContext
from bertd.prove.step_bench import StepTurnLog, measure_contender, plan_step_workload, prepare_until

_REPEATS = 3


def prove(context: StepContext) -> None:
    """Time each contender; the ratio of the best of each."""
    workload, micros = plan_step_workload(context)
    stock = [each for each in BASELINES if each.model == "bert"]
    # Compiled first: that is the comparison that counts, if time runs out in the middle.
    contenders = sorted([*OURS, *stock], key=lambda each: not each.compiled)
    if context.is_tiny:
        contenders = [each for each in contenders if not each.compiled]
        context.skip("compiled", "--tiny: the compiler is tried by the step before")
    results = run_bench(
        contenders,
        workload,
        micros=micros,
        repeats=_REPEATS,
        seconds=context.turn_s(share=0.33, turns=_REPEATS * len(contenders), most=6.0),
        log_line=lambda line: print(line, flush=True),
        turn_log=StepTurnLog(context, step="comparison"),
        prepare_until_s=prepare_until(context),
    )
    for measured in results.measured:
        measure_contender(context, measured, workload, step="comparison")
    for name, reason in results.failures.items():
        if reason == NO_TIME:
            context.skip(name, reason)
        else:
            context.check(name, False, reason)
    context.measure("comparison.ceiling", "a large product", results.ceiling_flops / 1e12, "TFLOP/s")
    ours, theirs = (_best(results.measured, model=model) for model in ("ours", "bert"))
    if ours is not None and theirs is not None:
        detail = f"{ours.contender.name} at micro-batch {ours.micro}, {theirs.contender.name} at {theirs.micro}"
        context.measure("comparison.ratio", "against BertForMaskedLM", ours.median / theirs.median, "x", detail)


def _best(measured: list[Measurement], *, model: str) -> Measurement | None:
    ours = [each for each in measured if each.contender.model == model]
    return max(ours, key=lambda each: each.median, default=None)
