"""The checkpoint format: committed atomically, verified before use, without pickle.

    checkpoints/step-000012000/
      model.safetensors       fp32 weights under the model's own names
      optimizer.safetensors   `parameter/slot` tensors: exp_avg, exp_avg_sq, step
      state.json              TrainState
      manifest.json           size and sha256 of the others; written last
      markers.json            markers that came due after the checkpoint was written, if any; not in the manifest

Commit: temporary folder, files, fsync each, compare with memory, manifest, fsync the folder, rename, fsync the parent.
safetensors, like torch.load, does not notice a flipped byte, so only a check of the manifest's sha256 verifies a file.

There is no generator state, because no generator lives longer than a step: dropout is seeded at each step from (seed,
rank, step), the order of sequences from (seed, epoch), masks from (seed, epoch, sequence). The schedule is a pure
function of the budget spent. So `step`, `sequences` and the charged time restore all of them, on any number of ranks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertd.errors import CheckpointError, NewerCheckpointError, NumericsError, StorageError
from bertd.records import Record
from bertd.run.atomic_files import PRIVATE_MODE, atomic_write, fsync_folder, set_mode
from bertd.run.log import log_line
from bertd.run.paths import DAMAGED_PREFIX, TEMPORARY_PREFIX, newest_first, step_folder_name
from bertd.train.checkpoint.staging import StagedTensors, as_bytes
from bertd.train.optim.optimizer import Optimizers
from bertd.train.state import TrainState

FORMAT = 1
MODEL, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"
MARKERS = "markers.json"


class FileDigest(Record):
    """Expected size and hash of a file."""

    size: int
    sha256: str


class CheckpointManifest(Record):
    """Content of manifest.json."""

    format: int
    step: int
    files: dict[str, FileDigest]


class LaterMarkers(Record):
    """Content of markers.json."""

    markers: list[float]


@dataclass(frozen=True)
class FoundCheckpoint:
    """The newest valid checkpoint, and the damaged ones above it."""

    folder: Path
    skipped: list[str]
    """One line each: which checkpoint and why."""
    damaged: list[Path]
    """The folders of the skipped checkpoints."""


def save_checkpoint(root: Path, *, tensors: StagedTensors, state: TrainState) -> Path:
    """Write the checkpoint of `state.step`, unless there is a valid one already.

    Returns:
        Its folder, which is complete and on disk when this returns.

    Raises:
        StorageError: the disk refused; nothing partial is left, and older checkpoints are unchanged.
        NumericsError: a weight is not finite; nothing was written.
    """
    _require_finite(tensors.model, step=state.step)
    folder = root / step_folder_name(state.step)
    if folder.exists() and is_valid_checkpoint(folder):
        # The same step has the same tensors, because nothing was trained since; but a marker may have come due.
        _add_markers(folder, state.markers)
        return folder
    temporary = root / f"{TEMPORARY_PREFIX}{folder.name}-{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        # 1. Write all files into a temporary folder, fsync each and read it back; hash it for the manifest.
        files = {
            MODEL: _write_tensors(temporary / MODEL, tensors.model),
            OPTIMIZER: _write_tensors(temporary / OPTIMIZER, tensors.optimizer),
        }
        atomic_write(temporary / STATE, state.model_dump_json())
        files[STATE] = _fsync_and_digest(temporary / STATE)
        # 2. The manifest last: a folder without a manifest is not valid.
        manifest = CheckpointManifest(format=FORMAT, step=state.step, files=files)
        atomic_write(temporary / MANIFEST, manifest.model_dump_json(indent=1))
        # 3. Commit: one rename makes it visible, and the fsync of the parent makes that durable.
        if folder.exists():
            quarantine(folder)
        temporary.rename(folder)
        fsync_folder(root)
    except (OSError, SafetensorError, StorageError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise StorageError(f"{folder}: cannot save the checkpoint: {error}; free space on that disk") from error
    return folder


def _add_markers(folder: Path, markers: list[float]) -> None:
    existing = read_state(folder).markers
    if new := set(markers) - set(existing):
        atomic_write(folder / MARKERS, LaterMarkers(markers=sorted(new | set(existing))).model_dump_json())


def quarantine(folder: Path) -> None:
    """Rename a damaged checkpoint, so that it is not used but can be inspected.

    Raises:
        StorageError: the disk refused.
    """
    quarantined = folder.with_name(DAMAGED_PREFIX + folder.name)
    try:
        shutil.rmtree(quarantined, ignore_errors=True)
        folder.rename(quarantined)
        fsync_folder(folder.parent)
    except OSError as error:
        raise StorageError(f"{folder}: damaged, and cannot be renamed: {error.strerror}; move it away") from error


def folder_bytes(folder: Path) -> int:
    """Total size of the files in a checkpoint or an export."""
    return sum(entry.stat().st_size for entry in folder.iterdir())


def find_checkpoint(root: Path) -> FoundCheckpoint | None:
    """Find the newest valid checkpoint; None if there are no checkpoints at all.

    Raises:
        CheckpointError: there are checkpoints, and every one is damaged.
        NewerCheckpointError: the newest undamaged one is from a later bertd.
    """
    skipped: list[str] = []
    folders = newest_first(root)
    for index, folder in enumerate(folders):
        try:
            verify_checkpoint(folder)
        except NewerCheckpointError:
            raise
        except CheckpointError as error:
            skipped.append(str(error))
        else:
            return FoundCheckpoint(folder=folder, skipped=skipped, damaged=folders[:index])
    if skipped:
        raise CheckpointError(f"{root}: no checkpoint is valid: {'; '.join(skipped)}; restore one or start again")
    return None


def verify_checkpoint(folder: Path) -> None:
    """Compare every file with the manifest.

    Raises:
        CheckpointError: a file is missing, cut short or changed, or cannot be read.
        NewerCheckpointError: the format is newer than this code.
    """
    try:
        manifest = CheckpointManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{folder.name}: manifest.json is missing or damaged") from error
    if manifest.format > FORMAT:
        raise NewerCheckpointError(
            f"{folder.name}: format {manifest.format}; this bertd knows up to {FORMAT}: upgrade it"
        )
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            if not path.is_file() or path.stat().st_size != expected.size:
                raise CheckpointError(f"{folder.name}: {name} is missing or cut short")
            if _sha256(path) != expected.sha256:
                raise CheckpointError(f"{folder.name}: {name} was changed since it was written")
        except OSError as error:
            raise CheckpointError(f"{folder.name}: {name} cannot be read: {error.strerror}") from error


def load_checkpoint(folder: Path, *, model: nn.Module, optimizers: Optimizers) -> TrainState:
    """Load a verified checkpoint into the model and the optimizers, on whatever device they are.

    Raises:
        CheckpointError: the tensors do not fit this model.
    """
    try:
        model.load_state_dict(load_file(folder / MODEL))
        optimizers.load_tensors(load_file(folder / OPTIMIZER))
        return TrainState.model_validate_json((folder / STATE).read_bytes())
    except (RuntimeError, KeyError, OSError, SafetensorError, ValidationError) as error:
        raise CheckpointError(f"{folder}: does not fit this recipe's model: {error}") from error


def read_state(folder: Path) -> TrainState:
    """Read the state without the tensors, with the markers that came due later.

    Raises:
        CheckpointError: state.json is missing or damaged.
    """
    try:
        state = TrainState.model_validate_json((folder / STATE).read_bytes())
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{folder.name}: state.json is missing or damaged") from error
    if not (folder / MARKERS).exists():
        return state
    try:
        later = LaterMarkers.model_validate_json((folder / MARKERS).read_bytes())
    except (OSError, ValidationError):
        # Do not refuse the checkpoint for this: the markers come due again, and the log explains any that are missing.
        log_line(f"bertd: {folder.name}: {MARKERS} is damaged; using {STATE}: {state.markers or 'no markers'}")
        return state
    return state.model_copy(update={"markers": later.markers})


def is_valid_checkpoint(folder: Path) -> bool:
    """Whether every file matches the manifest."""
    try:
        verify_checkpoint(folder)
    except CheckpointError:
        return False
    return True


def _require_finite(weights: dict[str, Tensor], *, step: int) -> None:
    for name, tensor in weights.items():
        if not np.isfinite(tensor.numpy()).all():
            raise NumericsError(
                f"step {step}: {name} is not finite, so nothing was saved; lower optimizer.peak_lr or set "
                "optimizer.clip, and submit again"
            )


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> FileDigest:
    """Write and fsync a file, read it back, and compare it with the tensors in memory.

    Raises:
        OSError: the file reads back differently.
    """
    save_file(tensors, path)
    # As the other files of a checkpoint, so that whoever may read the run may export it; safetensors' own is 0600.
    set_mode(path, PRIVATE_MODE)
    digest = _fsync_and_digest(path)
    with safe_open(path, framework="pt") as file:
        for name, tensor in tensors.items():
            # As bytes, because a moment may be NaN, which is not equal to itself.
            if not np.array_equal(as_bytes(file.get_tensor(name)), as_bytes(tensor)):
                raise OSError(f"{path.name}: {name} does not read back as it was written")
    return digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync_and_digest(path: Path) -> FileDigest:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return FileDigest(size=path.stat().st_size, sha256=_sha256(path))
