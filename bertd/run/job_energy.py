"""A job's energy in its folder: the daemon writes it while the job runs, and the job's end record takes it over."""

from __future__ import annotations

from pydantic import ValidationError

from bertd.records import JobEnergy
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.run.paths import JobPaths

_MAX_BYTES = 4096


def write_job_energy(paths: JobPaths, energy: JobEnergy) -> None:
    """Replace what is there.

    Raises:
        StorageError: the disk refused.
    """
    atomic_write(paths.energy, energy.model_dump_json())


def read_job_energy(paths: JobPaths) -> JobEnergy | None:
    """The newest; None where nothing was measured, or the file is damaged: a job must not fail for it."""
    try:
        return JobEnergy.model_validate_json(read_bounded(paths.energy, max_bytes=_MAX_BYTES))
    except (OSError, ValidationError):
        return None
