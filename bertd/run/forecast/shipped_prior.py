"""The values that forecasts begin with, from recorded runs; tests/run/forecast/bench_forecast.py finds them."""

from __future__ import annotations

from bertd.run.forecast.prior import ErrorQuantile, ForecastPrior

ERROR_OF_A_PLAN = 0.02
"""Share of the loss: four of five runs ended nearer to what runs with other budgets or schedules let expect."""
ERRORS_AFTER_A_RUN = (ErrorQuantile(progress=0.25, error=0.01),)
SHIPPED_PRIOR = ForecastPrior(
    memory_steps=200,
    gain=0.42,
    gain_spread=0.06,
    exponent=0.5,
    exponent_spread=0.1,
    noise=0.004,
    errors=(ErrorQuantile(progress=0.25, error=0.01),),
    basis="the recorded runs that ship with bertd",
)
