"""Every class of file, cut short and with single bits turned, is read as what it is or refused: gate rows B7, B11, F1.

Checkpoints have their own: tests/train/checkpoint/test_format.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from bertd.data.dataset.shards import DataSet
from bertd.errors import BertdError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.lifecycle import Actor
from bertd.jobs.store.queue import Job, Queue
from bertd.records import AlertRecord, Command, CommandKind, JobKind, JobState, Outcome, RunnerIdentity
from bertd.run.journal import JournalReader, JournalWriter
from bertd.run.ledger import LedgerState, read_ledger, write_ledger
from bertd.run.machine.processes import read_identity
from bertd.run.mailbox import post, read_command
from bertd.run.recipe.load import format_recipe, parse_recipe, read_recipe
from tests.faults.tally import Tally
from tests.jobs.runner_box import recipe_text

NUM_FLIPS = 50
SEED = 5


def damaged(content: bytes) -> Iterator[bytes]:
    """Truncations to 0 bytes, one, half, all but one; and one bit flipped, at each of several places."""
    for length in (0, 1, len(content) // 2, len(content) - 1):
        yield content[:length]
    chooser = random.Random(SEED)
    for _ in range(NUM_FLIPS):
        place = chooser.randrange(len(content))
        turned = content[place] ^ 1 << chooser.randrange(8)
        yield content[:place] + bytes([turned]) + content[place + 1 :]


def read_damaged(path: Path, tally: Tally, read: Callable[[], object]) -> tuple[int, int]:
    """Read every damaged form; how many were refused and how many read. Anything but our errors fails the test."""
    content = path.read_bytes()
    refused = taken = 0
    for form in damaged(content):
        path.write_bytes(form)
        tally.fault()
        try:
            read()
            taken += 1
        except BertdError as error:
            assert str(path) in str(error) or path.parent.name in str(error) or path.name in str(error), error
            refused += 1
        tally.sound()
    path.write_bytes(content)
    return refused, taken


def test_a_damaged_ledger(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "ledger.json"
    state = LedgerState(closed_s=100.5, ticked_s=100.5)
    write_ledger(path, state)

    def read() -> None:
        assert read_ledger(path) == state, "another charge was read"

    refused, _ = read_damaged(path, tally, read)
    assert refused > 0.8 * NUM_FLIPS


def test_a_damaged_recipe(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(format_recipe(parse_recipe(recipe_text(), name="fake")))
    refused, _ = read_damaged(path, tally, lambda: read_recipe(path))
    assert refused > NUM_FLIPS / 4


def test_a_damaged_command(tmp_path: Path, tally: Tally) -> None:
    post(tmp_path, verb=CommandKind.PAUSE, asked_by="a test", now=0.0)
    refused: list[Command] = []

    def read() -> None:
        command = read_command(tmp_path, number=1)
        assert command is not None and command.number == 1
        if command.verb is CommandKind.UNREADABLE:
            refused.append(command)

    # A command that cannot be read is refused by whom it was for, and does not end the reading.
    assert read_damaged(tmp_path / "000001.json", tally, read)[0] == 0
    assert len(refused) > NUM_FLIPS / 4 and all("000001.json" in command.problem for command in refused)


def test_a_damaged_runner_is_nobody(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "runner.json"
    path.write_text(RunnerIdentity(pid=1, start_ticks=2, boot_id="b").model_dump_json())
    assert read_damaged(path, tally, lambda: read_identity(path))[0] == 0


def test_a_damaged_journal_loses_no_line_but_the_damaged_one(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "journal.jsonl"
    journal = JournalWriter(path)
    for number in range(5):
        journal.append(AlertRecord(t=0, step=number, level="warning", code="a", message="m"))
    journal.close()
    content = path.read_bytes()
    for form in damaged(content):
        path.write_bytes(form)
        tally.fault()
        reader = JournalReader(path)
        records = reader.read()
        # One flipped bit damages at most two lines, if it adds or removes a newline.
        if len(form) == len(content):
            assert len(records) >= 3
        JournalWriter(path).close()
        assert path.read_bytes().endswith(b"\n") or path.read_bytes() == b""
        tally.sound()


def test_a_damaged_data_set_manifest(tmp_path: Path, dataset: Path, tally: Tally) -> None:
    copy = tmp_path / "dataset"
    copy.mkdir()
    for entry in dataset.iterdir():
        (copy / entry.name).symlink_to(entry)
    manifest = copy / "manifest.json"
    content = manifest.read_bytes()
    manifest.unlink()
    manifest.write_bytes(content)
    refused, _ = read_damaged(manifest, tally, lambda: DataSet.open(copy))
    assert refused >= 4


def test_a_damaged_queue_is_refused_or_read_and_never_a_traceback(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "queue.db"
    database = Database(path)
    queue = Queue(database, EventLog(database))
    for number in range(3):
        _submit(database, queue, name=f"run-{number}")
    database.close()

    def read() -> None:
        found = Database(path)
        try:
            listed = Queue(found, EventLog(found))
            jobs = listed.most_relevant(limit=10)
            listed.live(), listed.waiting(), listed.leases(), listed.counts()
            EventLog(found).newest(20)
            for job in jobs:
                if job.state is JobState.QUEUED:
                    listed.move(job.id, JobState.HELD, reason="a test", actor=Actor.PERSON, now=1.0)
        finally:
            found.close()

    content = path.read_bytes()
    refused = 0
    chooser = random.Random(SEED)
    # Most of a small database is empty; flip bits only where there is data.
    places = [place for place, byte in enumerate(content) if byte]
    for _ in range(4 * NUM_FLIPS):
        place = chooser.choice(places)
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << chooser.randrange(8)]) + content[place + 1 :])
        for beside in ("queue.db-wal", "queue.db-shm"):
            (tmp_path / beside).unlink(missing_ok=True)
        tally.fault()
        try:
            read()
        except BertdError:
            refused += 1
        tally.sound()
    for length in (1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        tally.fault()
        try:
            read()
            # The last page is empty, so SQLite reads the missing byte as zero.
            assert length == len(content) - 1
        except BertdError:
            pass
        tally.sound()
    assert refused > NUM_FLIPS / 4


def test_a_damaged_outcome_is_none(tmp_path: Path) -> None:
    text = Outcome(state=JobState.DONE, reason="the budget is spent", exit_code=0).model_dump_json()
    for form in damaged(text.encode()):
        try:
            outcome = Outcome.model_validate_json(form)
        except ValueError:
            continue
        assert isinstance(outcome.state, JobState)


def _submit(database: Database, queue: Queue, *, name: str) -> None:
    job = Job(
        id=0,
        kind=JobKind.PRETRAIN,
        name=name,
        state=JobState.QUEUED,
        reason="waits",
        priority=0,
        run_id=name,
        folder=f"/state/runs/{name}",
        device_kind="cpu",
        num_devices=1,
        owner_uid=0,
        created_t=0.0,
    )
    with database.transaction():
        placed = queue.reserve(job)
        queue.set_folder(placed, folder=job.folder, run_id=name)
        queue.lease(placed.id, {"cpu": 1})
