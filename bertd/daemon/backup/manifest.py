"""`backup.json`, written last: a backup without it is not complete."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import BackupError
from bertd.records.record import Record
from bertd.run.atomic_files import atomic_write

MANIFEST_NAME = "backup.json"
QUEUE_NAME = "queue.db"
_CHUNK_BYTES = 1 << 20


class BackedUpFile(Record):
    """One file of a backup."""

    path: str
    """Relative to the backup's folder, and to the state folder."""
    size_bytes: int
    sha256: str


class BackupManifest(Record):
    """What a backup holds."""

    bertd: str
    """The version that wrote it."""
    t: float
    state_dir: str
    """Where it was taken."""
    files: list[BackedUpFile]


def write_manifest(folder: Path, manifest: BackupManifest) -> None:
    """Complete a backup.

    Raises:
        StorageError: the disk refused.
    """
    atomic_write(folder / MANIFEST_NAME, manifest.model_dump_json(indent=1))


def read_manifest(folder: Path) -> BackupManifest:
    """What a backup holds.

    Raises:
        BackupError: it is not a backup, or not complete.
    """
    try:
        return BackupManifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
    except OSError as error:
        raise BackupError(
            f"{folder}: cannot read {MANIFEST_NAME}: {error.strerror}; it is not a backup, or one that was cut off"
        ) from error
    except ValidationError as error:
        raise BackupError(f"{folder}: {MANIFEST_NAME} is damaged; use another backup") from error


def copy_with_hash(source: Path, target: Path) -> tuple[int, str]:
    """Copy what a file has now, and return its size and sha256; a file that grows meanwhile is copied up to its size.

    Raises:
        OSError: it cannot be read or written.
    """
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader:
        status = os.fstat(reader.fileno())
        # For nobody else until its own mode is set: it may be a command's environment.
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as writer:
            left, copied = status.st_size, 0
            while left > 0 and (piece := reader.read(min(left, _CHUNK_BYTES))):
                writer.write(piece)
                digest.update(piece)
                left -= len(piece)
                copied += len(piece)
            writer.flush()
            os.fsync(writer.fileno())
    target.chmod(status.st_mode & 0o750)
    return copied, digest.hexdigest()
