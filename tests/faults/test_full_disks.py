"""Gate rows B2, B5, B9: disks that are full or read-only under a run and under the daemon."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from bertd.api.models import SubmitPretrain
from bertd.errors import StorageError
from bertd.records import CommandKind, JobState
from bertd.run.ledger import ChargedClock
from bertd.run.mailbox import post
from bertd.run.paths import StatePaths
from tests.daemon.daemon_box import DaemonBox
from tests.faults.disks import fill, make_read_only, small_disk
from tests.faults.invariants import Witness, assert_sound
from tests.faults.real_run import RealRun
from tests.faults.tally import Tally
from tests.jobs.fake_ranks import Plan
from tests.jobs.runner_box import RunnerBox
from tests.waiting import wait_for

HOLDS = Plan(hold_at=7)


def test_a_runner_whose_disk_is_full_keeps_its_ranks_and_charges_on(tmp_path: Path, tally: Tally) -> None:
    with small_disk(tmp_path / "disk", size_bytes=1 << 20) as root:
        witness, box = Witness(), RunnerBox(root)
        box.start(HOLDS, steps=30)
        box.wait_for_record("step", count=7)
        tally.fault()
        ballast = fill(root)
        before_s = box.ledger.ticked_s
        wait_for(lambda: "cannot write" in box.log or _charged_now(box) > before_s + 2.5, what="some ticks")
        assert box.process is not None and box.process.poll() is None, box.log
        ballast.unlink()
        box.release()
        assert box.outcome().state is JobState.DONE
        assert box.records("restart") == []
        assert_sound(root, witness, has_real_checkpoints=False)
        tally.sound()


def _charged_now(box: RunnerBox) -> float:
    return ChargedClock(box.paths.ledger).now_s()


def test_a_daemon_whose_disk_is_full_answers_and_takes_orders_again_when_there_is_room(
    tmp_path: Path, tally: Tally
) -> None:
    with small_disk(tmp_path / "disk", size_bytes=400 << 20) as root:
        witness, box = Witness(), DaemonBox(root)
        try:
            box.plan(HOLDS)
            box.start()
            job = box.client.submit(tiny(box, steps=30))
            box.wait_for_step(job.id, 7)
            tally.fault()
            ballast = fill(root)
            with pytest.raises(StorageError):
                box.client.submit(tiny(box, steps=5))
            with pytest.raises(StorageError):
                while True:
                    # Until the WAL's own space is used up.
                    box.client.checkpoint(job.id)
            assert box.client.status().jobs, "reading works"
            ballast.unlink()
            box.release()
            box.wait_for_state(job.id, JobState.DONE)
            box.plan(Plan())
            box.wait_for_state(box.client.submit(tiny(box, steps=5)).id, JobState.DONE)
            assert box.stop() == 0
            assert_sound(box.state.root, witness, has_real_checkpoints=False)
            tally.sound()
        finally:
            box.clean_up()


def tiny(box: DaemonBox, *, steps: int) -> SubmitPretrain:
    """A run whose checkpoints need a few megabytes."""
    order = box.pretraining(steps=steps)
    small = ["model.layers=1", "model.width=16", "model.heads=2", "model.ffn=16", "checkpoint.keep=1"]
    return order.model_copy(update={"overrides": small})


def test_a_state_folder_that_is_read_only_is_refused_with_its_place(tmp_path: Path, tally: Tally) -> None:
    with small_disk(tmp_path / "disk", size_bytes=4 << 20) as root:
        box = DaemonBox(tmp_path)
        make_read_only(root, is_read_only=True)
        tally.fault()
        box.state = StatePaths(root / "state")
        box.spawn()
        assert box.exit_code() == StorageError.exit_code
        assert f"{root / 'state'}: cannot make the state folder: Read-only file system" in box.log
        tally.sound()


@pytest.mark.faults
def test_a_disk_that_turns_read_only_under_a_run_ends_it_with_a_reason(tmp_path: Path, tally: Tally) -> None:
    with small_disk(tmp_path / "disk", size_bytes=4 << 20) as root:
        box = RunnerBox(root)
        box.start(HOLDS)
        box.wait_for_record("step", count=7)
        box.post(CommandKind.PAUSE)
        outcome = box.outcome()
        assert outcome.state is JobState.PAUSED
        shutil.copytree(box.paths.root, tmp_path / "copy")
        make_read_only(root, is_read_only=True)
        tally.fault()
        with pytest.raises(OSError, match="Read-only"):
            box.run()
        make_read_only(root, is_read_only=False)
        assert box.run(Plan()).state is JobState.DONE
        tally.sound()


@pytest.mark.faults
def test_two_ranks_train_on_while_the_disk_is_full_and_pause_at_once_when_there_is_room(
    tmp_path: Path, dataset: Path, tally: Tally
) -> None:
    with small_disk(tmp_path / "disk", size_bytes=400 << 20) as root:
        run = RealRun(root / "1-tiny", dataset, steps=10_000_000, count=2)
        try:
            run.start()
            run.wait_for_progress(attempt=1)
            assert list(run.paths.root.glob(".tmp-*")) == [], "a file store on this disk would be torn when it is full"
            tally.fault()
            ballast = fill(root)
            steps = run.heartbeat_steps()
            wait_for(lambda: run.heartbeat_steps() > steps + 500, what="steps on a full disk")
            ballast.unlink()
            post(run.paths.control, verb=CommandKind.PAUSE, asked_by="a test", now=time.time())
            assert run.outcome().state is JobState.PAUSED
            assert "did not end" not in run.log
            tally.sound()
        finally:
            run.kill()
