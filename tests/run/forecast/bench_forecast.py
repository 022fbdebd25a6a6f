"""`python -m tests.run.forecast.bench_forecast`: compare ways to forecast on the recorded runs, and print what ships.

Each run is forecast with what all the others say. Prints the error of the final validation loss by method, in percent,
at shares of the schedule; how often the 80 % band held; and the values of bertd/run/forecast/shipped_prior.py.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from bertd.run.forecast.expect_loss import expect_loss
from bertd.run.forecast.prior import ErrorQuantile
from tests.run.forecast.methods import METHODS, Method, after_a_run, prior_from, shipped
from tests.run.forecast.recorded_runs import RecordedRun, recorded_runs

SHARES = (0.1, 0.25, 0.5, 0.75)
BAND = 0.8


def errors(method: Method, runs: Sequence[RecordedRun], *, share: float) -> dict[str, float]:
    """Error of the final loss by run, as a share of it with its sign; runs of which nothing is said are left out."""
    found: dict[str, float] = {}
    for run in runs:
        moment = run.moment(share)
        if moment is None:
            continue
        loss = method(run, moment, [other for other in runs if other is not run])
        if loss is not None:
            found[run.name] = loss / run.final_loss - 1.0
    return found


def conformal_quantile(sizes: Sequence[float]) -> float:
    """The error that the next forecast stays below in 80 of 100 cases, if it is like these: the split-conformal
    quantile, the greatest of all if there are too few."""
    ordered = sorted(sizes)
    return ordered[min(len(ordered), math.ceil(BAND * (len(ordered) + 1))) - 1]


def coverage(method: Method, runs: Sequence[RecordedRun], *, share: float) -> tuple[int, int, float]:
    """How many of how many bands held, each as wide as the errors of the other runs say; and the mean half width."""
    found = errors(method, runs, share=share)
    held, widths = 0, []
    for name, error in found.items():
        others = [abs(value) for other, value in found.items() if other != name]
        if others:
            widths.append(conformal_quantile(others))
            held += abs(error) <= widths[-1]
    return held, len(widths), statistics.fmean(widths) if widths else 0.0


def error_quantiles(method: Method, runs: Sequence[RecordedRun]) -> tuple[ErrorQuantile, ...]:
    """What ships as the width of the band."""
    return tuple(
        ErrorQuantile(progress=share, error=round(conformal_quantile([*map(abs, found.values())]), 4))
        for share in SHARES
        if len(found := errors(method, runs, share=share)) >= 3
    )


def plan_errors(runs: Sequence[RecordedRun]) -> dict[str, float]:
    """Error of what other runs of a recipe let expect of one before it begins, by run."""
    found: dict[str, float] = {}
    for run in runs:
        others = [other.as_earlier(run.recipe) for other in runs if other is not run and other.law == run.law]
        steps = run.moments[-1].curve.points[-1].step
        expected = expect_loss(others, run.recipe.schedule, steps=steps)
        if expected is not None:
            found[run.name] = expected.loss / run.final_loss - 1.0
    return found


def main() -> None:
    """Print all tables as Markdown."""
    runs = recorded_runs()
    print(f"{len(runs)} recorded runs of {len({run.key for run in runs})} recipes\n")
    print("| method | " + " | ".join(f"at {share:.0%}" for share in SHARES) + " |")
    print("|---|" + "---|" * len(SHARES))
    for name, method in METHODS.items():
        cells = []
        for share in SHARES:
            sizes = [100 * abs(error) for error in errors(method, runs, share=share).values()]
            cells.append(f"{statistics.fmean(sizes):.2f} / {max(sizes):.2f} ({len(sizes)})" if sizes else "-")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nBands of 80 %: held, of, mean half width in %\n")
    for name, method in (("values from other recipes", shipped), ("after a run of the same recipe", after_a_run)):
        cells = []
        for share in SHARES:
            held, total, width = coverage(method, runs, share=share)
            cells.append(f"{held} of {total}, {100 * width:.2f}" if total else "-")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nshipped:", prior_from(runs).model_copy(update={"errors": error_quantiles(shipped, runs)}))
    print("after a run:", error_quantiles(after_a_run, runs))
    plans = plan_errors(runs)
    sizes = [abs(error) for error in plans.values()]
    print("of a plan:", round(conformal_quantile(sizes), 4))
    print(f"a plan's error in %: mean {100 * statistics.fmean(sizes):.2f}, worst {100 * max(sizes):.2f} ({len(sizes)})")
    print("\n| run | " + " | ".join(f"at {share:.0%}" for share in SHARES) + " |")
    tables = [errors(shipped, runs, share=share) for share in SHARES]
    for run in runs:
        cells = [f"{100 * table[run.name]:+.2f}" if run.name in table else "-" for table in tables]
        print(f"| {run.name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
