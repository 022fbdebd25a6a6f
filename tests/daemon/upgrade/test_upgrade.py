"""Today's daemon opens the state folder of an earlier bertd: it continues what was paused and shows what is over."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.jobs.store.schema import SCHEMA_VERSION
from bertd.records import JobState
from bertd.run.journal import read_journal
from bertd.run.ledger import read_ledger
from bertd.run.paths import step_folder_name
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan

EARLIER = Path(__file__).with_name("state_of_3501509")


def schema_version(queue: Path) -> int:
    with sqlite3.connect(queue) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[DaemonBox]:
    """A daemon that has not started, on a copy of the earlier state folder, which was /srv/bertd."""
    box = DaemonBox(tmp_path)
    shutil.copytree(EARLIER, box.state.root)
    # Its weights are left out of the repository, and the fake ranks read only the name.
    (box.state.run("2-longer").checkpoints / step_folder_name(6)).mkdir()
    yield box
    box.clean_up()


def test_the_state_folder_of_an_earlier_version_is_taken_over(box: DaemonBox) -> None:
    assert schema_version(box.state.queue) == 1 < SCHEMA_VERSION
    paths = box.state.run("2-longer")
    charged_s, num_records = read_ledger(paths.ledger).ticked_s, len(read_journal(paths.journal))
    box.plan(Plan(step_s=0.0))
    box.start()

    jobs = {job.name: job.state for job in box.client.jobs()}
    assert jobs == {"short": JobState.DONE, "longer": JobState.PAUSED, "held": JobState.HELD}
    finished = box.client.run("1-short")
    assert finished.end is not None and (finished.end.reason, finished.end.step) == ("budget", 4)
    assert finished.validation is not None and finished.validation.share == 1.0
    series = box.client.series("1-short", x="step", points=10, columns=["loss", "validation"])
    assert [x for x, _ in series.columns["validation"]] == [0, 4]
    assert any(event.run_id == "1-short" and event.type == "end" for event in box.events())

    box.client.resume(2)
    box.wait_for_state(2, JobState.DONE)
    added = read_journal(paths.journal)[num_records:]
    (start,) = [record for record in added if record.kind == "start"]
    assert (start.attempt, start.step) == (2, 6) and start.charged_s >= charged_s
    assert [record.step for record in added if record.kind == "step"][:1] == [7]

    box.client.release(3)
    box.wait_for_state(3, JobState.RUNNING)
    box.client.stop(3)
    box.wait_for_state(3, JobState.DONE)
    box.stop()
    assert schema_version(box.state.queue) == SCHEMA_VERSION
