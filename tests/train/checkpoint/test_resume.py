"""An interrupted run ends as an uninterrupted one: bit for bit on CPU, from any step, on one rank and on two.

tests/train/interruptions.py has the ways to end an attempt; tests/jobs and tests/daemon end processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w
import torch

from bertd.daemon.scheduling.devices.device_counts import apply_device_count
from bertd.errors import CheckpointError
from bertd.records import AlertRecord, EndRecord, StartRecord, StepRecord
from bertd.run.paths import RunPaths, newest_first
from bertd.train.checkpoint.format import read_state
from bertd.train.checkpoint.resume import StartingPoint
from bertd.train.loop.spike_detector import SpikeDetector
from bertd.train.start_report import _collect_resume_warnings
from tests.train.checkpoint.test_format import state_at
from tests.train.interruptions import ONE_TO_TWO, TWO_TO_ONE, WHOLE, Way, interrupt
from tests.train.loop.test_trainer import final_weights, kind_of, make_run, run_to_end
from tests.waiting import PATIENCE_S

EPOCHS = ("data.sequence_length=128", "batch.sequences=90", "batch.micro=45", "budget.steps=5", "model.layers=1")
"""Three steps per epoch."""
ON_ANY_NUMBER = ("model.dropout=0.0", "model.attention_dropout=0.0", "budget.steps=8")
"""Without dropout, which each rank draws separately and so depends on the number of ranks."""


def assert_equal_ends(whole: RunPaths, resumed: RunPaths) -> None:
    ours, theirs = final_weights(whole), final_weights(resumed)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    (one,), (two,) = kind_of(whole, EndRecord), kind_of(resumed, EndRecord)
    assert (one.validation_loss, one.step, one.sequences) == (two.validation_loss, two.step, two.sequences)
    losses = {record.step: record.loss for record in kind_of(whole, StepRecord)}
    # Reports cover the steps since the last one, so only the first, of a single step, is comparable.
    assert losses[1] == kind_of(resumed, StepRecord)[0].loss


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> RunPaths:
    paths = make_run(tmp_path_factory.mktemp("whole") / "run", dataset, *EPOCHS)
    with pytest.MonkeyPatch.context() as patch:
        # As in the tests: another number of threads would sum in another order.
        patch.setattr(os, "sched_getaffinity", lambda _: {0})
        run_to_end(paths)
    (start,) = kind_of(paths, StartRecord)
    assert start.train_sequences == 3 * 90
    return paths


@pytest.mark.parametrize(
    ("at", "validates", "way"),
    [
        pytest.param(0, False, Way.PAUSE, id="before the first step: pause"),
        pytest.param(1, False, Way.KILL, id="behind the first step: kill"),
        pytest.param(3, False, Way.PAUSE, id="at the edge of an epoch: pause"),
        pytest.param(3, False, Way.KILL, id="at the edge of an epoch: kill"),
        pytest.param(4, True, Way.SIGTERM, id="mid epoch, right after a validation: SIGTERM"),
        pytest.param(2, True, Way.KILL, id="mid epoch, right after a validation: kill"),
    ],
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    tmp_path: Path, dataset: Path, whole: RunPaths, at: int, validates: bool, way: Way
) -> None:
    resumed = make_run(tmp_path / "resumed", dataset, *EPOCHS)

    interrupt(resumed, at=at, way=way, validates=validates)
    run_to_end(resumed, number=2)

    assert [start.step for start in kind_of(resumed, StartRecord)] == [0, at]
    assert_equal_ends(whole, resumed)


def test_a_run_resumed_after_a_skipped_step_keeps_its_loss_scale(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real fp16 on CPU with torch's scaler, whose initial scale is raised so that the first steps overflow.

    A resume that lost the scale would skip steps again.
    """
    monkeypatch.setattr("bertd.train.loop.train_step._INITIAL_SCALE", 2.0**21)
    whole, resumed = (make_run(tmp_path / name, dataset, "precision.mode=fp16") for name in ("whole", "resumed"))
    run_to_end(whole)

    interrupt(resumed, at=1, way=Way.PAUSE)
    saved = read_state(newest_first(resumed.checkpoints)[0])
    run_to_end(resumed, number=2)

    assert saved.scaler is not None and saved.scaler.scale < 2.0**21 and saved.skipped_steps == 1
    assert read_state(newest_first(whole.checkpoints)[0]).skipped_steps < 12
    assert_equal_ends(whole, resumed)
    ends = [read_state(newest_first(paths.checkpoints)[0]) for paths in (whole, resumed)]
    assert ends[0].scaler == ends[1].scaler and ends[0].skipped_steps == ends[1].skipped_steps


