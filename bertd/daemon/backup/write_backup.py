"""Copy a state folder while the daemon runs.

The queue comes from the daemon, which alone may open it. All other files are written whole or appended to, so that a
plain copy of each is one that bertd can read. Checkpoints are large: of a run that has ended none is copied, since its
exports are, and of any other only the newest, from which it continues.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import bertd
from bertd.daemon.backup.manifest import QUEUE_NAME, BackedUpFile, BackupManifest, copy_with_hash, write_manifest
from bertd.errors import OutputExistsError, StorageError
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
        unfinished: ids of the runs whose newest checkpoint is needed.

    Raises:
        OutputExistsError: there is something in `out`.
        StorageError: a file cannot be read or written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExistsError(f"{out}: exists and is not an empty folder; give another")
    files: list[BackedUpFile] = []
    try:
        out.mkdir(mode=0o750, parents=True, exist_ok=True)
        (out / QUEUE_NAME).write_bytes(queue)
        (out / QUEUE_NAME).chmod(0o640)
        files.append(_entry(out, out / QUEUE_NAME))
        skipped = set() if all_checkpoints else set(_unneeded_checkpoints(paths, unfinished))
        for source in _files(paths.root, skipped=skipped, out=out):
            relative = source.relative_to(paths.root)
            try:
                size, digest = copy_with_hash(source, out / relative)
            except FileNotFoundError:
                # Deleted since it was listed, as a checkpoint that is not kept.
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


def _unneeded_checkpoints(paths: StatePaths, unfinished: set[str]) -> Iterator[Path]:
    for run in sorted(paths.runs.iterdir()) if paths.runs.is_dir() else []:
        checkpoints = newest_first(RunPaths(run).checkpoints)
        yield from checkpoints[1:] if run.name in unfinished else checkpoints


def _files(root: Path, *, skipped: set[Path], out: Path) -> Iterator[Path]:
    """All regular files below `root` but those of caches, leftovers and the backup itself."""
    for top, folders, names in os.walk(root):
        here = Path(top)
        folders[:] = sorted(
            name
            for name in folders
            if name not in _CACHES
            and not name.startswith((TEMPORARY_PREFIX, TRASH_PREFIX))
            and here / name not in skipped
            and here / name != out.absolute()
            and not (here / name).is_symlink()
        )
        for name in sorted(names):
            file = here / name
            is_own = here != root or (name not in _LEFT_OUT and not name.startswith("queue-schema-"))
            if is_own and not name.startswith(TEMPORARY_PREFIX) and file.is_file() and not file.is_symlink():
                yield file
