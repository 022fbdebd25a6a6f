"""Gate rows A6, A13, D1, D3: daemons and runners are killed again and again over fake ranks; clocks jump."""

from __future__ import annotations

import copy
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bertd.records import JobState
from bertd.run.ledger import ChargedClock, read_ledger
from tests.daemon.daemon_box import DaemonBox
from tests.faults.invariants import Witness, assert_sound
from tests.faults.tally import Tally
from tests.jobs.fake_ranks import Plan
from tests.jobs.runner_box import RunnerBox
from tests.waiting import still_alive, wait_for

SEED = 11


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[DaemonBox]:
    """A daemon that is not started."""
    box = DaemonBox(tmp_path)
    yield box
    box.clean_up()


def rest(box: DaemonBox, witness: Witness) -> None:
    """Stop the daemon as a person would, and check the invariants of what it leaves."""
    assert box.stop() == 0, box.log
    assert_sound(box.state.root, witness, has_real_checkpoints=False)


@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.faults)])
def test_killing_the_daemon_costs_a_run_no_step(cold: DaemonBox, tally: Tally, kills: int) -> None:
    chooser, witness, box = random.Random(SEED), Witness(), cold
    box.plan(Plan(step_s=0.05, checkpoint_every=20))
    box.start()
    # Nearly as long as the kills take on an idle machine; the rest must fit into the timeout of the wait.
    job = box.submit(steps=25 * kills)
    for _ in range(kills):
        threading.Event().wait(chooser.uniform(0.0, 0.5))
        tally.fault()
        box.kill()
        box.start()
    box.wait_for_state(job.id, JobState.DONE)
    steps = box.steps(job.id)
    assert steps == list(range(1, 25 * kills + 1)), "a step was lost or done twice"
    assert box.client.run(job.id).restarts == 0
    rest(box, witness)
    tally.sound()


@pytest.mark.parametrize("kills", [pytest.param(2, marks=pytest.mark.long), pytest.param(20, marks=pytest.mark.faults)])
def test_a_killed_runner_takes_its_ranks_along_and_its_run_goes_on(cold: DaemonBox, tally: Tally, kills: int) -> None:
    chooser, witness, box = random.Random(SEED), Witness(), cold
    box.plan(Plan(step_s=0.01, checkpoint_every=10))
    box.start()
    job = box.submit(steps=150 * kills)
    for number in range(kills):
        box.wait_for_state(job.id, JobState.RUNNING)
        # Wait for a new step: after the third kill without progress the run would be given up.
        box.wait_for_step(job.id, 60 * (number + 1))
        threading.Event().wait(chooser.uniform(0.0, 0.1))
        runner = psutil.Process(box.runner(job.id).pid)
        below = runner.children(recursive=True)
        clock = ChargedClock(box.run_paths(job.id).ledger)
        tally.fault()
        ticked_s, charged_s = read_ledger(box.run_paths(job.id).ledger).ticked_s, clock.now_s()
        os.kill(runner.pid, signal.SIGKILL)
        assert still_alive(below) == []
        started = number + 2
        box.wait_for_record(job.id, "start", count=started)
        records = box.records(job.id)
        start = [record for record in records if record.kind == "start"][-1]
        assert start.kind == "start"
        assert start.charged_s >= ticked_s
        tally.ledger_errors_s.append(max(0.0, charged_s - start.charged_s))
    box.wait_for_state(job.id, JobState.DONE)
    rest(box, witness)
    tally.sound()


@pytest.mark.faults
def test_daemon_and_runner_killed_together_are_a_reboot(cold: DaemonBox, tally: Tally) -> None:
    witness, box = Witness(), cold
    box.plan(Plan(step_s=0.01, checkpoint_every=10))
    box.start()
    job = box.submit(steps=100)
    box.wait_for_step(job.id, 20)
    tally.fault()
    box.kill()
    os.kill(box.runner(job.id).pid, signal.SIGKILL)
    box.start()
    box.wait_for_state(job.id, JobState.DONE)
    assert box.steps(job.id)[-1] == 100
    rest(box, witness)
    tally.sound()


@pytest.mark.faults
def test_of_two_daemons_on_one_folder_the_second_changes_nothing(cold: DaemonBox, tally: Tally) -> None:
    witness, box = Witness(), cold
    box.plan(Plan(step_s=0.02))
    box.start()
    job = box.submit(steps=60)
    second = copy.copy(box)
    for number in range(3):
        tally.fault()
        second.log_path = box.folder / f"second-{number}.log"
        second.spawn(socket=str(box.folder / f"other-{number}.sock"))
        assert second.exit_code() == 75
        assert f"pid {box.process.pid if box.process else 0}" in second.log
    box.wait_for_state(job.id, JobState.DONE)
    rest(box, witness)
    tally.sound()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc to build the clock's shim")
@pytest.mark.long
def test_steps_of_the_wall_clock_change_no_charge(tmp_path: Path, tally: Tally) -> None:
    shim, offset = tmp_path / "shift.so", tmp_path / "offset"
    source = Path(__file__).with_name("shift_clock.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(shim), str(source), "-ldl"], check=True)
    offset.write_text("0")
    box, witness = RunnerBox(tmp_path), Witness()
    began_s = time.monotonic()
    shifted = {"LD_PRELOAD": str(shim), "BERTD_TEST_CLOCK": str(offset)}
    os.environ.update(shifted)
    try:
        box.start(Plan(hold_at=7))
    finally:
        for name in shifted:
            del os.environ[name]
    box.wait_for_record("step", count=7)
    ticks = []
    for step_s in (86_400, -86_400, 3_600, -10_000_000):
        tally.fault()
        offset.write_text(str(step_s))
        before_s = box.ledger.ticked_s
        wait_for(lambda before_s=before_s: box.ledger.ticked_s > before_s, what="a tick")  # type: ignore[misc]
        ticks.append(box.ledger.ticked_s)
    box.release()
    assert box.outcome().state is JobState.DONE
    assert ticks == sorted(ticks)
    assert 0 < box.ledger.ticked_s <= time.monotonic() - began_s
    # The shim worked: the timestamps for display jumped.
    stamps = [float(str(record["t"])) for kind in ("step", "end") for record in box.records(kind)]
    assert max(stamps) - min(stamps) > 1_000_000
    assert_sound(box.paths.root, witness, has_real_checkpoints=False)
    tally.sound()
