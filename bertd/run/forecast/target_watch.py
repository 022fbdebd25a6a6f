"""Notice when a run's forecast leaves the loss that it should reach. Pure, but for what it remembers."""

from __future__ import annotations

from bertd.records import BudgetUnit, ForecastRecord
from bertd.run.amounts.quantities import format_budget_amount
from bertd.run.forecast.forecast_text import forecast_text


class TargetWatch:
    """Words one alert each time the target goes out of the forecast's band; none while it stays out."""

    def __init__(self) -> None:
        self._is_out = False

    def message(self, forecast: ForecastRecord, unit: BudgetUnit) -> str | None:
        """What to alert of; None if there is nothing new."""
        was_out = self._is_out
        self._is_out = forecast.target_loss is not None and forecast.low > forecast.target_loss
        if not self._is_out or was_out:
            return None
        remedy = (
            "no budget up to a hundred times this one is expected to reach it"
            if forecast.target_amount is None
            else f"about {format_budget_amount(unit, forecast.target_amount)} in all would: give it more with "
            "`bertd budget`"
        )
        return (
            f"expected at the end: {forecast_text(forecast)}, which does not reach validation.target_loss = "
            f"{forecast.target_loss:g}; {remedy}"
        )
