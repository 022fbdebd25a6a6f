"""Which checkpoints a run keeps, and why: `checkpoints/kept.json`, written behind each save, read by both sides."""

from __future__ import annotations

from pydantic import ValidationError

from bertd.errors import CheckpointError, RunFolderError
from bertd.records import KeptCheckpoint, KeptCheckpoints
from bertd.run.atomic_files import atomic_write
from bertd.run.paths import RunPaths


def write_checkpoint_index(paths: RunPaths, kept: KeptCheckpoints) -> None:
    """Replace the index; for whoever deletes checkpoints.

    Raises:
        StorageError: the disk refused; the old index stands.
    """
    atomic_write(paths.kept, kept.model_dump_json(indent=1))


def read_checkpoint_index(paths: RunPaths) -> KeptCheckpoints:
    """The index; a run without a checkpoint keeps none.

    Raises:
        RunFolderError: the file is no index.
    """
    try:
        return KeptCheckpoints.model_validate_json(paths.kept.read_bytes())
    except FileNotFoundError:
        return KeptCheckpoints()
    except OSError as error:
        raise RunFolderError(f"{paths.kept}: cannot be read: {error.strerror}; mend the permissions") from error
    except ValidationError as error:
        raise RunFolderError(f"{paths.kept}: not an index; delete it, the next checkpoint writes it anew") from error


def find_checkpoint_at_marker(paths: RunPaths, marker: float, *, name: str) -> KeptCheckpoint:
    """The checkpoint that was kept for a share of the budget; `name` is the run's, for people.

    Raises:
        CheckpointError: the run has not passed it, or went back behind it.
        RunFolderError: the index is damaged.
    """
    kept = read_checkpoint_index(paths).checkpoints
    for checkpoint in kept:
        if marker in checkpoint.markers:
            return checkpoint
    there = ", ".join(f"{each:g}" for checkpoint in reversed(kept) for each in checkpoint.markers)
    raise CheckpointError(
        f"{name}: has not passed a marker {marker:g}; those it has passed: {there or 'none'}; a rollback undoes those "
        "behind it, whose exports RUN@STEP still names"
    )
