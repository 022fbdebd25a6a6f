"""Delete the checkpoints of a setting that was dropped: a search of a hundred settings would fill the disk with them.

Its journal, logs and exports stay. Each folder is renamed first, as bertd.train.checkpoint.retention does, so that
neither a reader nor the next daemon finds a partial checkpoint, and one that is being read stays.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from bertd.errors import StorageError
from bertd.records import KeptCheckpoints
from bertd.run.atomic_files import sweep_temporaries
from bertd.run.checkpoint_index import read_checkpoint_index, write_checkpoint_index
from bertd.run.paths import TRASH_PREFIX, RunPaths, newest_first


def delete_checkpoints(paths: RunPaths) -> None:
    """Delete them; the run must have no runner, and is never started again.

    Raises:
        RunFolderError: the index of its checkpoints is damaged.
        StorageError: the disk refused.
    """
    if not paths.checkpoints.is_dir():
        return
    try:
        left = {folder.name for folder in newest_first(paths.checkpoints) if not _delete(folder)}
        sweep_temporaries(paths.checkpoints)
    except OSError as error:
        raise StorageError(
            f"{paths.checkpoints}: cannot delete them: {error.strerror}; delete them yourself"
        ) from error
    index = read_checkpoint_index(paths)
    write_checkpoint_index(
        paths, KeptCheckpoints(checkpoints=[kept for kept in index.checkpoints if kept.name in left])
    )


def _delete(folder: Path) -> bool:
    """Delete a checkpoint; False if it is being read."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        trash = folder.with_name(TRASH_PREFIX + folder.name)
        folder.rename(trash)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    shutil.rmtree(trash, ignore_errors=True)
    return True
