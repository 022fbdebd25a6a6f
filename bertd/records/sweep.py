"""A sweep: pretrainings of one recipe with different settings, of which the worse ones end early."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue

from bertd.records.record import Record


class SweepState(StrEnum):
    """The state of a sweep; only a running one submits, resumes or ends anything."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SettingState(StrEnum):
    """How far one setting of a sweep is."""

    WAITING = "waiting"
    """Not submitted yet."""
    TRAINING = "training"
    """Its job is in the queue or has devices, until the next rung."""
    AT_RUNG = "at rung"
    """Its loss is measured; it is paused until the others have theirs."""
    PASSED = "passed"
    """It may continue to the next rung as soon as there are devices."""
    DROPPED = "dropped"
    ENDED_EARLY = "ended early"
    """Its run failed, or a person or a rule of its recipe ended it: it loses."""
    FINISHED = "finished"


class SweepRung(Record):
    """A charged time at which settings are compared."""

    at_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Charged seconds of each run."""
    keep: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the settings that continue, rounded up; the ones with the lowest validation loss."""
    max_loss: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Validation loss in nats above which a setting is dropped at once."""


class SweepSpec(Record):
    """What a sweep file says, with every path absolute."""

    model_config = ConfigDict(defer_build=False)  # as BudgetRequest

    name: str
    end_s: float | None
    """Charged seconds after which the settings are ranked; None for a budget of steps or sequences, at its end."""
    rungs: list[SweepRung] = []
    """In rising order, before the end."""
    fixed: dict[str, JsonValue] = {}
    """section.key to value, for all settings."""
    grid: dict[str, list[JsonValue]]
    """section.key to its values."""
