"""What ended jobs leave on the disk, and its deletion."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bertd.records import (
    Record,
)


class GarbageRequest(Record):
    """What of ended jobs is to be found, or deleted."""

    jobs: list[str] = []
    """Names or numbers; none for all that have ended."""
    older_than_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Only of jobs that ended at least so long ago."""
    all_checkpoints: bool = False
    """Of runs that are done and have an export, the newest checkpoint, too."""


class GarbageView(Record):
    """One folder of an ended job that nothing needs."""

    job_id: int
    run_id: str
    what: str
    """As text: checkpoint, state after an epoch."""
    folder: str
    size_bytes: int


class GarbageDeletedView(Record):
    """What was deleted."""

    deleted: list[GarbageView]
