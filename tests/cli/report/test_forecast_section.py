"""The forecasts of a run in its report, against what came."""

from __future__ import annotations

from bertd.cli.report.document import Chart, Table
from bertd.cli.report.forecast_section import forecast_blocks
from bertd.records import EndRecord, ForecastRecord


def forecast(progress: float, loss: float) -> ForecastRecord:
    return ForecastRecord(
        t=0,
        step=round(1000 * progress),
        charged_s=100 * progress,
        progress=progress,
        loss=loss,
        low=loss - 0.02,
        high=loss + 0.02,
        end_step=1000,
        curve=[(progress, loss + 1), (1.0, loss)],
        basis="a test",
    )


def end(reason: str) -> EndRecord:
    return EndRecord.model_validate(
        {
            "t": 0,
            "step": 1000,
            "sequences": 0,
            "charged_s": 100,
            "reason": reason,
            "detail": "",
            "validation_loss": 2.0,
        }
    )


FORECASTS = [forecast(0.12, 2.10), forecast(0.3, 2.01), forecast(0.55, 1.99)]


def table_of(forecasts: list[ForecastRecord], record: EndRecord | None) -> Table:
    (table,) = [block for block in forecast_blocks(forecasts, record) if isinstance(block, Table)]
    return table


def test_each_forecast_stands_beside_what_came() -> None:
    rows = table_of(FORECASTS, end("budget")).rows
    assert [row[0] for row in rows] == ["12.0%", "30.0%", "55.0%"]
    assert [row[3] for row in rows] == ["+5.00 %", "+0.50 %", "-0.50 %"]
    assert [row[4] for row in rows] == ["no", "yes", "yes"]


def test_a_run_that_was_stopped_or_is_not_over_shows_no_error() -> None:
    for record in (end("stopped"), None):
        assert {row[3] for row in table_of(FORECASTS, record).rows} == {"–"}


def test_the_chart_shows_the_band_and_the_truth() -> None:
    (chart,) = [block for block in forecast_blocks(FORECASTS, end("budget")) if isinstance(block, Chart)]
    assert [series.points[-1] for series in chart.series] == [(0.55, 1.99), (0.55, 1.97), (0.55, 2.01), (1.0, 2.0)]


def test_a_run_without_forecasts_has_no_such_section() -> None:
    assert list(forecast_blocks([], end("budget"))) == []
