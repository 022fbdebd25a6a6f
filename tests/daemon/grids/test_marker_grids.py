"""Grids that runs ask for in their recipes: each is queued once, wherever the daemon dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.api.models import SubmitPretrain
from bertd.daemon.grids import marker_grids
from bertd.daemon.grids.marker_grids import LOOK_AGAIN_S
from bertd.errors import CorpusError, RecipeError, StorageError
from bertd.jobs.store.lifecycle import JobAction
from bertd.jobs.store.queue import Job
from bertd.jobs.store.row_filters import JobFilter
from bertd.jobs.store.tables.marker_grid_table import MarkerGridTable
from bertd.records import GLUE_FILES, GridSpec, JobKind, JobState, KeptCheckpoint, KeptCheckpoints, MarkerGridState
from bertd.run.checkpoint_index import read_checkpoint_index, write_checkpoint_index
from bertd.run.paths import JobPaths, RunPaths, newest_first, step_folder_name, step_of
from tests.daemon.test_wind_down import Box
from tests.faults.simulated import CORES, STEPS
from tests.jobs.runner_box import recipe_text


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    _write_data(tmp_path / "glue")
    yield box
    box.daemon.die()


def _write_data(folder: Path) -> None:
    files = GLUE_FILES["cola"]
    (folder / files.folder).mkdir(parents=True)
    for name in (files.train, files.dev):
        (folder / files.folder / name).touch()


def _submit(box: Box, *, num_devices: int = 1, hold: bool = False, **section: str) -> int:
    section = {"data": str(box.shards.parent / "glue"), "tasks": '["cola"]', "seeds": "2", **section}
    order = SubmitPretrain(
        recipe_toml=recipe_text(steps=STEPS, shards=str(box.shards), count=num_devices),
        recipe_name="fake.toml",
        hold=hold,
        overrides=[
            *("model.layers=1", "model.width=16", "model.heads=2", "model.ffn=16"),
            "checkpoint.markers=[0.25, 0.5]",
            *(f"finetune.{key}={value}" for key, value in section.items()),
        ],
    )
    number = box.daemon.submissions.submit_pretraining(order, uid=0, now=time.time()).id
    if not hold:
        box.tick()
    return number


def _pass_marker(box: Box, run: int, marker: float, *, step: int) -> None:
    """Export at a step, as ranks do before they write the checkpoint of a marker."""
    paths = RunPaths(Path(box.job(run).folder))
    export = paths.exports / step_folder_name(step)
    export.mkdir(parents=True, exist_ok=True)
    (export / "config.json").write_text("{}")
    for name in ("model.safetensors", "tokenizer.json"):
        (export / name).touch()
    kept = KeptCheckpoint(
        name=export.name,
        step=step,
        progress=marker,
        size_bytes=1,
        validation_loss=None,
        markers=[marker],
        reasons=[f"marker {marker:g}"],
    )
    paths.checkpoints.mkdir(exist_ok=True)
    earlier = read_checkpoint_index(paths).checkpoints
    write_checkpoint_index(paths, KeptCheckpoints(checkpoints=[kept, *earlier]))


def _look(box: Box) -> None:
    """As the scheduler does, later."""
    box.daemon.now += 2 * LOOK_AGAIN_S
    box.daemon.marker_grids.advance()


def _grids(box: Box) -> list[Job]:
    return box.daemon.queue.page(before=1 << 40, limit=100, where=JobFilter(kinds=(JobKind.GRID,)))[::-1]


def _spec(job: Job) -> GridSpec:
    return GridSpec.model_validate_json(JobPaths(Path(job.folder)).grid_spec.read_bytes())


def test_a_marker_gets_one_grid_while_the_run_trains_wherever_the_daemon_dies(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _submit(box, markers="[0.5]", where="free")
    box.turn(3)
    _look(box)
    assert _grids(box) == []
    _pass_marker(box, run, 0.5, step=6)
    with monkeypatch.context() as patch:

        def die(*_args: object, **_kwargs: object) -> None:
            raise StorageError("the daemon dies after it has written the grid's row")

        patch.setattr(MarkerGridTable, "set_queued", die)
        _look(box)
    assert _grids(box) == []
    box.kill()
    _look(box)
    (grid,) = _grids(box)
    assert (grid.num_devices, grid.run_id) == (CORES - 1, box.job(run).run_id)
    spec = _spec(grid)
    assert spec.source_name == f"{grid.run_id}/{step_folder_name(6)}"
    assert [(trial.task, trial.seed) for trial in spec.trials] == [("cola", 42), ("cola", 43)]
    _look(box)
    box.daemon.die()
    box.daemon = type(box.daemon)(box.paths, box.machine)
    _look(box)
    assert len(_grids(box)) == 1


def test_a_grid_waits_while_the_run_takes_every_device(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _submit(box, markers="[0.5]", where="free")
    _pass_marker(box, run, 0.5, step=6)
    with monkeypatch.context() as patch:
        patch.setattr(marker_grids, "free_devices", lambda *_: 0)
        _look(box)
    (row,) = MarkerGridTable(box.daemon.database, box.daemon.events).waiting()
    assert row.reason.startswith("the run takes every device")
    assert _grids(box) == []
    _look(box)
    assert len(_grids(box)) == 1


def test_after_the_run_each_marker_and_the_end_get_one_but_no_export_two(box: Box) -> None:
    run = _submit(box, markers="[0.25, 0.5, 1.0]")
    box.turn(3)
    _pass_marker(box, run, 0.25, step=3)
    _look(box)
    assert _grids(box) == [], "the run trains"
    box.turn(2 * STEPS)
    assert box.job(run).state is JobState.DONE
    end = newest_first(RunPaths(Path(box.job(run).folder)).exports)[0]
    # As of a run that was stopped, which exports the rest of its markers with its end.
    _pass_marker(box, run, 0.5, step=step_of(end))
    _look(box)
    assert [Path(_spec(grid).source_name).name for grid in _grids(box)] == ["step-000000003", end.name]
    rows = MarkerGridTable(box.daemon.database, box.daemon.events).of_run(run)
    assert [row.state for row in rows] == [MarkerGridState.QUEUED, MarkerGridState.QUEUED, MarkerGridState.SKIPPED]
    assert rows[2].reason == f"its export is that of marker 0.5, which has grid {rows[1].grid_job_id}"
    _look(box)
    assert len(_grids(box)) == 2


def test_a_grid_waits_for_data_that_are_away_and_a_cancelled_run_gets_none(box: Box) -> None:
    run = _submit(box, markers="[0.5]", where="free")
    _pass_marker(box, run, 0.5, step=6)
    data = box.shards.parent / "glue"
    data.rename(data.with_name("away"))
    _look(box)
    (row,) = MarkerGridTable(box.daemon.database, box.daemon.events).waiting()
    assert "no such folder" in row.reason
    data.with_name("away").rename(data)
    _look(box)
    assert len(_grids(box)) == 1

    other = _submit(box, hold=True)
    box.ask(JobAction.STOP, other)
    assert box.job(other).state is JobState.CANCELLED
    _look(box)
    (row,) = MarkerGridTable(box.daemon.database, box.daemon.events).of_run(other)
    assert (row.state, row.reason) == (MarkerGridState.SKIPPED, "the run was cancelled")


def test_what_a_recipe_asks_for_is_checked_when_it_is_submitted(box: Box) -> None:
    with pytest.raises(CorpusError, match="RTE/train.tsv: does not exist, and rte needs it"):
        _submit(box, tasks='["cola", "rte"]')
    with pytest.raises(
        RecipeError, match=r"nothing is exported at 0.3, since checkpoint.markers = \[0.25, 0.5\] lacks it"
    ):
        _submit(box, markers="[0.3]")
    with pytest.raises(RecipeError, match="'nope' is not a GLUE task"):
        _submit(box, tasks='["nope"]')
    with pytest.raises(RecipeError, match=r"\[finetune\].*which the grid must finetune: add it"):
        _submit(box, tasks='["rte"]', via='"mnli"')
    with pytest.raises(RecipeError, match="the run takes every device"):
        _submit(box, num_devices=CORES, where="free")
    assert MarkerGridTable(box.daemon.database, box.daemon.events).waiting() == []
