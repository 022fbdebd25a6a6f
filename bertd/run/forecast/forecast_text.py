"""Word a forecast for people. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertd.records import ForecastRecord


def forecast_text(record: ForecastRecord) -> str:
    """`1.930 nats, 80 % band 1.900 to 1.965`."""
    return f"{record.loss:.3f} nats, 80 % band {record.low:.3f} to {record.high:.3f}"


def typical_text(record: ForecastRecord) -> str | None:
    """How the run stands against earlier ones of its recipe; None if there is none."""
    typical = record.typical
    if typical is None:
        return None
    if typical.spread is None:
        return f"at this share the earlier run of this recipe was at {typical.loss:.3f} nats"
    what = f"at this share {typical.num_runs} earlier runs of this recipe were at"
    return f"{what} {typical.loss:.3f} +- {typical.spread:.3f} nats"
