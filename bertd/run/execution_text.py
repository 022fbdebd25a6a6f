"""Kernels, attention and batch of a run as text, from its journal; used wherever a run is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertd.records import StartRecord


@dataclass(frozen=True)
class ExecutionChoice:
    """One choice of how to compute, made by the recipe or by the attempt."""

    name: str
    value: str
    reason: str
    """Why; empty if the attempt gave no reason."""

    def __str__(self) -> str:
        return f"{self.value}: {self.reason}" if self.reason else self.value


def execution_choices(start: StartRecord) -> list[ExecutionChoice]:
    """Kernels, attention and micro-batch of an attempt."""
    ranks = "1 rank" if start.world_size == 1 else f"{start.world_size} ranks"
    empty = f", {start.empty_rows} empty" if start.empty_rows else ""
    batch = f"{ranks} x {start.micro_batch} sequences x {start.accumulation}{empty}"
    return [
        ExecutionChoice("kernels", start.kernels, start.kernels_reason),
        ExecutionChoice("attention", start.attention or "PyTorch's choice", start.attention_reason),
        ExecutionChoice("batch", batch, start.micro_batch_reason),
    ]
