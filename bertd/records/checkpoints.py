"""The index of the checkpoints that a run keeps: `checkpoints/kept.json`."""

from __future__ import annotations

from bertd.records.record import Record


class KeptCheckpoint(Record):
    """One checkpoint of a run, and why it was not deleted."""

    name: str
    """Folder under checkpoints/; the export of a marker has the same name under exports/."""
    step: int
    progress: float
    """Share of the budget that was spent, 0..1."""
    size_bytes: int
    validation_loss: float | None
    """The newest validation loss when it was saved."""
    markers: list[float]
    """The markers at which it was saved, as shares of the budget."""
    reasons: list[str]
    """As text: newest, marker 0.5, best validation loss 1.912 of step 1200."""


class KeptCheckpoints(Record):
    """Content of `checkpoints/kept.json`, written after each checkpoint."""

    checkpoints: list[KeptCheckpoint] = []
    """Newest first."""
