"""Rebuild a damaged or missing ledger from the journal, which records the charge about once a second.

Called before the run is charged, and before it is changed while it has no runner. The charge is then too low by at most
the time since the journal's newest record; it never restarts at 0, which would grant the budget twice.
"""

from __future__ import annotations

import time

from bertd.errors import DamagedLedgerError, RunFolderError, StorageError
from bertd.records import AlertRecord
from bertd.run.journal import append_records
from bertd.run.journal_digest import read_progress
from bertd.run.ledger import LedgerState, read_ledger, write_ledger
from bertd.run.paths import DAMAGED_PREFIX, RunPaths, newest_first


def repair_ledger(paths: RunPaths) -> None:
    """Make the ledger readable; the caller holds the lock on the run's folder, and no rank is alive.

    The journal gets an alert with what was wrong, and a damaged file is kept next to the new one.

    Raises:
        RunFolderError: neither ledger nor journal has the charge; or a later bertd wrote the ledger.
        StorageError: the disk refused.
    """
    try:
        read_ledger(paths.ledger)
        if paths.ledger.exists():
            return
        what = "is gone"
    except DamagedLedgerError:
        what = "is damaged"
    progress = read_progress(paths.journal)
    charged_s = progress.charged_s
    if charged_s is None and what == "is gone" and not newest_first(paths.checkpoints):
        # Nothing was charged yet.
        return
    if charged_s is None:
        raise RunFolderError(
            f"{paths.ledger}: {what}, and {paths.journal.name} does not say what was charged; restore one of the two"
        )
    _report_repair(
        paths,
        step=progress.step,
        what=f"{what}; the charge continues from {charged_s:.1f} s, the highest in the journal",
    )
    _rename_damaged(paths)
    write_ledger(paths.ledger, LedgerState(closed_s=charged_s, ticked_s=charged_s))


def _report_repair(paths: RunPaths, *, step: int, what: str) -> None:
    # Before the new ledger: after a crash in between it is reported twice, which is better than never.
    message = f"{paths.ledger.name} {what}"
    alert = AlertRecord(t=time.time(), step=step, level="warning", code="ledger_mended", message=message)
    append_records(paths.journal, [alert])


def _rename_damaged(paths: RunPaths) -> None:
    try:
        if paths.ledger.exists():
            paths.ledger.replace(paths.ledger.with_name(DAMAGED_PREFIX + paths.ledger.name))
    except OSError as error:
        raise StorageError(f"{paths.ledger}: damaged, and cannot be renamed: {error.strerror}; move it away") from error
