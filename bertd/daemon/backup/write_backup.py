"""Copy a state folder while the daemon runs.

The queue comes from the daemon, which alone may open it. All other files are written whole or appended to, so that a
plain copy of each is one that bertd can read. Checkpoints are large: of a run that is done or cancelled none is copied,
since its exports are, and of any other only the newest, from which it continues or a person resumes it. That one is
kept from being deleted while it is copied.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import bertd
from bertd.daemon.backup.manifest import QUEUE_NAME, BackedUpFile, BackupManifest, copy_with_hash, write_manifest
from bertd.errors import CheckpointError, OutputExistsError, StorageError
from bertd.jobs.store.database import FILE_MODE
from bertd.run.checkpoint_index import protect
from bertd.run.paths import TEMPORARY_PREFIX, TRASH_PREFIX, RunPaths, StatePaths, newest_first

_LEFT_OUT = {QUEUE_NAME, f"{QUEUE_NAME}-wal", f"{QUEUE_NAME}-shm", "daemon.lock"}
_CACHES = {".inductor", ".triton"}
"""Compiled kernels, which are made again."""


def write_backup(
    paths: StatePaths, out: Path, *, queue: bytes, unfinished: set[str], now: float, all_checkpoints: bool = False
) -> BackupManifest:
    """Write a backup to `out`, which must not exist or be empty.

    Args:
        queue: the content of queue.db.
        unfinished: ids of the runs that may train again, whose newest checkpoint is needed.

    Raises:
        OutputExistsError: there is something in `out`.
        StorageError: a file cannot be read or written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExistsError(f"{out}: exists and is not an empty folder; give another")
    files: list[BackedUpFile] = []
    try:
        out.mkdir(mode=0o750, parents=True, exist_ok=True)
        (out / QUEUE_NAME).touch(mode=FILE_MODE)
        (out / QUEUE_NAME).write_bytes(queue)
        files.append(_entry(out, out / QUEUE_NAME))
        for source in _files(paths, unfinished=unfinished, all_checkpoints=all_checkpoints, out=out):
            relative = source.relative_to(paths.root)
            try:
                size, digest = copy_with_hash(source, out / relative)
            except FileNotFoundError:
                # Deleted since it was listed.
                (out / relative).unlink(missing_ok=True)
                continue
            files.append(BackedUpFile(path=str(relative), size_bytes=size, sha256=digest))
    except OSError as error:
        place = error.filename or out
        raise StorageError(
            f"{place}: {error.strerror}; the backup in {out} is not complete; delete it, and free space or run it as "
            "the daemon's user"
        ) from error
    manifest = BackupManifest(bertd=bertd.__version__, t=now, state_dir=str(paths.root), files=files)
    write_manifest(out, manifest)
    return manifest


def _entry(out: Path, file: Path) -> BackedUpFile:
    content = file.read_bytes()
    return BackedUpFile(
        path=str(file.relative_to(out)), size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )


def _files(paths: StatePaths, *, unfinished: set[str], all_checkpoints: bool, out: Path) -> Iterator[Path]:
    """All regular files of the state folder but those of caches, leftovers and the backup itself."""
    root = paths.root
    for top, folders, names in os.walk(root):
        here = Path(top)
        folders[:] = sorted(
            name
            for name in folders
            if name not in _CACHES
            and not name.startswith((TEMPORARY_PREFIX, TRASH_PREFIX))
            and here / name != out.absolute()
            and not (here / name).is_symlink()
        )
        if here.parent.parent == paths.runs and here == RunPaths(here.parent).checkpoints:
            folders.clear()
            if all_checkpoints or here.parent.name in unfinished:
                yield from _checkpoint_files(here, only_newest=not all_checkpoints)
        for name in sorted(names):
            file = here / name
            is_own = here != root or (name not in _LEFT_OUT and not name.startswith("queue-schema-"))
            if is_own and _is_plain(file):
                yield file


def _checkpoint_files(checkpoints: Path, *, only_newest: bool) -> Iterator[Path]:
    """The files of a run's checkpoints, each of which is not deleted before the next one is asked for."""
    for checkpoint in newest_first(checkpoints):
        try:
            with protect(checkpoint):
                yield from sorted(filter(_is_plain, checkpoint.rglob("*")))
        except CheckpointError:
            if only_newest:
                # Deleted since it was listed, so that a newer one is there.
                yield from _checkpoint_files(checkpoints, only_newest=True)
        if only_newest:
            return


def _is_plain(file: Path) -> bool:
    return not file.name.startswith(TEMPORARY_PREFIX) and file.is_file() and not file.is_symlink()
