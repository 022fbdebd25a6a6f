"""Runs: budget, newest numbers, what they take on the disk."""

from __future__ import annotations

from bertd.records import (
    AlertRecord,
    BudgetRecord,
    BudgetUnit,
    CheckpointRecord,
    DevicesRecord,
    EndRecord,
    ExportRecord,
    ForecastRecord,
    JobEnergy,
    JobState,
    KeptCheckpoint,
    MarkerGridState,
    PauseKind,
    Record,
    StartRecord,
    StartupRecord,
    StepRecord,
    ValidationRecord,
)


class BudgetView(Record):
    """The budget of a run and what is left of it."""

    unit: BudgetUnit
    amount: float
    spent: float
    """In the budget's unit."""
    progress: float
    """Share of the budget that is spent, 0..1. A finished run has not spent all: its end took less than was kept."""
    charged_s: float
    remaining_s: float | None
    """Charged seconds until training stops: exact for hours, projected for other units; None before the speed is
    known; 0 once it is over, however much of the budget is not spent."""
    reserve_s: float | None = None
    """Charged seconds kept after those for the last validation, save and export, as the ranks measured them; None
    before they did, after the end, and for a budget of steps or sequences."""
    projected_step: int | None
    """Step at which the budget will be spent at the current speed."""


class MarkerGridView(Record):
    """A grid of finetunings that a run's recipe asks for."""

    marker: float
    """Share of the budget; 1.0 is the run's end."""
    state: MarkerGridState
    reason: str
    """Why it waits, or why there is none."""
    grid_job_id: int | None
    """Its job, once it is queued."""


class DiskQuotaView(Record):
    """What a folder takes on the disk, and what it may."""

    t: float
    """When it was measured."""
    used_bytes: int
    quota_bytes: int | None
    """None where there is no quota of this folder."""


class RunView(Record):
    """One pretraining, as read from its folder."""

    id: str
    job_id: int
    name: str
    state: JobState
    pause: PauseKind | None = None
    """How it is paused; None if it is not."""
    reason: str
    folder: str
    budget: BudgetView
    budget_change: BudgetRecord | None = None
    """The newest change of its budget."""
    devices_change: DevicesRecord | None = None
    """The newest change of its number of devices."""
    model: str
    """As text: 4 layers x 256, 4.9M parameters."""
    start_from: str | None = None
    """The model whose weights it began from, as its recipe names it; None if they were random."""
    start: StartRecord | None = None
    startup: StartupRecord | None = None
    """Where the seconds of its newest start went; None before its first step."""
    step: StepRecord | None = None
    """The newest."""
    validation: ValidationRecord | None = None
    best_validation: float | None = None
    forecast: ForecastRecord | None = None
    """The newest; None before a tenth of the budget is spent, and while the curve is not one that can be forecast."""
    checkpoint: CheckpointRecord | None = None
    kept: list[KeptCheckpoint] = []
    """Newest first; only in the response for a single run."""
    grids: list[MarkerGridView] = []
    """By marker; only in the response for a single run."""
    export: ExportRecord | None = None
    alert: AlertRecord | None = None
    end: EndRecord | None = None
    energy: JobEnergy | None = None
    """Of its GPUs; None where nothing was measured."""
    disk: DiskQuotaView | None = None
    """Of its folder; None while the configuration has no quota of the disk, and before it was measured."""
    restarts: int = 0
    steps_lost: int = 0
    """Steps that were lost and repeated, over all restarts; they stay charged."""
