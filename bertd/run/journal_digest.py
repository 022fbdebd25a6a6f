"""What the start of a run needs of its journal: a few records and the progress, whatever the journal's length.

The runner stores the digest next to the journal, with the place up to which it goes, so a start reads only what was
written since. The file is derived: one that is absent, damaged, of another format or not of this journal is ignored,
and the journal is read from its begin. Of consecutive step records only the first and the last are parsed: those
between change nothing that these do not.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from bertd.errors import RunFolderError
from bertd.records import (
    BudgetRecord,
    EndRecord,
    JournalRecord,
    Record,
    RestartRecord,
    RollbackRecord,
    StartRecord,
    StepRecord,
)
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import open_regular, read_bounded
from bertd.run.forecast.loss_curve import LossCurve
from bertd.run.journal import JournalReader
from bertd.run.paths import digest_of_journal
from bertd.run.progress import RunProgress

_TAIL_BYTES = 1 << 16
_MAX_FILE_BYTES = 16 << 20
"""Many times what a run with thousands of changes of its budget has; the rest of a larger file is not read."""


class JournalDigest(Record):
    """A journal without most of its records."""

    progress: RunProgress = RunProgress()
    attempt: int = 0
    """The newest attempt that has begun, or was announced and may have."""
    start: StartRecord | None = None
    """Of the newest attempt whose ranks met."""
    first_step: StepRecord | None = None
    last_step: StepRecord | None = None
    budget_changes: tuple[BudgetRecord, ...] = ()
    rollbacks: tuple[RollbackRecord, ...] = ()
    curve: LossCurve = LossCurve()
    """For the forecast."""
    end: EndRecord | None = None
    """None again when a further attempt starts."""

    def with_record(self, record: JournalRecord) -> JournalDigest:
        """The digest after the next record of the journal. Pure."""
        change: dict[str, object] = {
            "progress": self.progress.with_record(record),
            "curve": self.curve.with_record(record),
        }
        match record:
            case StepRecord():
                change |= {"first_step": self.first_step or record, "last_step": record}
            case StartRecord():
                change |= {"end": None, "start": record, "attempt": max(self.attempt, record.attempt)}
            case RestartRecord():
                # The announced attempt has not begun; the runner takes its number.
                change["attempt"] = max(self.attempt, record.attempt - 1)
            case BudgetRecord():
                change["budget_changes"] = (*self.budget_changes, record)
            case EndRecord():
                change["end"] = record
            case RollbackRecord():
                change["rollbacks"] = (*self.rollbacks, record)
        return self.model_copy(update=change)


@dataclass(frozen=True)
class DigestAt:
    """A digest, and how far it goes."""

    digest: JournalDigest = JournalDigest()
    offset: int = 0
    """Bytes of the journal."""


class _DigestFile(Record):
    format: Literal[2] = 2
    """1 had no curve."""
    offset: int
    tail_sha256: str
    """Of the last _TAIL_BYTES before `offset`, which tell this journal from another one."""
    digest: JournalDigest


def read_digest(journal: Path) -> JournalDigest:
    """The digest of a whole journal; that of a new run if there is none.

    Raises:
        RunFolderError: the journal cannot be read.
    """
    return read_digest_at(journal).digest


def read_digest_at(journal: Path) -> DigestAt:
    """The digest of a whole journal, and where the journal ends; raises as `read_digest`."""
    stored = _read_stored(journal)
    digest = stored.digest
    reader = JournalReader(journal, offset=stored.offset, is_thinned=True)
    for record in reader:
        digest = digest.with_record(record)
    return DigestAt(digest, reader.offset)


def read_progress(journal: Path) -> RunProgress:
    """The progress of a whole journal; raises as `read_digest`."""
    return read_digest(journal).progress


def store_digest(journal: Path, at: DigestAt) -> None:
    """Store a digest next to its journal; the caller holds the lock on the folder.

    Raises:
        RunFolderError: the journal cannot be read.
        StorageError: the disk refused.
    """
    try:
        tail_sha256 = hash_tail(journal, end=at.offset)
    except OSError as error:
        raise RunFolderError(f"{journal}: cannot read the journal: {error.strerror}") from error
    content = _DigestFile(offset=at.offset, tail_sha256=tail_sha256, digest=at.digest)
    atomic_write(digest_of_journal(journal), content.model_dump_json())


def hash_tail(journal: Path, *, end: int) -> str:
    """SHA-256 of the bytes of a journal before `end`, which tell it from another one.

    Raises:
        OSError: the journal cannot be read.
    """
    begin = max(0, end - _TAIL_BYTES)
    with os.fdopen(open_regular(journal), "rb") as file:
        file.seek(begin)
        return hashlib.sha256(file.read(end - begin)).hexdigest()


def _read_stored(journal: Path) -> DigestAt:
    path = digest_of_journal(journal)
    try:
        stored = _DigestFile.model_validate_json(read_bounded(path, max_bytes=_MAX_FILE_BYTES))
        is_same = stored.tail_sha256 == hash_tail(journal, end=stored.offset)
    except (OSError, ValidationError):
        return DigestAt()
    return DigestAt(stored.digest, stored.offset) if is_same else DigestAt()
