"""What the daemon stores next to a journal: the rest is read as if the whole had been, or the whole is read."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.daemon.metrics import metrics_follower, run_metrics
from bertd.daemon.metrics.metrics_follower import MetricsFollower
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.errors import DaemonError
from bertd.jobs.store.database import Database
from bertd.jobs.store.queue import Job
from bertd.metrics.curves import COLUMNS, CurvesState, RunCurves
from bertd.records import BudgetRecord, BudgetUnit, JobKind, JobState, JournalRecord
from bertd.run.journal import append_records
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import parse_recipe
from tests.jobs.runner_box import recipe_text
from tests.metrics.test_curves import HOUR, start, step
from tests.waiting import PATIENCE_S

RECIPE = parse_recipe(recipe_text(steps=5_000), name="fake")


def long_journal(num_steps: int = 3_000) -> list[JournalRecord]:
    """Steps with gaps, a pause in which the budget grew, and losses that are not finite."""
    chance = random.Random(1)
    records: list[JournalRecord] = [start(0, charged_s=0, attempt=1)]
    for number in range(1, num_steps + 1):
        loss = float("nan") if number % 700 == 0 else chance.uniform(1, 9)
        records.append(step(number, charged_s=number * 0.5, loss=loss))
        if number % 1_000 == 0:
            spent, unit = float(number), BudgetUnit.STEPS
            records.append(
                BudgetRecord(
                    t=0,
                    step=number,
                    charged_s=number * 0.5,
                    sequences=number,
                    unit=unit,
                    before=5_000,
                    after=6_000,
                    spent=spent,
                )
            )
            records.append(start(number, charged_s=number * 0.5, attempt=1 + number // 1_000))
    return records


@pytest.fixture(autouse=True)
def _stores_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_follower, "_PIECE_BYTES", 4_096)
    monkeypatch.setattr(metrics_follower, "_STORE_EVERY_BYTES", 8_192)
    monkeypatch.setattr(run_metrics, "_CURVES_TIMEOUT_S", PATIENCE_S)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path / "1-fake")
    paths.root.mkdir()
    paths.recipe.write_text(recipe_text(steps=5_000))
    append_records(paths.journal, long_journal())
    return paths


def read_all(paths: RunPaths, *, journal_seen: int = 1 << 40) -> tuple[MetricsFollower, int]:
    """A follower at the end of the journal, and how many records it gave."""
    follower, given = MetricsFollower(paths.root, recipe=RECIPE, journal_seen=journal_seen), 0
    while records := follower.follow():
        given += len(records)
    return follower, given


def shown(follower: MetricsFollower) -> tuple[str, str]:
    assert follower.curves is not None
    read = follower.curves.read(columns=list(COLUMNS), axis="charged_s", points=4_000)
    return follower.summary.model_dump_json(), json.dumps(read)


def test_curves_are_the_same_after_they_were_stored() -> None:
    curves = RunCurves(HOUR)
    for record in long_journal():
        if isinstance(record, type(start(0, charged_s=0, attempt=1)) | type(step(1, charged_s=0))):
            curves.add(record)
    stored = RunCurves(HOUR, CurvesState.model_validate_json(curves.state().model_dump_json()))
    for more in (None, step(3_001, charged_s=1_501.0)):
        for each in (curves, stored):
            if more is not None:
                each.add(more)
        for points in (100, 4_000):
            pairs = [each.read(columns=list(COLUMNS), axis="step", points=points) for each in (curves, stored)]
            assert json.dumps(pairs[0]) == json.dumps(pairs[1])


def test_only_what_was_written_since_is_read_after_a_restart(paths: RunPaths) -> None:
    whole, given = read_all(paths)
    whole.store(is_over=True)
    assert given == len(long_journal())
    again, given = read_all(paths)
    assert (given, shown(again)) == (0, shown(whole))
    more = [step(3_001, charged_s=1_501.0), step(3_002, charged_s=1_502.0)]
    append_records(paths.journal, more)
    records = MetricsFollower(paths.root, recipe=RECIPE, journal_seen=1 << 40).follow()
    assert [entry.number for entry in records] == [len(long_journal()) + 1, len(long_journal()) + 2]
    from_the_middle = read_all(paths)[0]
    paths.curves.unlink()
    assert shown(read_all(paths)[0])[1] == shown(from_the_middle)[1]


def test_events_that_are_not_in_the_queue_are_given_again(paths: RunPaths) -> None:
    whole, given = read_all(paths)
    whole.store(is_over=True)
    newest_event = len(long_journal())
    assert read_all(paths, journal_seen=newest_event)[1] == 0
    assert read_all(paths, journal_seen=newest_event - 1)[1] == given


@pytest.mark.parametrize(
    "damage",
    [
        lambda paths: paths.curves.write_text("{"),
        lambda paths: paths.curves.write_text("[" * 100_000),
        lambda paths: paths.curves.write_bytes(paths.curves.read_bytes().replace(b'"format":2', b'"format":1')),
        lambda paths: paths.curves.write_bytes(paths.curves.read_bytes().replace(b'"unit":"steps"', b'"unit":"hours"')),
        lambda paths: paths.journal.write_bytes(b"".join(reversed(paths.journal.read_bytes().splitlines(True)))),
    ],
    ids=["torn", "deep", "another format", "another budget", "another journal"],
)
def test_what_is_not_the_state_of_this_journal_is_ignored(paths: RunPaths, damage: object) -> None:
    read_all(paths)[0].store(is_over=True)
    assert callable(damage)
    damage(paths)
    assert read_all(paths)[1] == len(long_journal())


def test_a_disk_that_refuses_the_state_costs_nothing_else(paths: RunPaths, caplog: pytest.LogCaptureFixture) -> None:
    paths.curves.mkdir()
    read_all(paths)[0].store(is_over=True)
    assert "the journal will be read again" in caplog.text


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "queue.db")
    yield database
    database.close()


@pytest.fixture
def job(paths: RunPaths, database: Database) -> Job:
    job = Job(
        id=1,
        kind=JobKind.PRETRAIN,
        name="fake",
        state=JobState.DONE,
        reason="",
        priority=0,
        run_id="1-fake",
        folder=str(paths.root),
        device_kind="cpu",
        num_devices=1,
        owner_uid=0,
        created_t=0.0,
        journal_seen=1 << 40,
    )
    database.execute(
        "INSERT INTO jobs (id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices,"
        " owner_uid, created_t) VALUES (1, 'pretrain', 'fake', 'done', '', 0, '1-fake', ?, 'cpu', 1, 0, 0.0)",
        (job.folder,),
    )
    return job


async def test_a_long_journal_is_read_once_for_all_who_ask_and_in_pieces(
    database: Database, job: Job, paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, num_pieces, others = RunMetrics(database), 0, 0
    follow = MetricsFollower.follow

    def count(self: MetricsFollower) -> object:
        nonlocal num_pieces
        num_pieces += 1
        return follow(self)

    monkeypatch.setattr(MetricsFollower, "follow", count)
    monkeypatch.setattr(run_metrics, "_CURVES_TIMEOUT_S", PATIENCE_S)
    asked = [asyncio.create_task(metrics.curves(job)) for _ in range(5)]
    while not all(task.done() for task in asked):
        others += 1
        await asyncio.sleep(0)
    assert len({id(task.result()) for task in asked}) == 1
    assert others >= num_pieces > 100
    assert paths.curves.exists()


async def test_who_asks_for_a_journal_that_takes_long_is_told_how_far_it_is(
    database: Database, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_metrics, "_CURVES_TIMEOUT_S", 0.0)
    metrics = RunMetrics(database)
    with pytest.raises(DaemonError, match=r"1-fake: its journal is being read for the curves, \d+% so far; try again"):
        await metrics.curves(job)
    monkeypatch.setattr(run_metrics, "_CURVES_TIMEOUT_S", PATIENCE_S)
    assert (await metrics.curves(job)).read(columns=["loss"], axis="step", points=10)["loss"]
