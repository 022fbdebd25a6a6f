"""Which checkpoints a run keeps, and why: `checkpoints/kept.json`, written behind each save, read by both sides."""

from __future__ import annotations

from pydantic import ValidationError

from bertd.errors import RunFolderError
from bertd.records import KeptCheckpoints
from bertd.run.durable import write_whole
from bertd.run.paths import RunPaths


def write_kept(paths: RunPaths, kept: KeptCheckpoints) -> None:
    """Replace the index; for whoever deletes checkpoints.

    Raises:
        StorageError: the disk refused; the old index stands.
    """
    write_whole(paths.kept, kept.model_dump_json(indent=1))


def read_kept(paths: RunPaths) -> KeptCheckpoints:
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
