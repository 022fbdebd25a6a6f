"""Check for free disk space: for a whole run before it starts, for one checkpoint before it is written. Pure.

On a full disk the journal, the ledger and the daemon's queue cannot be written either, so a checkpoint that would leave
less than RESERVE_BYTES is not started.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bertd.errors import StorageError
from bertd.run.recipe.schema import CheckpointSection, Recipe

RESERVE_BYTES = 64 << 20
"""Left free for journal, ledger and logs."""
CHECKPOINT_BYTES_PER_PARAMETER = 12
"""fp32 weights and two moments; Muon's matrices have one. Source: bertd.train.checkpoint.format."""
EXPORT_BYTES_PER_PARAMETER = 4
"""fp32 weights. Source: bertd.model.export."""
_STATE_BYTES = 64 << 10
"""Size of state.json and manifest.json, rounded up."""


@dataclass(frozen=True)
class DiskNeed:
    """The most that a run may keep on its disk."""

    checkpoint_bytes: int
    num_newest: int
    num_markers: int
    export_bytes: int

    @property
    def num_checkpoints(self) -> int:
        """The newest, the markers', the best, and one more: a new one is complete before an old one is deleted."""
        return self.num_newest + self.num_markers + 2

    @property
    def num_exports(self) -> int:
        return self.num_markers + 1

    @property
    def total_bytes(self) -> int:
        return self.num_checkpoints * self.checkpoint_bytes + self.num_exports * self.export_bytes + RESERVE_BYTES


def estimate_num_parameters(recipe: Recipe, *, vocab_size: int) -> int:
    """The model's parameters but for biases and norms, from the recipe alone."""
    model = recipe.model
    layer_parameters = 4 * model.width * model.width + 2 * model.width * model.ffn
    return model.layers * layer_parameters + (vocab_size + recipe.data.sequence_length) * model.width


def estimate_disk_need(section: CheckpointSection, *, num_parameters: int) -> DiskNeed:
    """The most that a run of this recipe and size may keep."""
    return DiskNeed(
        checkpoint_bytes=num_parameters * CHECKPOINT_BYTES_PER_PARAMETER + _STATE_BYTES,
        num_newest=section.keep,
        num_markers=len(section.markers),
        export_bytes=num_parameters * EXPORT_BYTES_PER_PARAMETER,
    )


def describe_shortage(need: DiskNeed, *, free_bytes: int, used_bytes: int, folder: Path) -> str | None:
    """One line with what is missing and the remedy; None if there is enough space.

    Args:
        used_bytes: size of the run's existing checkpoints and exports.
        folder: of the run, for the message.
    """
    needed_bytes = max(0, need.total_bytes - used_bytes)
    if free_bytes >= needed_bytes:
        return None
    return (
        f"{folder}: {free_bytes / 1e9:.1f} GB free, about {needed_bytes / 1e9:.1f} GB needed for "
        f"{need.num_checkpoints} checkpoints of {need.checkpoint_bytes / 1e9:.2f} GB ({need.num_newest} newest, "
        f"{need.num_markers} of markers, the best, one being written) and {need.num_exports} exports of "
        f"{need.export_bytes / 1e9:.2f} GB; free space, or --set checkpoint.keep=1"
    )


def require_disk_space(need: DiskNeed, *, free_bytes: int, used_bytes: int, folder: Path) -> None:
    """Refuse a run that its disk cannot hold.

    Raises:
        StorageError: there is too little space; the message has the numbers.
    """
    if problem := describe_shortage(need, free_bytes=free_bytes, used_bytes=used_bytes, folder=folder):
        raise StorageError(problem)


class DiskSpace(StrEnum):
    """Whether there is space for one checkpoint."""

    ENOUGH = "enough"
    AFTER_PRUNING = "after pruning"
    """Enough once the checkpoints are deleted that are kept only because they are recent."""
    NONE = "none"


def classify_disk_space(*, needed_bytes: int, free_bytes: int, prunable_bytes: int) -> DiskSpace:
    """Whether `needed_bytes` more may be written. Nothing is pruned if even that would not be enough."""
    if free_bytes >= needed_bytes + RESERVE_BYTES:
        return DiskSpace.ENOUGH
    if free_bytes + prunable_bytes >= needed_bytes + RESERVE_BYTES:
        return DiskSpace.AFTER_PRUNING
    return DiskSpace.NONE
