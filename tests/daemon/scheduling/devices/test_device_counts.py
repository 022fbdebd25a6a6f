from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.scheduling.devices.device_counts import apply_device_count, check_device_count
from bertd.errors import DaemonBusyError, DeviceError, RecipeError, StorageError, TransitionError
from bertd.jobs.runner.run_job import job_lock
from bertd.jobs.store.queue import Job
from bertd.records import DevicesRecord, JobKind, JobState
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe
from tests.jobs.runner_box import recipe_text

BOX = Inventory(cpu_slots=8, gpus=(), no_gpu_reason="NVML: Driver Not Loaded")
RAMPED = "sequences = 96\nramp = [[0.5, 48]]"


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path / "3-fake")
    paths.logs.mkdir(parents=True)
    write(paths, recipe_text())
    return paths


def write(paths: RunPaths, recipe: str) -> None:
    paths.recipe.write_text(recipe)


def job(paths: RunPaths, state: JobState = JobState.PAUSED, *, is_hot: bool = False) -> Job:
    return Job(
        id=3,
        kind=JobKind.PRETRAIN,
        name="fake",
        state=state,
        reason="",
        priority=0,
        run_id="3-fake",
        folder=str(paths.root),
        device_kind="cpu",
        num_devices=1,
        owner_uid=0,
        created_t=0,
        is_hot=is_hot,
    )


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.QUEUED, JobState.FAILED, JobState.LOST])
def test_a_run_that_nobody_has_may_have_another_number(paths: RunPaths, state: JobState) -> None:
    check_device_count(job(paths, state), 2, inventory=BOX)


@pytest.mark.parametrize(
    ("state", "is_hot", "message"),
    [
        (JobState.PAUSED, True, "is paused hot and keeps its devices; `bertd pause 3` makes that cold, then `bertd"),
        (JobState.PAUSING, False, "is still pausing; when it is paused, `bertd resume 3 --devices 2`"),
        (
            JobState.STARTING,
            False,
            "is being started with 1 device; `bertd pause 3`, then `bertd resume 3",
        ),
        (JobState.HELD, False, "is held; `bertd release 3`, then `bertd resume 3 --devices 2`"),
        (JobState.DONE, False, "is done, so its number of devices can no longer be changed; submit another run"),
    ],
)
def test_a_run_that_has_ranks_or_is_over_keeps_its_number_and_says_what_to_do(
    paths: RunPaths, state: JobState, is_hot: bool, message: str
) -> None:
    with pytest.raises(TransitionError) as refused:
        check_device_count(job(paths, state, is_hot=is_hot), 2, inventory=BOX)
    assert str(refused.value).startswith(f"job 3: {message}")


def test_a_finetuning_keeps_its_number(paths: RunPaths) -> None:
    with pytest.raises(TransitionError, match="job 3: a finetune keeps its devices; only a run's can be changed"):
        check_device_count(replace(job(paths), kind=JobKind.FINETUNE), 2, inventory=BOX)


@pytest.mark.parametrize(
    ("micro", "num_devices", "message"),
    [
        ("16", 2, "a step of 48 or 96 sequences divides too unevenly among 2 devices in micro-batches of 16; "),
        ("8", 7, "a step of 48 or 96 sequences divides too unevenly among 7 devices in micro-batches of 8; "),
    ],
)
def test_a_batch_that_cannot_be_shared_names_the_numbers_that_can(
    paths: RunPaths, micro: str, num_devices: int, message: str
) -> None:
    write(paths, recipe_text().replace("sequences = 32", RAMPED).replace("micro = 16", f"micro = {micro}"))
    possible = {"16": "1 or 3", "8": "1, 2, 3 or 6"}[micro]
    with pytest.raises(RecipeError) as refused:
        check_device_count(job(paths), num_devices, inventory=BOX)
    assert str(refused.value) == f"3-fake: {message}give --devices {possible}"


def test_more_than_the_box_has_is_refused_with_what_it_has(paths: RunPaths) -> None:
    with pytest.raises(DeviceError, match="3-fake: --devices 9: this machine has 8 cores; give --devices 1 or 2"):
        check_device_count(job(paths), 9, inventory=BOX)
    with pytest.raises(DeviceError, match=r"has 0 GPUs \(NVML: Driver Not Loaded\); bring the devices back"):
        check_device_count(replace(job(paths), device_kind="gpu"), 1, inventory=BOX)


def test_a_budget_of_gpu_hours_may_be_spent_on_another_number(paths: RunPaths) -> None:
    write(paths, recipe_text().replace("steps = 20", "gpu_hours = 2.0"))
    check_device_count(job(paths), 2, inventory=BOX)


def test_a_run_whose_folder_somebody_has_or_is_gone_is_refused(paths: RunPaths, tmp_path: Path) -> None:
    with job_lock(paths), pytest.raises(DaemonBusyError):
        check_device_count(job(paths), 2, inventory=BOX)
    gone = RunPaths(tmp_path / "gone")
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        check_device_count(job(gone, JobState.LOST), 2, inventory=BOX)
    assert not gone.root.exists()


def test_the_recipe_gets_the_number_and_nothing_else_and_the_journal_tells(paths: RunPaths) -> None:
    before = tomllib.loads(paths.recipe.read_text())
    record = apply_device_count(paths, 2, step=7, now=5.0)
    assert record == DevicesRecord(t=5.0, step=7, charged_s=0.0, before=1, after=2)
    assert read_journal(paths.journal) == [record]
    after = tomllib.loads(paths.recipe.read_text())
    assert (before["devices"].pop("count"), after["devices"].pop("count")) == (1, 2)
    assert after == before, "a checkpoint knows its recipe by the other keys, those left out among them"
    assert apply_device_count(paths, 2, step=7, now=6.0) is None


def test_a_disk_that_refuses_leaves_the_recipe_for_the_next_start(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, content: str) -> None:
        raise StorageError(f"{path}: cannot write: no space left on device; free space")

    with monkeypatch.context() as full:
        full.setattr("bertd.daemon.scheduling.devices.device_counts.atomic_write", refuse)
        with pytest.raises(StorageError):
            apply_device_count(paths, 2, step=0, now=0.0)
    assert read_recipe(paths.recipe).devices.count == 1
    assert apply_device_count(paths, 2, step=0, now=0.0) is not None
    assert read_recipe(paths.recipe).devices.count == 2
