"""Restore a backup into a state folder that is empty, with each file compared with its hash."""

from __future__ import annotations

from pathlib import Path

from bertd.daemon.backup.manifest import QUEUE_NAME, BackupManifest, copy_with_hash, read_manifest
from bertd.errors import BackupError, OutputExistsError, StorageError
from bertd.jobs.store.database import Database


def restore_backup(backup: Path, state_dir: Path) -> BackupManifest:
    """Copy a backup into `state_dir`, which must not exist or be empty.

    The queue comes last: a folder without it is no state of a queue, whatever ends the copying.

    Raises:
        BackupError: the backup is not complete, or a file of it was changed.
        OutputExistsError: there is something in `state_dir`.
        UnreadableQueueError: its queue is damaged, or of a newer bertd.
        StorageError: a file cannot be read or written.
    """
    manifest = read_manifest(backup)
    if state_dir.exists() and (not state_dir.is_dir() or any(state_dir.iterdir())):
        raise OutputExistsError(f"{state_dir}: is not an empty folder; move it away, or give another with --state-dir")
    try:
        state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        for file in sorted(manifest.files, key=lambda file: file.path == QUEUE_NAME):
            if Path(file.path).is_absolute() or ".." in Path(file.path).parts:
                raise BackupError(f"{backup}: {file.path}: leads out of the backup; use another one")
            size, digest = copy_with_hash(backup / file.path, state_dir / file.path)
            if (size, digest) != (file.size_bytes, file.sha256):
                raise BackupError(f"{backup / file.path}: is not as it was backed up; use another backup")
    except OSError as error:
        # A full disk names no file.
        place = error.filename or state_dir
        raise StorageError(f"{place}: {error.strerror}; {state_dir} is not complete; delete it") from error
    if not (state_dir / QUEUE_NAME).is_file():
        raise BackupError(
            f"{backup}: its list of files has no {QUEUE_NAME}; use another backup, and delete {state_dir}"
        )
    Database(state_dir / QUEUE_NAME).close()
    return manifest
