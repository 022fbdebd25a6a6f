"""One measured figure beside its limit, and the table of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bertd.cli.output.tables import OutputStyle, Row, format_table


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    value: float
    unit: str
    limit: float | None
    """The value may be at most this; None for a figure that only explains another."""
    source: str
    """Who set the limit, or what the figure is."""

    @property
    def is_missed(self) -> bool:
        """Whether there is a limit and the value is above it, or is not a number."""
        return self.limit is not None and not self.value <= self.limit


def figures_table(figures: Sequence[Figure], *, style: OutputStyle) -> str:
    """The figures as text; a missed limit is marked."""
    rows: list[Row] = [
        [
            each.name,
            f"{format_value(each.value)} {each.unit}".strip(),
            style.dash if each.limit is None else f"{format_value(each.limit)} {each.unit}".strip(),
            "" if each.limit is None else ("MISSED" if each.is_missed else "met"),
            each.source,
        ]
        for each in figures
    ]
    return format_table(["FIGURE", "MEASURED", "AT MOST", "", "SOURCE"], rows, right={1, 2}, style=style)


def format_value(value: float) -> str:
    """Three digits that count, with thousands separated."""
    if not math.isfinite(value):
        return str(value)
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; NaN of none."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else math.nan
