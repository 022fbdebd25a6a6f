"""The wall clock is set while the daemon runs: begin times and hours follow it, and no charge does."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan
from tests.waiting import wait_for

SHIM = Path(__file__).parents[1] / "faults" / "shift_clock.c"
HOUR_S = 3600


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc to build the clock's shim")
def test_begin_times_and_hours_follow_a_clock_that_is_set_and_the_charge_does_not(
    cold: DaemonBox, tmp_path: Path
) -> None:
    box, offset, shim = cold, tmp_path / "offset", tmp_path / "shift.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(shim), str(SHIM), "-ldl"], check=True)

    def set_clock(seconds: int) -> None:
        # Whole, since the daemon reads it at each look at the clock.
        offset.with_name("next").write_text(str(seconds))
        offset.with_name("next").rename(offset)

    set_clock(0)
    box.plan(Plan(hold_at=3))
    began_s = time.monotonic()
    box.start(env={"TZ": "UTC0", "LD_PRELOAD": str(shim), "BERTD_TEST_CLOCK": str(offset)})
    hour = time.gmtime().tm_hour
    hours = f"{(hour - 2) % 24:02d}:00-{(hour + 6) % 24:02d}:00"
    run = box.client.submit(box.pretraining(steps=6).model_copy(update={"only": hours}))
    later = box.client.submit(box.pretraining(steps=6).model_copy(update={"begin": "+2h"}))
    box.wait_for_step(run.id, 3)
    assert box.wait_for_state(later.id, JobState.QUEUED).expected_start_t is not None

    set_clock(3 * HOUR_S)
    box.wait_for_step(later.id, 3)
    assert box.client.job(run.id).state is JobState.RUNNING

    set_clock(12 * HOUR_S)
    closed = box.wait_for_state(run.id, JobState.QUEUED)
    wait_for(lambda: "outside of its hours" in box.client.job(run.id).reason, what=f"{box.client.job(run.id)}")
    assert closed.devices == []
    wait_for(lambda: box.client.job(run.id).expected_start_t is not None, what="when it is expected to continue")
    expected_t = box.client.job(run.id).expected_start_t
    assert expected_t is not None and expected_t > time.time() + 12 * HOUR_S

    set_clock(-24 * HOUR_S)
    wait_for(lambda: box.client.job(run.id).state is JobState.RUNNING, what=f"{box.client.job(run.id)}\n{box.log}")
    assert box.client.job(later.id).state is JobState.RUNNING, "what has begun goes on before its begin"
    box.release()
    for job in (run, later):
        box.wait_for_state(job.id, JobState.DONE)
        assert box.steps(job.id) == list(range(1, 7))
        view = box.client.run(job.id)
        assert view.steps_lost == 0
        assert 0 < view.budget.charged_s <= time.monotonic() - began_s
    assert "Traceback" not in box.log
