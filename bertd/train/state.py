"""Where training is, apart from the tensors: what a checkpoint keeps in `state.json`."""

from __future__ import annotations

import math

from bertd.records import Record


class SpikeDetectorState(Record):
    """What a checkpoint keeps of a band."""

    seen: int
    mean: float
    distance: float
    lowest: float = math.inf
    """The lowest mean since the band judges."""
    has_risen: bool = False
    """The mean stands well above that, and it was said."""


class ScalerState(Record):
    """The fp16 loss scale and how long it has held."""

    scale: float
    growth_tracker: int


class TrainState(Record):
    """Where training stands besides the tensors."""

    step: int
    sequences: int
    charged_s: float
    recipe_sha256: str
    data_fingerprint: str
    progress: float = 0.0
    """Share of the budget that was spent; the schedule follows from it."""
    markers: list[float] = []
    """Shares of the budget that this checkpoint was saved at."""
    markers_left: list[float] = []
    """Those still to come."""
    skipped_steps: int = 0
    scaler: ScalerState | None = None
    rollbacks: int = 0
    """How often the run went back because its loss went wrong; after a resume, as the journal tells."""
    band: SpikeDetectorState | None = None
    """Where the detector of loss spikes stands."""
    next_validation_s: float = 0.0
    """Charged time at which the next validation is due."""
    next_checkpoint_s: float = 0.0
    validation_s: float | None = None
    """How long the slowest took so far; with the next, the reserve that a timed budget keeps for its end."""
    save_s: float | None = None
    """The same of saves, from the decision to the rename, whether training waited or not."""
    validation_loss: float | None = None
    """The newest."""
    validation_step: int | None = None
    """Where it was measured."""
    stalled_s: float = 0.0
    """How long training stood still for saves so far."""
    skipped_saves: int = 0
    """Left out so far because the one before was still being written."""
