"""Delete the checkpoints of a setting that was dropped: a search of a hundred settings would fill the disk with them.

Its journal, logs and exports stay, and a checkpoint that is being read.
"""

from __future__ import annotations

from bertd.errors import StorageError
from bertd.records import KeptCheckpoints
from bertd.run.atomic_files import sweep_temporaries
from bertd.run.checkpoint_index import delete_checkpoint, read_checkpoint_index, write_checkpoint_index
from bertd.run.paths import RunPaths, newest_first


def delete_checkpoints(paths: RunPaths) -> None:
    """Delete them; the run must have no runner, and is never started again.

    Raises:
        RunFolderError: the index of its checkpoints is damaged.
        StorageError: the disk refused.
    """
    if not paths.checkpoints.is_dir():
        return
    try:
        left = {folder.name for folder in newest_first(paths.checkpoints) if not delete_checkpoint(folder)}
        sweep_temporaries(paths.checkpoints)
    except OSError as error:
        raise StorageError(
            f"{paths.checkpoints}: cannot delete them: {error.strerror}; delete them yourself"
        ) from error
    index = read_checkpoint_index(paths)
    write_checkpoint_index(
        paths, KeptCheckpoints(checkpoints=[kept for kept in index.checkpoints if kept.name in left])
    )
