"""The checkpoints that a run keeps, and why: `checkpoints/kept.json`, written after each save, read by both sides."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import CheckpointError, RunFolderError
from bertd.records import KeptCheckpoint, KeptCheckpoints
from bertd.run.atomic_files import atomic_write, fsync_folder
from bertd.run.bounded_read import read_bounded
from bertd.run.paths import TRASH_PREFIX, RunPaths


def write_checkpoint_index(paths: RunPaths, kept: KeptCheckpoints) -> None:
    """Replace the index; only the process that deletes checkpoints may call it.

    Raises:
        StorageError: the disk refused; the old index is unchanged.
    """
    atomic_write(paths.kept, kept.model_dump_json(indent=1))


def read_checkpoint_index(paths: RunPaths) -> KeptCheckpoints:
    """Read the index; empty for a run without a checkpoint.

    Raises:
        RunFolderError: the file is not an index.
    """
    try:
        return KeptCheckpoints.model_validate_json(read_bounded(paths.kept))
    except FileNotFoundError:
        return KeptCheckpoints()
    except OSError as error:
        raise RunFolderError(f"{paths.kept}: cannot be read: {error.strerror}; check the permissions") from error
    except ValidationError as error:
        raise RunFolderError(f"{paths.kept}: not an index; delete it, the next save writes it again") from error


def find_checkpoint_at_marker(paths: RunPaths, marker: float, *, name: str) -> KeptCheckpoint:
    """Find the checkpoint kept for `marker`, a share of the budget; `name` is the run's, for messages.

    Raises:
        CheckpointError: the run has not passed the marker, or was rolled back to before it.
        RunFolderError: the index is damaged.
    """
    kept = read_checkpoint_index(paths).checkpoints
    for checkpoint in kept:
        if marker in checkpoint.markers:
            return checkpoint
    there = ", ".join(f"{each:g}" for checkpoint in reversed(kept) for each in checkpoint.markers)
    if not there:
        raise CheckpointError(
            f"{name}: has not passed a marker {marker:g}, nor any other; checkpoint.markers of its recipe sets them; "
            "give a step that `bertd show` lists, as RUN@STEP"
        )
    raise CheckpointError(
        f"{name}: has not passed a marker {marker:g}; those it has passed: {there}; a rollback undoes those "
        "after its checkpoint, whose exports RUN@STEP still names"
    )


@contextmanager
def protect(folder: Path) -> Iterator[None]:
    """Keep a checkpoint from being deleted, by a lock that the kernel releases when the reader dies.

    Raises:
        CheckpointError: the checkpoint was deleted.
    """
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise CheckpointError(f"{folder}: was deleted; use a newer one") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        if not folder.is_dir():
            raise CheckpointError(f"{folder}: was deleted while it was opened; use a newer one")
        yield
    finally:
        os.close(fd)


def delete_checkpoint(folder: Path) -> bool:
    """Delete a checkpoint, renamed first so that no reader finds a partial one; False if it is being read.

    Raises:
        OSError: the disk refused.
    """
    trash = trash_checkpoint(folder)
    if trash is not None:
        shutil.rmtree(trash, ignore_errors=True)
    return trash is not None


def trash_checkpoint(folder: Path) -> Path | None:
    """Rename a checkpoint so that no reader finds it, and return where it is; None if it is being read.

    Raises:
        OSError: the disk refused.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        trash = _free_name(TRASH_PREFIX + folder.name, folder=folder.parent)
        folder.rename(trash)
    except BlockingIOError:
        return None
    finally:
        os.close(fd)
    fsync_folder(folder.parent)
    return trash


def _free_name(name: str, *, folder: Path) -> Path:
    """The name, or one with a number after it where a deletion that was cut off has left it."""
    numbers = itertools.count(2)
    path = folder / name
    while path.exists():
        path = folder / f"{name}-{next(numbers)}"
    return path
