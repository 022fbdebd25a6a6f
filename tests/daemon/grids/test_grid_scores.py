"""The scores of a halving grid say which settings were dropped, and after how many seeds."""

from __future__ import annotations

from pathlib import Path

from bertd.daemon.grids.grid_scores import read_grid_scores
from bertd.jobs.store.queue import Job
from bertd.records import GridRecord, GridSpec, JobKind, JobState, Preset
from bertd.run.grid.finetune_grid import make_trials
from bertd.run.journal import JournalWriter
from bertd.run.paths import JobPaths
from tests.cli import samples


def test_a_dropped_setting_is_marked_with_its_seeds_and_the_others_are_not(tmp_path: Path) -> None:
    paths = JobPaths(tmp_path)
    trials = make_trials(["cola"], preset=Preset.SEARCH, num_seeds=3)
    trials = [trial for trial in trials if (trial.batch_size, trial.epochs) == (16, 3)]
    spec = GridSpec(
        preset=Preset.SEARCH,
        source="/e",
        source_name="e",
        data_dir="/d",
        is_halving=True,
        num_cpu_workers=1,
        trials=trials,
    )
    paths.grid_spec.write_text(spec.model_dump_json())
    last_seeds = {1e-5: 42, 3e-5: 42, 5e-5: 43, 8e-5: 44}
    journal = JournalWriter(paths.journal)
    for trial in trials:
        if trial.seed > last_seeds[trial.lr]:
            journal.append(GridRecord(t=1, step=1, num_trials=12, num_failed=0, trial=trial.name, outcome="dropped"))
            continue
        changes = {"trial": trial.name, "lr": trial.lr, "kept": "/gone"}
        journal.append(samples.score().score.model_copy(update=changes))
    journal.close()
    job = Job(
        id=3,
        kind=JobKind.GRID,
        name="glue-search",
        state=JobState.DONE,
        reason="",
        priority=0,
        run_id="1-demo",
        folder=str(tmp_path),
        device_kind="cpu",
        num_devices=1,
        owner_uid=0,
        created_t=0.0,
    )
    views = [*read_grid_scores(job, paths, has_dropped=True)]
    assert {(view.score.lr, view.dropped_after) for view in views} == {(1e-5, 1), (3e-5, 1), (5e-5, 2), (8e-5, None)}
    assert len(views) == 7 and {view.score.kept for view in views} == {None}
    assert {view.dropped_after for view in read_grid_scores(job, paths, has_dropped=False)} == {None}
    paths.grid_spec.write_text("{}")
    assert {view.dropped_after for view in read_grid_scores(job, paths, has_dropped=True)} == {None}
