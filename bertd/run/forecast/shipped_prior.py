"""The values that forecasts begin with, from recorded runs; `make bench-forecast` finds them."""

from __future__ import annotations

from bertd.run.forecast.prior import ErrorQuantile, ForecastPrior

ANY_GAIN = {"gain": 0.5, "gain_spread": 0.2}
"""For the fit of a whole curve."""
ERROR_OF_A_PLAN = 0.0484
"""Share of the loss: four of five runs ended nearer to what runs with other budgets let expect."""
ERRORS_AFTER_A_RUN = (
    ErrorQuantile(progress=0.25, error=0.0356),
    ErrorQuantile(progress=0.5, error=0.01),
    ErrorQuantile(progress=0.75, error=0.0111),
)
"""Of the band, once a run of the recipe is over."""
SHIPPED_PRIOR = ForecastPrior(
    memory_steps=200,
    gain=0.45,
    gain_spread=0.06,
    exponent=0.5,
    exponent_spread=0.1,
    noise=0.004,
    errors=(
        ErrorQuantile(progress=0.25, error=0.0463),
        ErrorQuantile(progress=0.5, error=0.0262),
        ErrorQuantile(progress=0.75, error=0.0124),
    ),
    basis="the recorded runs that ship with bertd",
)
