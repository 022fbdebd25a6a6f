"""The report of several runs side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bertd.cli.report.build_report import account_parts, result_rows
from bertd.cli.report.document import Block, Chart, Report, Section, Series, Table
from bertd.cli.report.recipe_differences import flatten_recipe
from bertd.cli.report.run_facts import RunFacts
from bertd.run.amounts.quantities import format_share

_POINTS = 400


def compare_runs(runs: Sequence[RunFacts]) -> Report:
    """One report of at least two runs."""
    return Report(
        title=" / ".join(run.name for run in runs),
        subtitle=f"{len(runs)} runs compared",
        sections=(
            Section("Result", [_results(runs)]),
            Section("Loss", [*_charts(runs)]),
            Section("Recipes", [*_recipes(runs)]),
            Section("Where the time went", [_times(runs)]),
        ),
    )


def _results(runs: Sequence[RunFacts]) -> Table:
    columns = [dict(result_rows(run)) for run in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [(name, *(column.get(name, "–") for column in columns)) for name in names]
    return Table("The runs in figures", ["figure", *(run.name for run in runs)], rows)


def _charts(runs: Sequence[RunFacts]) -> Iterable[Block]:
    axes = [("progress", "share of the budget"), ("charged_s", "charged seconds"), ("step", "step")]
    for axis, label in axes:
        series = [
            Series(run.name, run.curves.read(columns=["validation"], axis=axis, points=_POINTS)["validation"])  # type: ignore[arg-type]  # an axis
            for run in runs
        ]
        if any(each.points for each in series):
            yield Chart(f"Validation loss by {label}", label, "nats", series, is_x_share=axis == "progress")


def _recipes(runs: Sequence[RunFacts]) -> Iterable[Block]:
    flat = [flatten_recipe(run.recipe) for run in runs]
    keys = [key for key in dict.fromkeys(key for each in flat for key in each) if key != "run.name"]
    rows = [(key, *(each.get(key, "–") for each in flat)) for key in keys if len({each.get(key) for each in flat}) > 1]
    if rows:
        yield Table("What differs", ["key", *(run.name for run in runs)], rows)


def _times(runs: Sequence[RunFacts]) -> Table:
    parts = [account_parts(run.account) for run in runs]
    rows = [
        (
            parts[0][place][0],
            *(
                f"{part[place][1]:,.1f}s  {format_share(part[place][1] / max(run.account.wall_s, 1e-9))}"
                for part, run in zip(parts, runs, strict=True)
            ),
        )
        for place in range(len(parts[0]))
    ]
    return Table(
        "Every second, booked once", ["part", *(run.name for run in runs)], rows, frozenset(range(1, len(runs) + 1))
    )
