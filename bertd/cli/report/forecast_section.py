"""What the run was expected to end with, against what it ended with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bertd.cli.report.document import Block, Chart, Paragraph, Series, Table
from bertd.records import EndRecord, ForecastRecord
from bertd.run.amounts.quantities import format_share
from bertd.run.forecast.forecast_text import typical_text

_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
_POINTS = 200


def forecast_blocks(forecasts: Sequence[ForecastRecord], end: EndRecord | None) -> Iterable[Block]:
    """A chart and a table of the forecasts; nothing for a run without one."""
    if not forecasts:
        return
    truth = _truth(end)
    newest = forecasts[-1]
    text = f"The law of the loss: docs/forecast.md. Carried over from {newest.basis}."
    typical = typical_text(newest)
    yield Paragraph(f"{text} At the newest forecast: {typical}." if typical else text)
    if len(forecasts) > 1:
        shown = forecasts[:: 1 + len(forecasts) // _POINTS]
        curves = [
            Series("forecast of the last validation", [(each.progress, each.loss) for each in shown]),
            Series("80 % band, low", [(each.progress, each.low) for each in shown]),
            Series("80 % band, high", [(each.progress, each.high) for each in shown]),
        ]
        if truth is not None:
            curves.append(Series("the last validation", [(0.0, truth), (1.0, truth)]))
        yield Chart("Forecast of the final loss", "share of the budget", "nats", curves, is_x_share=True)
    yield Table(
        "Forecasts and what came",
        ["share of the budget", "forecast", "80 % band", "off by", "in the band"],
        [_row(each, truth) for each in _chosen(forecasts)],
        frozenset({0, 1, 2, 3}),
    )


def _truth(end: EndRecord | None) -> float | None:
    """The loss that was forecast: that of a run that was not stopped before its budget was spent."""
    return end.validation_loss if end is not None and end.reason == "budget" else None


def _chosen(forecasts: Sequence[ForecastRecord]) -> list[ForecastRecord]:
    """The first forecast from each share on, and the newest."""
    firsts = [next((each for each in forecasts if each.progress >= share), forecasts[-1]) for share in _SHARES]
    return list({each.step: each for each in [*firsts, forecasts[-1]]}.values())


def _row(record: ForecastRecord, truth: float | None) -> list[str]:
    off = "–" if truth is None else f"{100 * (record.loss / truth - 1):+.2f} %"
    held = "–" if truth is None else "yes" if record.low <= truth <= record.high else "no"
    return [
        format_share(record.progress),
        f"{record.loss:.4f}",
        f"{record.low:.4f} to {record.high:.4f}",
        off,
        held,
    ]
