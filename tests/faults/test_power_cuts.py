"""Gate row A11: the power is cut at each system call of each protocol that writes what must not be lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bertd.errors import StorageError
from bertd.jobs.store.database import Database
from bertd.records import AlertRecord, CommandKind
from bertd.run.journal import JournalWriter, read_journal
from bertd.run.ledger import LedgerState, read_ledger, write_ledger
from bertd.run.mailbox import post, read_command
from bertd.train.checkpoint.staging import StagedTensors
from tests.faults.disks import LoopDisk
from tests.faults.invariants import is_valid_checkpoint
from tests.faults.saving import complete, names, save, tiny_tensors
from tests.faults.tally import Tally

CALLS = ("write", "fsync", "rename", "replace", "mkdir", "open")


@pytest.fixture(scope="module")
def tensors() -> StagedTensors:
    return tiny_tensors()


@pytest.fixture(params=["ext4", pytest.param("xfs", marks=pytest.mark.faults)])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoopDisk]:
    """A file system whose power can be cut."""
    disk = LoopDisk(tmp_path, request.param)
    yield disk
    disk.close()


class PowerIsOutError(Exception):
    """The machine is off: nothing more runs on it."""


def do_until_cut(disk: LoopDisk, act: Callable[[], object], *, at_call: int) -> bool:
    """Do it, with the power cut before system call `at_call`; return whether it completed and so was acknowledged."""
    count = 0
    originals = {name: getattr(os, name) for name in CALLS}

    def cutting(name: str) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count == at_call:
                disk.cut_power()
                raise PowerIsOutError
            return originals[name](*arguments, **named)

        return call

    for name in CALLS:
        setattr(os, name, cutting(name))
    try:
        act()
    except (PowerIsOutError, StorageError):
        return False
    finally:
        for name, original in originals.items():
            setattr(os, name, original)
    disk.cut_power()
    return True


def cut_everywhere(
    disk: LoopDisk,
    tally: Tally,
    *,
    prepare: Callable[[], object],
    act: Callable[[], object],
    check: Callable[[bool], None],
) -> None:
    """Cut the power at each call in turn, and once after the last; `check` gets whether it was acknowledged."""
    is_done, at_call = False, 0
    while not is_done:
        at_call += 1
        for entry in disk.root.iterdir():
            if entry.name != "lost+found":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        prepare()
        _settle(disk.root)
        tally.fault()
        is_done = do_until_cut(disk, act, at_call=at_call)
        disk.power_on()
        check(is_done)
        tally.sound()
    assert at_call > 3


def test_a_checkpoint_is_old_or_new_and_an_acknowledged_one_is_there(
    disk: LoopDisk, tensors: StagedTensors, tally: Tally
) -> None:
    root = disk.root / "checkpoints"

    def check(is_done: bool) -> None:
        assert all(is_valid_checkpoint(root / name) for name in complete(root))
        assert complete(root) == names(1, 3) if is_done else names(1) <= complete(root)

    cut_everywhere(
        disk,
        tally,
        prepare=lambda: save(root, tensors, step=1),
        act=lambda: save(root, tensors, step=3),
        check=check,
    )


def test_a_file_that_is_replaced_is_old_or_new(disk: LoopDisk, tally: Tally) -> None:
    path = disk.root / "ledger.json"
    old, new = LedgerState(closed_s=1.0, ticked_s=1.0), LedgerState(closed_s=2.0, ticked_s=2.0)

    def check(is_done: bool) -> None:
        assert read_ledger(path) == new if is_done else read_ledger(path) in (old, new)

    cut_everywhere(
        disk,
        tally,
        prepare=lambda: write_ledger(path, old),
        act=lambda: write_ledger(path, new),
        check=check,
    )


def test_a_command_that_was_posted_is_there(disk: LoopDisk, tally: Tally) -> None:
    control = disk.root / "control"

    def check(is_done: bool) -> None:
        first, second = read_command(control, number=1), read_command(control, number=2)
        assert first is not None and first.verb is CommandKind.CHECKPOINT
        assert second is not None or not is_done

    cut_everywhere(
        disk,
        tally,
        prepare=lambda: post(control, verb=CommandKind.CHECKPOINT, asked_by="a", now=0.0),
        act=lambda: post(control, verb=CommandKind.PAUSE, asked_by="a", now=0.0),
        check=check,
    )


def test_records_that_were_appended_are_there(disk: LoopDisk, tally: Tally) -> None:
    path = disk.root / "journal.jsonl"

    def append(*messages: str) -> None:
        journal = JournalWriter(path)
        try:
            for message in messages:
                journal.append(AlertRecord(t=time.time(), step=0, level="warning", code="a", message=message))
            journal.close()
        except BaseException:
            # The machine is off, and so is this process, whose files are closed, if they are not yet.
            with suppress(OSError):
                os.close(journal._fd)
            raise

    def check(is_done: bool) -> None:
        told = [record.message for record in read_journal(path) if isinstance(record, AlertRecord)]
        assert told[0] == "before"
        assert told[1:] == ["one", "two"][: len(told) - 1]
        assert len(told) == 3 or not is_done

    cut_everywhere(
        disk,
        tally,
        prepare=lambda: append("before"),
        act=lambda: append("one", "two"),
        check=check,
    )


def test_a_committed_transaction_is_there(disk: LoopDisk, tally: Tally) -> None:
    # SQLite makes its system calls itself, so cut the power between commits.
    path, answers = disk.root / "queue.db", 5
    database = Database(path)
    _settle(disk.root)
    for number in range(answers):
        with database.transaction():
            database.execute("INSERT INTO answers VALUES (?, 0, 0, 'r', 200, 'b')", (f"k{number}",))
    tally.fault()
    disk.cut_power()
    with pytest.raises((StorageError, sqlite3.Error)), database.transaction():
        database.execute("INSERT INTO answers VALUES ('late', 0, 0, 'r', 200, 'b')")
    database.close()
    disk.power_on()
    again = Database(path)
    keys = {row["key"] for row in again.execute("SELECT key FROM answers")}
    assert {f"k{number}" for number in range(answers)} <= keys
    again.close()
    tally.sound()


def _settle(root: Path) -> None:
    """Flush what was prepared, so that only the tested writes are at risk."""
    fd = os.open(root, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
