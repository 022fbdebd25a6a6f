"""The state of training other than the tensors: what a checkpoint keeps in `state.json`."""

from __future__ import annotations

import math

from bertd.records import Record


class SpikeDetectorState(Record):
    """The running statistics of the loss."""

    seen: int
    """Losses inside the band so far."""
    mean: float
    """Running mean of the loss in nats."""
    distance: float
    """Running mean of the distance from the mean, in nats."""
    lowest: float = math.inf
    """The lowest mean since the detector has seen enough losses to judge."""
    has_risen: bool = False
    """The mean is well above `lowest`, and an alert has reported it."""


class ScalerState(Record):
    """The fp16 loss scale and how long it has held."""

    scale: float
    growth_tracker: int


class TrainState(Record):
    """Everything that a resumed run needs besides the tensors and the recipe."""

    step: int
    sequences: int
    charged_s: float
    recipe_sha256: str
    data_fingerprint: str
    progress: float = 0.0
    """Share of the budget that was spent; the schedule follows from it."""
    markers: list[float] = []
    """Markers, as shares of the budget, that came due at this checkpoint."""
    markers_left: list[float] = []
    """Markers that are still to come."""
    skipped_steps: int = 0
    scaler: ScalerState | None = None
    rollbacks: int = 0
    """How often the run rolled back to an earlier checkpoint; after a resume, the number in the journal."""
    band: SpikeDetectorState | None = None
    """State of the loss spike detector."""
    next_validation_s: float = 0.0
    """Charged time at which the next validation is due."""
    next_checkpoint_s: float = 0.0
    validation_s: float | None = None
    """Duration of the slowest validation so far. A timed budget computes its reserve from this and `save_s`."""
    save_s: float | None = None
    """Duration of the slowest save so far, from the decision to the rename, whether training waited or not."""
    validation_loss: float | None = None
    """Nats, of the newest validation."""
    validation_step: int | None = None
    """The step of that validation."""
    validation_share: float = 1.0
    """Share of the validation sequences that it used; below 1 only if the end of the budget cut it short."""
    stalled_s: float = 0.0
    """How long training has waited for saves so far."""
    skipped_saves: int = 0
    """Saves skipped so far because the previous one was still being written."""
