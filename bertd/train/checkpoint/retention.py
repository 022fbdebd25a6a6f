"""Retention of checkpoints: keep the newest, those at markers, and the best, each with its reason in `kept.json`.

Only this module deletes checkpoints of a run that may continue (the daemon deletes those of a setting that its sweep
has dropped, and `bertd gc` those of jobs that have ended); it does not delete exports, which finetuning reads. Other
readers of a checkpoint, such as `bertd export`, wrap their read in `protect(...)` of bertd.run.checkpoint_index; that
checkpoint is then not deleted before the next save.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import CheckpointError, StorageError
from bertd.records import KeptCheckpoint, KeptCheckpoints
from bertd.run.atomic_files import fsync_folder, sweep_temporaries
from bertd.run.checkpoint_index import delete_checkpoint, write_checkpoint_index
from bertd.run.log import log_line
from bertd.run.paths import DAMAGED_PREFIX, TRASH_PREFIX, VOID_PREFIX, RunPaths, newest_first, step_folder_name
from bertd.train.checkpoint.format import folder_bytes, read_state, verify_checkpoint
from bertd.train.state import TrainState


def reasons_to_keep(states: list[TrainState], *, keep: int) -> dict[int, list[str]]:
    """Map the step of each checkpoint to keep to its reasons; the others may be deleted. Pure.

    Args:
        states: of the valid checkpoints, newest first.
        keep: how many of the newest to keep, at least one.
    """
    reasons: dict[int, list[str]] = {}
    for rank, state in enumerate(states[: max(1, keep)]):
        reasons.setdefault(state.step, []).append("newest" if rank == 0 else f"newest but {rank}")
    for state in states:
        for marker in state.markers:
            reasons.setdefault(state.step, []).append(f"marker {marker:g}")
    # A loss on a part of the validation set cannot be compared with the others.
    measured = [
        state
        for state in states
        if state.validation_loss is not None and math.isfinite(state.validation_loss) and state.validation_share == 1.0
    ]
    if measured:
        # Of several after the same validation, the first is the nearest to the weights that were measured.
        best = min(measured, key=lambda state: (state.validation_loss, state.step))
        where = "" if best.validation_step is None else f" of step {best.validation_step}"
        reasons.setdefault(best.step, []).append(f"best validation loss {best.validation_loss:.4f}{where}")
    return reasons


@dataclass(frozen=True)
class _Checkpoint:
    folder: Path
    state: TrainState
    size_bytes: int


class Retention:
    """Deletes old checkpoints of a run, and records why the others are kept."""

    def __init__(self, paths: RunPaths, *, keep: int) -> None:
        self._paths = paths
        self._root = paths.checkpoints
        self._keep = keep

    def prune(self, *, trusted: Path) -> None:
        """Delete checkpoints that have no reason to be kept; `trusted` was just written and verified.

        Raises:
            StorageError: the disk refused.
        """
        self._prune(self._valid_checkpoints(trusted), keep=self._keep)

    def prunable_bytes(self) -> int:
        """Bytes that `free_disk_space` would free."""
        valid = self._valid_checkpoints()
        reasons = reasons_to_keep([each.state for each in valid], keep=1)
        return sum(each.size_bytes for each in valid if each.state.step not in reasons) + sum(
            folder_bytes(folder) for folder in self._leftovers()
        )

    def free_disk_space(self) -> None:
        """Delete all but the newest valid checkpoint, those at markers and the best; also quarantined and void folders.

        Raises:
            StorageError: the disk refused.
        """
        for folder in self._leftovers():
            shutil.rmtree(folder, ignore_errors=True)
        self._prune(self._valid_checkpoints(), keep=1)

    def discard_above(self, step: int) -> None:
        """Delete the void checkpoints above `step`, even while they are read.

        Args:
            step: step of a verified checkpoint, which becomes the newest.

        Raises:
            StorageError: the disk refused.
        """
        try:
            for folder in newest_first(self._root):
                if folder.name > step_folder_name(step):
                    folder.rename(folder.with_name(TRASH_PREFIX + folder.name))
            fsync_folder(self._root)
        except OSError as error:
            raise StorageError(
                f"{self._root}: cannot delete void checkpoints: {error}; check the permissions"
            ) from error
        try:
            self.prune(trusted=self._root / step_folder_name(step))
        except StorageError as error:
            # The void checkpoints are gone; the next save deletes the rest.
            log_line(f"bertd: {error}")

    def sweep_temporaries(self) -> None:
        """Delete checkpoints and exports that a crash left partly written or partly deleted."""
        sweep_temporaries(self._root)
        sweep_temporaries(self._paths.exports)

    def _leftovers(self) -> list[Path]:
        """Folders that are kept only for inspection: damaged checkpoints and void exports."""
        places = [(self._root, DAMAGED_PREFIX), (self._paths.exports, VOID_PREFIX)]
        return [
            entry
            for place, prefix in places
            if place.is_dir()
            for entry in place.iterdir()
            if entry.name.startswith(prefix) and entry.is_dir()
        ]

    def _valid_checkpoints(self, trusted: Path | None = None) -> list[_Checkpoint]:
        """List checkpoints from the newest valid one down; damaged ones above it are neither counted nor deleted.

        The older ones are not verified, because that would read all of them at each save.
        """
        found: list[_Checkpoint] = []
        for folder in newest_first(self._root):
            try:
                if not found and folder != trusted:
                    verify_checkpoint(folder)
                found.append(_Checkpoint(folder=folder, state=read_state(folder), size_bytes=folder_bytes(folder)))
            except CheckpointError:
                continue
        return found

    def _prune(self, valid: list[_Checkpoint], *, keep: int) -> None:
        reasons = reasons_to_keep([each.state for each in valid], keep=keep)
        self.sweep_temporaries()
        try:
            for each in valid:
                if each.state.step not in reasons and not delete_checkpoint(each.folder):
                    reasons[each.state.step] = ["being read"]
        except OSError as error:
            raise StorageError(
                f"{self._root}: cannot delete old checkpoints: {error}; check the permissions"
            ) from error
        kept = [_build_kept_record(each, reasons[each.state.step]) for each in valid if each.state.step in reasons]
        write_checkpoint_index(self._paths, KeptCheckpoints(checkpoints=kept))


def _build_kept_record(checkpoint: _Checkpoint, reasons: list[str]) -> KeptCheckpoint:
    state = checkpoint.state
    return KeptCheckpoint(
        name=checkpoint.folder.name,
        step=state.step,
        progress=state.progress,
        size_bytes=checkpoint.size_bytes,
        validation_loss=state.validation_loss,
        markers=state.markers,
        reasons=reasons,
    )
