"""What a run may take of the disk: the daemon writes it into the run's folder, and the run frees room as it saves."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import PositiveInt, ValidationError

from bertd.errors import StorageError
from bertd.records import Record
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.run.log import log_line
from bertd.run.paths import RunPaths

_MAX_BYTES = 4096
_BYTES_PER_BLOCK = 512


class DiskQuota(Record):
    """What `disk_quota.json` holds."""

    limit_bytes: PositiveInt
    """Of the whole folder, with its exports and finetunings."""


def write_disk_quota(paths: RunPaths, limit_bytes: int | None) -> None:
    """Replace a run's quota; None for no quota.

    Raises:
        StorageError: the disk refused.
    """
    if limit_bytes is not None:
        atomic_write(paths.disk_quota, DiskQuota(limit_bytes=limit_bytes).model_dump_json())
        return
    try:
        paths.disk_quota.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{paths.disk_quota}: cannot be deleted: {error.strerror}") from error


def read_disk_quota(paths: RunPaths) -> int | None:
    """Bytes that the folder may take; None where there is no quota, or a damaged one, which the log then says."""
    try:
        return DiskQuota.model_validate_json(read_bounded(paths.disk_quota, max_bytes=_MAX_BYTES)).limit_bytes
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        why = "not a quota" if isinstance(error, ValidationError) else error.strerror
        log_line(f"bertd: {paths.disk_quota}: cannot be read, so no quota applies: {why}")
        return None


def size_on_disk(folder: Path) -> int:
    """Bytes that its files take; of a file that goes meanwhile, none."""
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(top, name)).st_blocks * _BYTES_PER_BLOCK  # noqa: PTH118  # Many files.
            except OSError:
                continue
    return total
