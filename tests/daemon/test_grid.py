"""A grid of finetunings in the queue of a real daemon, over fake workers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bertd.api.models import JobView, SubmitGrid
from bertd.errors import CorpusError, RecipeError, TransitionError
from bertd.records import (
    GLUE_FILES,
    FinetuneSpec,
    GridSpec,
    JobKind,
    JobState,
    Keep,
    MetricName,
    OwnTask,
    Preset,
)
from bertd.run.paths import JobPaths
from tests.daemon.daemon_box import DaemonBox
from tests.waiting import wait_for


@pytest.fixture
def run(box: DaemonBox) -> JobView:
    """A finished run."""
    return box.wait_for_state(box.submit(steps=5).id, JobState.DONE)


def _submit(box: DaemonBox, run: JobView, *tasks: str, num_seeds: int | None = None) -> JobView:
    order = SubmitGrid(run=run.run_id, tasks=[*tasks], num_seeds=num_seeds, data_dir=str(box.glue))
    return box.client.submit(order)


def test_a_grid_is_one_job_and_all_its_scores_are_listed(box: DaemonBox, run: JobView) -> None:
    job = _submit(box, run, "cola", num_seeds=120)
    assert (job.kind, job.name, job.run_id) == (JobKind.GRID, "glue-quick", run.run_id)
    done = box.wait_for_state(job.id, JobState.DONE)
    assert (done.reason, done.progress) == ("120 of 120 trials have a score", 1.0)
    scores = box.client.scores(run=run.run_id)
    assert {score.job_id for score in scores} == {job.id}
    assert sorted(score.score.seed for score in scores) == [*range(42, 162)]


def test_a_running_grid_says_how_far_it_is_and_can_be_stopped(box: DaemonBox, run: JobView) -> None:
    job = _submit(box, run, "cola", "wnli")
    reason = "finetunes: 1 of 2 trials are over; time to finish unknown until the first trial of wnli"
    wait_for(lambda: box.client.job(job.id).reason == reason, what=f"the first score: {box.client.job(job.id)}")
    running = box.client.job(job.id)
    assert (running.state, running.progress, running.expected_end_t) == (JobState.RUNNING, 0.5, None)
    with pytest.raises(TransitionError, match="cannot pause a grid"):
        box.client.pause(job.id)
    box.client.stop(job.id)
    stopped = box.wait_for_state(job.id, JobState.CANCELLED)
    assert stopped.reason == "stopped by a person; 1 of 2 trials have a score"
    assert [score.score.task for score in box.client.scores()] == ["cola"]


def test_a_grid_takes_as_long_as_earlier_trials_of_its_tasks_and_nothing_is_guessed(
    box: DaemonBox, run: JobView
) -> None:
    order = SubmitGrid(run=run.run_id, tasks=["cola", "wnli"], num_seeds=30, data_dir=str(box.glue))
    before = box.client.estimate_grid(order)
    assert before.num_trials_by_task == {"cola": 30, "wnli": 30}
    assert (before.wall_s, before.device_hours, before.unmeasured) == (None, None, ["cola", "wnli"])
    box.wait_for_state(_submit(box, run, "cola").id, JobState.DONE)
    after = box.client.estimate_grid(order)
    # The fake's trials take 0.1 s.
    assert after.wall_s is not None
    assert after.wall_s == pytest.approx(0.1 * math.ceil(30 / after.num_workers))
    assert after.device_hours == pytest.approx(after.wall_s * after.num_devices / 3600)
    assert after.unmeasured == ["wnli"]
    larger = box.folder / "larger"
    for folder, size in ((box.glue, 100), (larger, 300)):
        files = GLUE_FILES["cola"]
        (folder / files.folder).mkdir(parents=True, exist_ok=True)
        (folder / files.folder / files.train).write_bytes(b"x" * size)
        (folder / files.folder / files.dev).touch()
    scaled = box.client.estimate_grid(order.model_copy(update={"tasks": ["cola"], "data_dir": str(larger)}))
    assert scaled.wall_s == pytest.approx(3 * after.wall_s)

    job = box.client.submit(order.model_copy(update={"tasks": ["wnli"], "num_seeds": 1}))
    trials = JobPaths(Path(job.folder)).trials
    trials.mkdir(exist_ok=True)
    (trials / "go").touch()
    box.wait_for_state(job.id, JobState.DONE)
    running = _submit(box, run, "wnli")
    wait_for(lambda: box.client.job(running.id).expected_end_t is not None, what="a time to finish")
    box.client.stop(running.id)


def test_a_grid_that_a_shutdown_paused_continues_with_the_daemon(box: DaemonBox, run: JobView) -> None:
    job = _submit(box, run, "cola", "wnli")
    wait_for(lambda: len(box.client.scores()) == 1, what="the first score")
    assert box.stop() == 0
    (JobPaths(Path(job.folder)).trials / "go").touch()
    box.start()
    box.wait_for_state(job.id, JobState.DONE)
    assert [score.score.task for score in box.client.scores()] == ["cola", "wnli"]


def test_a_run_whose_recipe_asks_for_it_is_finetuned_by_itself_when_it_is_done(box: DaemonBox) -> None:
    order = box.pretraining(steps=5)
    overrides = ['finetune.tasks=["cola"]', f"finetune.data={box.glue}", "finetune.preset=quick"]
    run = box.client.submit(order.model_copy(update={"overrides": overrides}))
    wait_for(lambda: box.client.scores(run=run.run_id) != [], what="a score")
    (score,) = box.client.scores(run=run.run_id)
    assert box.client.job(score.job_id).kind is JobKind.GRID
    assert [(grid.marker, grid.grid_job_id) for grid in box.client.run(run.run_id).grids] == [(1.0, score.job_id)]
    assert any(f"grid {score.job_id} finetunes" in event.text for event in box.events())


def test_a_grid_of_ones_own_task_is_run_kept_and_estimated_like_those_of_glue(box: DaemonBox, run: JobView) -> None:
    table = box.folder / "reviews.csv"
    own = OwnTask(train=str(table), text=("review",), label="stars", metric=MetricName.F1)
    order = SubmitGrid(
        run=run.run_id,
        tasks=["reviews"],
        own=own,
        num_train=10,
        preset=Preset.FAIR,
        num_seeds=3,
        keep=Keep.BEST,
        data_dir=str(box.folder),
    )
    with pytest.raises(CorpusError, match=r"reviews\.csv: no such file"):
        box.client.submit(order)
    table.touch()
    with pytest.raises(RecipeError, match="none for data of your own"):
        box.client.submit(order.model_copy(update={"preset": Preset.MODERN}))
    assert box.client.estimate_grid(order).unmeasured == ["reviews"]
    job = box.client.submit(order)
    assert job.name == "reviews-fair"
    box.wait_for_state(job.id, JobState.DONE)
    scores = sorted(box.client.scores(run=run.run_id), key=lambda view: view.score.seed)
    assert [(score.score.seed, score.score.kept is not None) for score in scores] == [
        (42, False),
        (43, False),
        (44, True),
    ]
    trial = JobPaths(Path(job.folder)).trial(f"{scores[0].score.trial}")
    assert FinetuneSpec.model_validate_json(trial.finetune_spec.read_bytes()).own == own

    one = order.model_copy(update={"num_seeds": 1})
    # The fake's trials take 0.1 s, here for 5 epochs of 10 examples.
    assert box.client.estimate_grid(one).wall_s == pytest.approx(0.1)
    twice = box.client.estimate_grid(one.model_copy(update={"num_train": 20, "preset": Preset.QUICK}))
    assert twice.wall_s == pytest.approx(0.1 * 2 * 3 / 5) and twice.assumed == {"reviews": [32]}
    other = own.model_copy(update={"label": "helpful"})
    assert box.client.estimate_grid(one.model_copy(update={"own": other})).wall_s is None


def test_each_task_of_a_grid_is_admitted_like_a_finetuning(box: DaemonBox, run: JobView) -> None:
    with pytest.raises(CorpusError, match="QNLI/train.tsv: does not exist, and qnli needs it"):
        _submit(box, run, "cola", "qnli")
    with pytest.raises(RecipeError, match="no such task"):
        _submit(box, run, "nope")
    with pytest.raises(RecipeError, match="modern has no published setting for wnli"):
        box.client.submit(SubmitGrid(run=run.run_id, tasks=["wnli"], preset=Preset.MODERN, data_dir=str(box.glue)))
    job = _submit(box, run, "cola", "cola", num_seeds=1)
    spec = GridSpec.model_validate_json(JobPaths(Path(job.folder)).grid_spec.read_bytes())
    assert [trial.name for trial in spec.trials] == ["cola-lr5e-05-batch32-epochs3-seed42"]
