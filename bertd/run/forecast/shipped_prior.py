"""The values that forecasts begin with, from recorded runs; tests/run/forecast/bench_forecast.py finds them."""

from __future__ import annotations

from bertd.run.forecast.prior import ErrorQuantile, ForecastPrior

ERRORS_AFTER_A_RUN = (ErrorQuantile(progress=0.25, error=0.01),)
SHIPPED_PRIOR = ForecastPrior(
    memory_steps=300,
    gain=0.4,
    gain_spread=0.15,
    exponent=0.6,
    exponent_spread=0.2,
    noise=0.002,
    errors=(ErrorQuantile(progress=0.25, error=0.01),),
    basis="the recorded runs that ship with bertd",
)
