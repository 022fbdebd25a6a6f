"""The commands in a job's mailbox: what a person or the daemon requests of a running job."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from bertd.records.record import Record
from bertd.records.states import BudgetUnit


class CommandKind(StrEnum):
    """The action that a mailbox command requests."""

    PAUSE = "pause"
    CHECKPOINT = "checkpoint"
    STOP = "stop"
    BUDGET = "budget"
    SUSPEND = "hold"
    """Pause hot: suspend the ranks between two steps and keep their memory."""
    RESUME = "resume"
    """Continue training after a hot pause."""
    ALERT = "alert"
    """Write an alert of the daemon into the journal, whose only writer is the job."""
    UNREADABLE = "unreadable"
    """Of an entry that is not a command, and is refused; never posted."""


class BudgetRequest(Record):
    """The new budget: body of POST /v1/runs/{id}/budget and payload of the mailbox command."""

    # Build it now: FastAPI suppresses pydantic's warnings while it reads the routes, not at the first request.
    model_config = ConfigDict(defer_build=False)

    unit: BudgetUnit
    """The unit of the recipe's budget, which cannot change."""
    amount: Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
    """The total, including what is spent already."""


class AlertRequest(Record):
    """Payload of the mailbox command alert."""

    level: Literal["warning", "error"]
    code: str
    message: str


class Command(Record):
    """One entry of a job's mailbox."""

    number: int
    """From 1, without gaps."""
    t: float
    verb: CommandKind
    asked_by: str
    """Who requested it: uid and name, or the daemon."""
    budget: BudgetRequest | None = None
    """Only with the verb budget."""
    alert: AlertRequest | None = None
    """Only with the verb alert."""
    problem: str = ""
    """Only with the verb unreadable: what is in its place."""
