"""`bertd resume ID --devices N` from the command to the weights: a real daemon, real ranks, first fewer, then more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bertd.api.models import SubmitPretrain
from bertd.records import DevicesRecord, EndRecord, JobState, StartRecord, StateRecord, StepRecord
from bertd.run.journal import read_journal
from bertd.run.ledger import TICK_S, read_ledger
from bertd.run.paths import RunPaths, newest_first
from tests.faults.invariants import Witness, assert_sound
from tests.faults.real_daemon import RealDaemonBox
from tests.faults.real_run import BATCH, recipe
from tests.jobs.runner_box import with_tests_on_path
from tests.waiting import PATIENCE_S, wait_for

STEPS = 600
TOLERANCE = 1e-4
"""Tolerance of the loss, and of the weights relative to their norm: sums are added in another order."""


def submission(dataset: Path) -> SubmitPretrain:
    """Two ranks, without dropout, because each rank draws its own random numbers."""
    text = recipe(dataset, steps=STEPS, count=2).replace("peak_lr = 5e-3", "peak_lr = 5e-4")
    text = text.replace("[model]", "[model]\ndropout = 0.0\nattention_dropout = 0.0")
    return SubmitPretrain(recipe_toml=text, recipe_name="tiny.toml")


def resume_on(box: RealDaemonBox, id: int, *, devices: int) -> None:
    """Run a command as a person types it."""
    command = [sys.executable, "-m", "bertd", "resume", str(id), "--devices", str(devices)]
    subprocess.run([*command, "--socket", str(box.socket)], check=True, env=with_tests_on_path(), timeout=PATIENCE_S)


def train_and_pause(box: RealDaemonBox, id: int, paths: RunPaths, *, attempt: int) -> None:
    """Some steps of one attempt, then a pause."""

    def has_trained() -> bool:
        records = read_journal(paths.journal)
        starts = [place for place, record in enumerate(records) if isinstance(record, StartRecord)]
        return len(starts) == attempt and any(isinstance(record, StepRecord) for record in records[starts[-1] :])

    wait_for(has_trained, what=f"a step of attempt {attempt}; {box.client.job(id)}\n{box.log}")
    box.client.pause(id)
    box.wait_for_state(id, JobState.PAUSED)


def weights(paths: RunPaths) -> torch.Tensor:
    """All weights of the newest checkpoint as one vector, without the output bias, whose padding entries dominate."""
    loaded = load_file(newest_first(paths.checkpoints)[0] / "model.safetensors")
    del loaded["head.bias"]
    return torch.cat([loaded[name].flatten().double() for name in sorted(loaded)])


@pytest.mark.faults
def test_a_run_goes_on_on_fewer_and_on_more_devices_with_the_same_sequences(
    real_box: RealDaemonBox, dataset: Path
) -> None:
    box, witness = real_box, Witness()
    untouched = box.client.submit(submission(dataset))
    box.wait_for_state(untouched.id, JobState.DONE)
    job = box.client.submit(submission(dataset))
    paths = box.state.run(f"{job.id}-tiny")
    train_and_pause(box, job.id, paths, attempt=1)
    resume_on(box, job.id, devices=1)
    train_and_pause(box, job.id, paths, attempt=2)
    resume_on(box, job.id, devices=2)
    box.wait_for_state(job.id, JobState.DONE)
    assert box.stop() == 0

    records = read_journal(paths.journal)
    starts = [record for record in records if isinstance(record, StartRecord)]
    assert [record.world_size for record in starts] == [2, 1, 2]
    changes = [(record.before, record.after) for record in records if isinstance(record, DevicesRecord)]
    assert changes == [(2, 1), (1, 2)]
    pauses = [record for record in records if isinstance(record, StateRecord) and record.state is JobState.PAUSED]
    assert [record.step for record in pauses] == [record.step for record in starts[1:]], "no step is lost or repeated"
    assert all(record.sequences == BATCH * record.step for record in records if isinstance(record, StepRecord))
    for pause, start in zip(pauses, starts[1:], strict=True):
        assert start.charged_s >= pause.charged_s - TICK_S
    end = records[-1]
    assert isinstance(end, EndRecord) and (end.step, end.lr) == (STEPS, 0.0)
    assert read_ledger(paths.ledger).ticked_s == pytest.approx(end.charged_s, abs=1.5 * TICK_S)
    assert_sound(box.state.root, witness)

    reference = box.state.run(f"{untouched.id}-tiny")
    theirs, ours = weights(reference), weights(paths)
    assert float((ours - theirs).norm() / theirs.norm()) < TOLERANCE
    expected = read_journal(reference.journal)[-1]
    assert isinstance(expected, EndRecord) and expected.validation_loss is not None
    assert end.validation_loss == pytest.approx(expected.validation_loss, abs=TOLERANCE)
