from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.scheduling.expectations.expected_durations import _MAX_READ, ExpectedDurations
from bertd.jobs.store.database import Database
from bertd.jobs.store.queue import Job
from bertd.records import CommandJobSpec, GridSpec, JobKind, JobState, Preset
from bertd.run.grid.finetune_grid import make_trials
from bertd.run.paths import JobPaths
from tests.daemon.scheduling.devices.test_device_allocation import job
from tests.jobs.runner_box import recipe_text


@pytest.fixture
def durations(tmp_path: Path) -> ExpectedDurations:
    return ExpectedDurations(RunMetrics(Database(tmp_path / "queue.db")))


def command(folder: Path, id: int, *, time_limit_s: float | None) -> Job:
    root = folder / str(id)
    root.mkdir()
    spec = CommandJobSpec(
        argv=["x"],
        cwd="/",
        environment={},
        job_id=id,
        run_id=None,
        run_folder=None,
        num_cpus=1,
        time_limit_s=time_limit_s,
    )
    JobPaths(root).command_spec.write_text(spec.model_dump_json())
    return replace(job(id, 1, "cpu", job_kind=JobKind.COMMAND), folder=str(root))


def test_a_command_takes_its_time_limit_from_the_start_of_its_runner(
    tmp_path: Path, durations: ExpectedDurations
) -> None:
    limited, unlimited = command(tmp_path, 1, time_limit_s=60.0), command(tmp_path, 2, time_limit_s=None)
    assert (durations.duration_s(limited), durations.duration_s(unlimited)) == (60.0, None)
    running = replace(limited, state=JobState.RUNNING, started_t=5.0)
    assert durations.end_t(running, now=0.0) is None
    runner = JobPaths(Path(limited.folder)).runner
    runner.touch()
    assert durations.end_t(running, now=0.0) == runner.stat().st_mtime + 60
    assert durations.end_t(replace(running, state=JobState.STOPPING), now=0.0) is None


def test_a_run_takes_its_budget_and_one_of_steps_is_not_known_before_it_has_trained(
    tmp_path: Path, durations: ExpectedDurations
) -> None:
    for id, budget, expected_s in ((1, "hours = 2.0", 7200.0), (2, "steps = 20", None)):
        root = tmp_path / str(id)
        root.mkdir()
        (root / "recipe.toml").write_text(recipe_text().replace("steps = 20", budget))
        run = replace(job(id, 1, "cpu"), folder=str(root))
        assert durations.duration_s(run) == (None if expected_s is None else pytest.approx(expected_s, rel=1e-3))
        assert durations.duration_s(replace(run, stop_asked=True)) is None
        live = durations.end_t(replace(run, state=JobState.RUNNING, started_t=0.0), now=100.0)
        assert live == (None if expected_s is None else pytest.approx(100 + expected_s, rel=1e-3))
    assert durations.duration_s(replace(job(3, 1), folder=str(tmp_path / "gone"))) is None


def test_a_grid_takes_what_its_trials_took_if_each_task_was_measured(
    tmp_path: Path, durations: ExpectedDurations
) -> None:
    trials = make_trials(["cola"], preset=Preset.QUICK, num_seeds=2)
    for id, measured in ((1, {}), (2, {"cola": {trials[0].batch_size: 10.0}})):
        root = tmp_path / str(id)
        root.mkdir()
        spec = GridSpec(
            preset=Preset.QUICK,
            source="/export",
            source_name="x",
            data_dir="/data",
            num_cpu_workers=1,
            epoch_seconds=measured,
            trials=trials,
        )
        JobPaths(root).grid_spec.write_text(spec.model_dump_json())
        grid = replace(job(id, 1, "cpu", job_kind=JobKind.GRID), folder=str(root))
        total_s = 10.0 * sum(trial.epochs for trial in trials)
        assert durations.duration_s(grid) == (pytest.approx(total_s) if measured else None)


def test_a_round_looks_at_a_few_jobs_and_the_next_ones_at_the_others(
    tmp_path: Path, durations: ExpectedDurations
) -> None:
    jobs = [command(tmp_path, id, time_limit_s=9.0) for id in range(1, _MAX_READ + 3)]
    assert [durations.duration_s(each) for each in jobs] == [9.0] * _MAX_READ + [None] * 2
    assert not durations.is_complete
    durations.begin_round()
    assert [durations.duration_s(each) for each in jobs] == [9.0] * len(jobs)
    assert durations.is_complete
