"""Effective training time under one kill every 20 s: what share of the wall clock went into steps that were kept."""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time
from pathlib import Path

import psutil
import pytest

from bertd.api.models import SubmitPretrain
from bertd.records import CheckpointRecord, JobState, JournalRecord, StepRecord
from bertd.run.journal import read_journal
from tests.daemon.daemon_box import DaemonBox
from tests.faults.invariants import Witness, assert_sound
from tests.faults.real_daemon import RealDaemonBox
from tests.faults.real_run import BATCH, recipe
from tests.faults.tally import Tally, losses_s, restarts_s
from tests.waiting import wait_for

KILL_EVERY_S = 20.0
DURATION_S = float(os.environ.get("BERTD_FAULTS_SECONDS", "600"))
"""A shorter run only tries the test out; its number is not meaningful."""
NEVER_REACHED = 10_000_000
SEED = 17


@pytest.mark.faults
@pytest.mark.timeout(5400)
def test_training_gets_on_under_a_kill_every_twenty_seconds(
    real_box: RealDaemonBox, dataset: Path, tally: Tally
) -> None:
    box, chooser, witness = real_box, random.Random(SEED), Witness()
    text = recipe(dataset, steps=NEVER_REACHED, count=2)
    job = box.client.submit(SubmitPretrain(recipe_toml=text, recipe_name="tiny.toml"))
    paths = box.state.run(f"{job.id}-tiny")
    began_s, kills = time.monotonic(), {"rank": 0, "launcher": 0, "runner": 0, "daemon": 0}
    next_s, kept = began_s + KILL_EVERY_S, 0
    while next_s < began_s + DURATION_S:
        threading.Event().wait(max(0.0, next_s - time.monotonic()))
        # On a machine so busy that a start takes longer, the run would be given up after three kills without progress.
        kept = _wait_for_save_above(kept, job=job.id, box=box)
        next_s = max(next_s, time.monotonic()) + KILL_EVERY_S
        victim = chooser.choice(list(kills))
        if victim == "daemon":
            tally.fault()
            box.kill()
            box.start()
            kills[victim] += 1
            continue
        found = _find(box, paths.root, victim)
        if found is not None:
            tally.fault()
            found.send_signal(signal.SIGKILL)
            kills[victim] += 1
    elapsed_s = time.monotonic() - began_s
    records = read_journal(paths.journal)
    # A step counts once, when it is saved, however often it was done; its duration is the median.
    kept = _newest_saved_step(records)
    step_s = statistics.median(BATCH / record.sequences_per_s for record in records if isinstance(record, StepRecord))
    ratio = kept * step_s / elapsed_s
    box.client.stop(job.id)
    wait_for(lambda: box.client.job(job.id).state in (JobState.DONE, JobState.FAILED), what="the end")
    assert box.client.job(job.id).state is JobState.DONE, box.client.job(job.id).reason
    assert box.stop() == 0
    tally.losses_s.extend(losses_s(read_journal(paths.journal)))
    told = ", ".join(f"{number} {name}" for name, number in kills.items())
    tally.ratio = f"{ratio:.2f} over {elapsed_s:.0f} s with a kill every {KILL_EVERY_S:.0f} s ({told})"
    if taken := restarts_s(records):
        tally.ratio += f"; {statistics.median(taken):.1f} s from a death to the next step, median of {len(taken)}"
    assert_sound(box.state.root, witness)
    assert kept > 0
    tally.sound()


def _newest_saved_step(records: list[JournalRecord]) -> int:
    return max((record.step for record in records if isinstance(record, CheckpointRecord)), default=0)


def _wait_for_save_above(step: int, *, job: int, box: RealDaemonBox) -> int:
    paths = box.state.run(f"{job}-tiny")

    def is_saved() -> bool:
        view = box.client.job(job)
        assert view.state is not JobState.FAILED, view.reason
        return _newest_saved_step(read_journal(paths.journal)) > step

    wait_for(is_saved, what=f"a checkpoint above step {step}")
    return _newest_saved_step(read_journal(paths.journal))


def _find(box: DaemonBox, root: Path, victim: str) -> psutil.Process | None:
    module = {
        "rank": "bertd.train.distributed.worker",
        "launcher": "bertd.train.distributed.launch",
        "runner": "bertd.jobs.runner",
    }[victim]
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if module in words and str(root) in words:
            return process
    return None
