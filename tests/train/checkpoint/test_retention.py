"""Retention keeps the newest, those at markers, and the best; the newest valid checkpoint is never deleted."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from bertd.errors import CheckpointError
from bertd.run.checkpoint_index import protect, read_checkpoint_index
from bertd.run.disk_quota import write_disk_quota
from bertd.run.paths import RunPaths, newest_first, step_of
from bertd.train.checkpoint.disk_space import free_disk_space
from bertd.train.checkpoint.format import MODEL, find_checkpoint, save_checkpoint
from bertd.train.checkpoint.retention import Retention, reasons_to_keep
from bertd.train.state import TrainState
from tests.train.checkpoint.test_format import on_host, state_at, trained


def at(
    step: int, *, loss: float | None = None, validated: int | None = None, markers: list[float] | None = None
) -> TrainState:
    return state_at(step).model_copy(
        update={"validation_loss": loss, "validation_step": validated, "markers": markers or []}
    )


def test_each_checkpoint_stays_for_a_reason_or_goes() -> None:
    states = [
        at(60, loss=2.0, validated=60),
        at(50, loss=1.7, validated=40),
        at(40, loss=1.7, validated=40),
        at(30, loss=2.2, validated=20, markers=[0.25, 0.5]),
        at(20, loss=2.2, validated=20),
        at(10),
    ]

    assert reasons_to_keep(states, keep=2) == {
        60: ["newest"],
        50: ["newest but 1"],
        40: ["best validation loss 1.7000 of step 40"],
        30: ["marker 0.25", "marker 0.5"],
    }


def test_the_newest_stays_and_a_loss_that_is_not_a_number_is_not_the_best() -> None:
    assert reasons_to_keep([at(2, loss=float("nan")), at(1, loss=float("inf"))], keep=1) == {2: ["newest"]}
    assert reasons_to_keep([], keep=3) == {}


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path)
    tensors = on_host(*trained())
    for step in (1, 2, 3, 4):
        save_checkpoint(paths.checkpoints, tensors=tensors, state=at(step, markers=[0.1] if step == 1 else None))
    return paths


def steps_of(paths: RunPaths) -> list[int]:
    return [step_of(folder) for folder in newest_first(paths.checkpoints)]


def test_pruning_writes_down_why_the_rest_stays_and_sweeps_what_crashes_left(paths: RunPaths) -> None:
    (paths.checkpoints / ".tmp-step-000000009-1").mkdir()
    (paths.checkpoints / ".trash-step-000000000").mkdir()
    (paths.checkpoints / ".tmp-kept.json-1-1").touch()

    Retention(paths, keep=2).prune(trusted=paths.checkpoints / "step-000000004")

    assert steps_of(paths) == [4, 3, 1]
    kept = read_checkpoint_index(paths).checkpoints
    assert [(each.step, each.reasons) for each in kept] == [
        (4, ["newest"]),
        (3, ["newest but 1"]),
        (1, ["marker 0.1"]),
    ]
    assert kept[0].size_bytes > 1000
    assert len(list(paths.checkpoints.iterdir())) == 3 + 1


def test_checkpoints_that_a_rollback_voids_are_no_longer_listed_and_exports_stay(paths: RunPaths) -> None:
    retention = Retention(paths, keep=4)
    retention.prune(trusted=paths.checkpoints / "step-000000004")
    (paths.exports / "step-000000004").mkdir(parents=True)
    (paths.exports / ".tmp-step-000000003-4000000").mkdir()

    retention.discard_above(2)

    assert steps_of(paths) == [2, 1]
    assert [each.step for each in read_checkpoint_index(paths).checkpoints] == [2, 1]
    assert [entry.name for entry in paths.exports.iterdir()] == ["step-000000004"]


def test_freeing_space_keeps_the_newest_valid_checkpoint(paths: RunPaths) -> None:
    for step in (3, 4):
        (paths.checkpoints / f"step-{step:09d}" / MODEL).write_bytes(b"")
    (paths.checkpoints / "damaged-step-000000007").mkdir()
    retention = Retention(paths, keep=3)
    assert retention.prunable_bytes() == 0

    retention.free_disk_space()

    # 3 and 4 are damaged, so 2 is the newest valid one and stays.
    assert steps_of(paths) == [4, 3, 2, 1]
    found = find_checkpoint(paths.checkpoints)
    assert found is not None and found.folder.name == "step-000000002"
    assert not (paths.checkpoints / "damaged-step-000000007").exists()


def test_a_checkpoint_that_is_read_stays_until_the_save_after(paths: RunPaths) -> None:
    retention = Retention(paths, keep=1)
    newest = paths.checkpoints / "step-000000004"
    with protect(paths.checkpoints / "step-000000002"):
        retention.prune(trusted=newest)
    assert steps_of(paths) == [4, 2, 1]
    assert read_checkpoint_index(paths).checkpoints[1].reasons == ["being read"]

    retention.prune(trusted=newest)

    assert steps_of(paths) == [4, 1]
    with (
        pytest.raises(CheckpointError, match="was deleted; use a newer one"),
        protect(paths.checkpoints / "step-000000002"),
    ):
        pass


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))])
def test_whatever_retention_does_exports_and_checkpoints_of_markers_stay(tmp_path: Path, seed: int) -> None:
    """Finetuning reads an export, also while it is queued; `bertd export RUN@MARKER` reads a checkpoint."""
    chooser, paths = random.Random(seed), RunPaths(tmp_path)
    retention = Retention(paths, keep=chooser.choice([1, 2]))
    tensors = on_host(*trained())
    exported: dict[Path, bytes] = {}
    marked: dict[int, float] = {}
    for step in range(1, 15):
        markers = [step / 100] if chooser.random() < 0.25 else []
        loss = chooser.choice([None, chooser.uniform(1, 9), float("nan")])
        folder = save_checkpoint(paths.checkpoints, tensors=tensors, state=at(step, loss=loss, markers=markers))
        if markers:
            marked[step] = markers[0]
        if markers or chooser.random() < 0.1:
            weights = paths.exports / folder.name / "model.safetensors"
            weights.parent.mkdir(parents=True)
            weights.write_bytes(b"%d" % step)
            exported[weights] = weights.read_bytes()
        (paths.exports / f".tmp-step-{step:09d}-4000000").mkdir(parents=True)
        if step > 3 and chooser.random() < 0.15:
            # Damage one that is not the newest valid checkpoint.
            (newest_first(paths.checkpoints)[1] / MODEL).write_bytes(b"")
        if chooser.random() < 0.5:
            retention.prune(trusted=folder)
        else:
            retention.free_disk_space()
        if step in (7, 11):
            older = [each for each in steps_of(paths) if each <= step - 2]
            if older:
                retention.discard_above(older[0])
                marked = {each: marker for each, marker in marked.items() if each <= older[0]}

        assert {weights: weights.read_bytes() for weights in exported} == exported
        assert marked.keys() <= set(steps_of(paths))
        assert {step: [marker] for step, marker in marked.items()} == {
            each.step: each.markers for each in read_checkpoint_index(paths).checkpoints if each.markers
        }
        assert len(steps_of(paths)) <= len(marked) + 2 + 2
    assert not list(paths.exports.glob(".tmp-*")) and exported


def test_checkpoints_kept_only_by_age_are_deleted_when_space_is_needed(paths: RunPaths) -> None:
    retention = Retention(paths, keep=3)
    size = sum(entry.stat().st_size for entry in (paths.checkpoints / "step-000000003").iterdir())
    assert retention.prunable_bytes() == pytest.approx(2 * size, rel=0.01)

    retention.free_disk_space()

    assert steps_of(paths) == [4, 1]
    assert json.loads(paths.kept.read_text())["checkpoints"][1]["markers"] == [0.1]


def test_a_run_over_its_quota_frees_what_is_kept_only_by_age_and_saves_all_the_same(paths: RunPaths) -> None:
    retention = Retention(paths, keep=3)
    write_disk_quota(paths, 10**9)
    free_disk_space(paths, retention, needed_bytes=1000, step=5)
    assert steps_of(paths) == [4, 3, 2, 1]

    write_disk_quota(paths, 1000)
    for _ in range(2):
        # Nothing more can go the second time, and it is no reason not to save.
        free_disk_space(paths, retention, needed_bytes=1000, step=5)
        assert steps_of(paths) == [4, 1]


def test_a_damaged_quota_is_reported_in_the_log_and_deletes_nothing(
    paths: RunPaths, capfd: pytest.CaptureFixture[str]
) -> None:
    paths.disk_quota.write_text("{}")
    free_disk_space(paths, Retention(paths, keep=3), needed_bytes=1000, step=5)
    assert steps_of(paths) == [4, 3, 2, 1]
    assert "no quota applies: not a quota" in capfd.readouterr().out