def test_a_run_resumes_from_the_checkpoint_before_a_damaged_one_and_reports_it(tmp_path: Path, dataset: Path) -> None:
    whole, resumed = (make_run(tmp_path / name, dataset) for name in ("whole", "resumed"))
    run_to_end(whole)
    for step in (2, 4):
        interrupt(resumed, at=step, way=Way.PAUSE)
    weights = resumed.checkpoints / "step-000000004" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)

    run_to_end(resumed, number=3)

    assert [start.step for start in kind_of(resumed, StartRecord)] == [0, 2, 2]
    (alert,) = kind_of(resumed, AlertRecord)
    assert alert.code == "checkpoint_skipped"
    assert "step-000000004: model.safetensors was changed since it was written; resumed from step 2" in alert.message
    assert (resumed.checkpoints / "damaged-step-000000004").is_dir()
    assert_equal_ends(whole, resumed)


def test_the_spike_detector_continues_where_it_was(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset)
    interrupt(paths, at=5, way=Way.PAUSE)

    band = SpikeDetector(read_state(newest_first(paths.checkpoints)[0]).band, vocab_size=30522)

    assert band.state.seen == len(kind_of(paths, StepRecord)) > 0
    assert band.upper_bound > band.state.mean > 0


@pytest.mark.slow
@pytest.mark.long
def test_two_ranks_resume_bit_for_bit_and_other_numbers_of_ranks_nearly(tmp_path: Path, dataset: Path) -> None:
    for name in (WHOLE, *Way):
        make_run(tmp_path / name, dataset, "devices.count=2", "budget.steps=8")
    one_to_two = make_run(tmp_path / ONE_TO_TWO, dataset, *ON_ANY_NUMBER)
    two_to_one = make_run(tmp_path / TWO_TO_ONE, dataset, *ON_ANY_NUMBER, "devices.count=2")
    interrupt(one_to_two, at=5, way=Way.KILL)
    apply_device_count(one_to_two, 2, step=5, now=0.0)

    ranks = [
        subprocess.Popen([sys.executable, "-m", "tests.train.interruptions", str(rank), str(tmp_path)])
        for rank in range(2)
    ]
    try:
        assert [rank.wait(PATIENCE_S) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()

    for way in Way:
        assert [start.step for start in kind_of(RunPaths(tmp_path / way), StartRecord)] == [0, 5]
        assert_equal_ends(RunPaths(tmp_path / WHOLE), RunPaths(tmp_path / way))
    assert [start.world_size for start in kind_of(one_to_two, StartRecord)] == [1, 2]
    alone = make_run(tmp_path / "alone", dataset, *ON_ANY_NUMBER)
    run_to_end(alone)
    assert_nearly_equal_ends(alone, one_to_two)
    apply_device_count(two_to_one, 1, step=5, now=0.0)
    run_to_end(two_to_one, number=2)
    assert_nearly_equal_ends(alone, two_to_one)


def assert_nearly_equal_ends(ours: RunPaths, theirs: RunPaths) -> None:
    """Nearly, because sums over ranks are in another order; nothing else differs."""
    one, two = final_weights(ours), final_weights(theirs)
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    (end,), (other,) = kind_of(ours, EndRecord), kind_of(theirs, EndRecord)
    assert end.validation_loss == pytest.approx(other.validation_loss, abs=1e-5)
    assert end.sequences == other.sequences


def test_nothing_but_the_devices_of_a_recipe_may_change(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset)
    interrupt(paths, at=2, way=Way.PAUSE)
    paths.recipe.write_text(paths.recipe.read_text().replace("peak_lr = 0.005", "peak_lr = 0.006"))

    with pytest.raises(CheckpointError, match="recipe.toml was changed since"):
        run_to_end(paths, number=2)


def test_a_ledger_that_is_behind_the_checkpoint_is_reported() -> None:
    starting_point = StartingPoint(state=state_at(4).model_copy(update={"charged_s": 130.0}), skipped=[])
    assert _collect_resume_warnings(starting_point, charged_s=129.0) == {}
    warning = _collect_resume_warnings(starting_point, charged_s=100.0)["ledger_behind"]
    assert warning.startswith("the ledger has 100 s, and the checkpoint was saved at 130 s")


def test_a_key_that_a_later_bertd_adds_does_not_change_an_older_run(tmp_path: Path, dataset: Path) -> None:
    """The recipe.toml of an older bertd, and so the hash in its checkpoints, lacks keys that have their defaults."""
    paths = make_run(tmp_path / "run", dataset)
    tree = tomllib.loads(paths.recipe.read_text())
    for section, key in (("optimizer", "kind"), ("batch", "ramp"), ("validation", "early_every"), ("devices", "kind")):
        assert tree[section].pop(key) is not None
    assert tree.pop("masking") and tree.pop("stop")
    older = tomli_w.dumps(tree | {"devices": {"count": 1, "kind": "cpu"}})
    paths.recipe.write_text(older)
    interrupt(paths, at=2, way=Way.PAUSE)
    apply_device_count(paths, 2, step=2, now=0.0)
    apply_device_count(paths, 1, step=2, now=0.0)

    run_to_end(paths, number=2)

    assert [start.step for start in kind_of(paths, StartRecord)] == [0, 2]
    assert tomllib.loads(paths.recipe.read_text()) == tomllib.loads(older), "no key was added"
