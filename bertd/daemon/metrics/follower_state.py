"""What the daemon has read of a journal, stored next to it: a restart then reads only what was written since.

`curves.json` holds the journal's summary, the thinned curves and the place up to which both go. It is derived: one that
is absent, damaged, of another format or not of this journal is ignored, and the journal is read from its begin.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from bertd.errors import StorageError
from bertd.metrics.curves import CurvesState
from bertd.metrics.journal_summary import JournalSummary
from bertd.records import Record
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.run.journal_digest import hash_tail

logger = logging.getLogger(__name__)

_MAX_FILE_BYTES = 64 << 20
"""Many times what the largest curves take; the rest of a larger file is not read."""


class FollowerState(Record):
    """A follower after some of a journal's records."""

    format: Literal[2] = 2
    offset: int
    """Bytes of the journal that were read."""
    tail_sha256: str
    """See bertd.run.journal_digest.hash_tail."""
    num_records: int
    num_damaged_lines: int
    newest_event: int
    """Number of the newest record that is an event of the queue; 0 before the first."""
    summary: JournalSummary
    curves: CurvesState


def store_follower_state(path: Path, state: FollowerState) -> None:
    """Write it; a disk that refuses it costs only the time to read the journal again."""
    try:
        atomic_write(path, state.model_dump_json())
    except StorageError as error:
        logger.warning("%s; the journal will be read again", error)


def read_follower_state(path: Path, *, journal: Path, journal_seen: int) -> FollowerState | None:
    """The stored state, if it is of this journal and all its events are in the queue.

    Args:
        journal_seen: number of the newest record that is in the queue as an event.
    """
    try:
        state = FollowerState.model_validate_json(read_bounded(path, max_bytes=_MAX_FILE_BYTES))
        is_same = state.tail_sha256 == hash_tail(journal, end=state.offset)
    except (OSError, ValidationError):
        return None
    return state if is_same and state.newest_event <= journal_seen else None
