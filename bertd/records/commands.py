"""The commands of a job's mailbox: what a person asks of a running job."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from bertd.records.record import Record
from bertd.records.states import BudgetUnit


class CommandKind(StrEnum):
    """What a mailbox command asks of a running job."""

    PAUSE = "pause"
    CHECKPOINT = "checkpoint"
    STOP = "stop"
    BUDGET = "budget"
    SUSPEND = "hold"
    """Pause hot: stand still between two steps, memory kept."""
    RESUME = "resume"
    """Train on after a hold."""


class BudgetRequest(Record):
    """What a run's budget shall be: body of POST /v1/runs/{id}/budget, and of the command that it becomes."""

    # FastAPI silences pydantic while it reads its routes, not at the first request, when a deferred body is built.
    model_config = ConfigDict(defer_build=False)

    unit: BudgetUnit
    """The recipe's; a budget keeps its unit."""
    amount: Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
    """All of it, what is spent included."""


class Command(Record):
    """One entry of a job's mailbox."""

    number: int
    """From 1, without gaps."""
    t: float
    verb: CommandKind
    asked_by: str
    """Who asked: uid and name, or the daemon."""
    budget: BudgetRequest | None = None
    """With the verb budget."""
