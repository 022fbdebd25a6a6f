"""The states of a lend: a pretraining is paused, finetunings run on its devices, and it continues by itself."""

from __future__ import annotations

from enum import StrEnum


class LendState(StrEnum):
    """How far a lend is."""

    PAUSING = "pausing"
    """The run was told to save, and has its devices still."""
    LENT = "lent"
    """The jobs have its devices, or may have them; nobody else may."""
    RETURNING = "returning"
    """The run continues; until it has its devices nobody else may have them."""
    OVER = "over"


class BorrowerState(StrEnum):
    """What a job has to do with the lend that it was submitted for."""

    BORROWING = "borrowing"
    LEAVING = "leaving"
    """It saves, since the lend was ended, and may have the devices still."""
    LEFT = "left"
    """It is over, or a job like any other."""
