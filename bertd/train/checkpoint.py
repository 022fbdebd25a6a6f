"""Checkpoints: seen only when whole, verified before they count, no pickle anywhere.

    checkpoints/step-000012000/
      model.safetensors       fp32 weights under the model's own names
      optimizer.safetensors   `parameter/slot` tensors: exp_avg, exp_avg_sq, step
      state.json              TrainingState
      manifest.json           size and sha256 of the others; written last

Commit: temporary folder, files, fsync each, manifest, fsync the folder, rename, fsync the parent. A flipped byte loads
silently in safetensors as in torch.load, so only the manifest's sha256 counts as verified. Random numbers need no room
here: dropout is seeded anew at each step from (seed, rank, step), masks from (seed, epoch, sequence).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertd.errors import CheckpointError, StorageError
from bertd.records import Record
from bertd.run.durable import fsync_folder, write_whole
from bertd.run.paths import TEMPORARY_PREFIX, newest_first, step_folder
from bertd.train.optimizer import Optimizers

FORMAT = 1
MODEL, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"
_TRASH_PREFIX = ".trash-"


class ScalerState(Record):
    """The fp16 loss scale and how long it has held."""

    scale: float
    growth_tracker: int


class TrainingState(Record):
    """Where training stands besides the tensors."""

    step: int
    sequences: int
    charged_s: float
    recipe_sha256: str
    data_fingerprint: str
    skipped_steps: int = 0
    scaler: ScalerState | None = None
    next_validation_s: float = 0.0
    """Charged time at which the next validation is due."""
    next_checkpoint_s: float = 0.0
    validation_s: float | None = None
    """How long the slowest took so far; with the next, the reserve that a timed budget keeps for its end."""
    save_s: float | None = None
    validation_loss: float | None = None
    """The newest."""


class FileSum(Record):
    """What a file must be."""

    size: int
    sha256: str


class Manifest(Record):
    """Content of manifest.json."""

    format: int
    step: int
    files: dict[str, FileSum]


@dataclass(frozen=True)
class Found:
    """The newest valid checkpoint, and what was passed over to find it."""

    folder: Path
    skipped: list[str]
    """One line each: which checkpoint and why."""


def save_checkpoint(root: Path, *, model: nn.Module, optimizers: Optimizers, state: TrainingState) -> Path:
    """Write the checkpoint of `state.step`; replaces none.

    Returns:
        Its folder, which exists whole from this moment.

    Raises:
        StorageError: the disk refused; nothing is left behind and older checkpoints are untouched.
    """
    folder = root / step_folder(state.step)
    if folder.exists():
        # The same step can only be the same state: nothing was trained since.
        return folder
    temporary = root / f"{TEMPORARY_PREFIX}{folder.name}-{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        save_file(_on_cpu(model.state_dict()), temporary / MODEL)
        save_file(_on_cpu(optimizers.tensors()), temporary / OPTIMIZER)
        write_whole(temporary / STATE, state.model_dump_json())
        files = {name: _fsynced_sum(temporary / name) for name in (MODEL, OPTIMIZER, STATE)}
        write_whole(
            temporary / MANIFEST, Manifest(format=FORMAT, step=state.step, files=files).model_dump_json(indent=1)
        )
        temporary.rename(folder)
        fsync_folder(root)
    except (OSError, SafetensorError, StorageError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise StorageError(f"{folder}: cannot save the checkpoint: {error}; free space on that disk") from error
    return folder


def folder_bytes(folder: Path) -> int:
    """Size of the files in a checkpoint or an export."""
    return sum(entry.stat().st_size for entry in folder.iterdir())


def find_checkpoint(root: Path) -> Found | None:
    """The newest checkpoint that verifies; None where there is none at all.

    Raises:
        CheckpointError: there are checkpoints, and every one is damaged.
    """
    skipped: list[str] = []
    for folder in newest_first(root):
        try:
            verify_checkpoint(folder)
        except CheckpointError as error:
            skipped.append(str(error))
        else:
            return Found(folder=folder, skipped=skipped)
    if skipped:
        raise CheckpointError(f"{root}: no checkpoint is whole: {'; '.join(skipped)}; restore one or start anew")
    return None


def verify_checkpoint(folder: Path) -> None:
    """Compare every file with the manifest.

    Raises:
        CheckpointError: a file is missing, cut short or changed, or the format is newer than this code.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{folder.name}: manifest.json is missing or damaged") from error
    if manifest.format > FORMAT:
        raise CheckpointError(f"{folder.name}: format {manifest.format}; this bertd knows up to {FORMAT}: upgrade it")
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != expected.size:
            raise CheckpointError(f"{folder.name}: {name} is missing or cut short")
        if _sha256(path) != expected.sha256:
            raise CheckpointError(f"{folder.name}: {name} was changed since it was written")


def load_checkpoint(folder: Path, *, model: nn.Module, optimizers: Optimizers) -> TrainingState:
    """Put a verified checkpoint into the model and the optimizers, on whatever device they are.

    Raises:
        CheckpointError: the tensors are not this model's.
    """
    try:
        model.load_state_dict(load_file(folder / MODEL))
        optimizers.load_tensors(load_file(folder / OPTIMIZER))
        return TrainingState.model_validate_json((folder / STATE).read_bytes())
    except (RuntimeError, KeyError, OSError, SafetensorError, ValidationError) as error:
        raise CheckpointError(f"{folder}: does not fit this recipe's model: {error}") from error


def prune_checkpoints(root: Path, *, keep: int) -> None:
    """Delete all but the newest `keep`, and what crashes left; the newest always stays."""
    for entry in list(root.iterdir()):
        if entry.name.startswith((TEMPORARY_PREFIX, _TRASH_PREFIX)):
            shutil.rmtree(entry, ignore_errors=True)
    for folder in newest_first(root)[max(1, keep) :]:
        # Out of sight in one act, so that nobody meets half a checkpoint.
        trash = folder.with_name(_TRASH_PREFIX + folder.name)
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsynced_sum(path: Path) -> FileSum:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return FileSum(size=path.stat().st_size, sha256=_sha256(path))
