"""The runner of a grid over fake workers, as a process."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import psutil

from bertd.jobs.runner.grid.grid_workers import worker_slots
from bertd.records import CommandKind, FinetuneSpec, GridSpec, JobKind, JobState, Keep, Preset
from bertd.run.grid.finetune_grid import make_trials
from bertd.run.journal import read_scores
from tests.jobs.runner_box import RunnerBox
from tests.waiting import PATIENCE_S, wait_for


def _start(box: RunnerBox, *tasks: str, num_workers: int = 2) -> None:
    box.write_grid(*tasks, num_workers=num_workers)
    box.start(kind=JobKind.GRID)


def _scored_tasks(box: RunnerBox) -> list[str]:
    return [score.task for score in read_scores(box.paths.journal)]


def _wait_for_try(box: RunnerBox, task: str) -> None:
    wait_for(lambda: any(box.paths.trials.glob(f"{task}-*/tried")), what=f"{task} to begin; log:\n{box.log}")


def _worker(box: RunnerBox) -> psutil.Process:
    (worker,) = psutil.Process(box.identity.pid).children()
    return worker


def test_every_trial_gets_its_score_and_the_grid_has_them_all(box: RunnerBox) -> None:
    _start(box, "cola", "sst-2", "sts-b", num_workers=2)
    outcome = box.outcome()
    assert (outcome.state, outcome.reason) == (JobState.DONE, "3 of 3 trials have a score")
    scores = read_scores(box.paths.journal)
    assert sorted(score.task for score in scores) == ["cola", "sst-2", "sts-b"]
    for score in scores:
        assert score.trial is not None
        (own,) = read_scores(box.paths.trial(score.trial).journal)
        assert own.model_copy(update={"trial": score.trial}) == score
    assert [(record["step"], record["num_trials"]) for record in box.records("grid")] == [(n, 3) for n in range(4)]
    assert box.records("end")[0]["reason"] == "finished"


def test_one_worker_runs_the_trials_in_the_order_of_the_spec(box: RunnerBox) -> None:
    _start(box, "sts-b", "cola", "sst-2", num_workers=1)
    assert box.outcome().state is JobState.DONE
    assert _scored_tasks(box) == ["sts-b", "cola", "sst-2"]


def test_the_time_to_finish_is_known_when_each_task_has_a_trial(box: RunnerBox) -> None:
    _start(box, "cola", "sst-2", num_workers=1)
    assert box.outcome().state is JobState.DONE
    unmeasured, remaining = zip(
        *((record["unmeasured"], record["remaining_s"]) for record in box.records("grid")), strict=True
    )
    assert unmeasured == (["cola", "sst-2"], ["sst-2"], [])
    assert remaining == (None, None, 0.0)


def test_trials_from_mnli_start_from_its_best_model_which_is_deleted_at_the_end(box: RunnerBox) -> None:
    box.write_grid("wnli", "mnli", "sts-b", num_workers=3, num_seeds=2, via="mnli")
    box.start(kind=JobKind.GRID)
    wait_for(lambda: len(read_scores(box.paths.journal)) == 6, what=f"all but wnli; log:\n{box.log}")
    names = {score.seed: score.trial or "" for score in read_scores(box.paths.journal) if score.task == "mnli"}
    # The fake's score is the higher the larger its seed.
    assert [box.paths.trial(names[seed]).finetuned_model.exists() for seed in (42, 43)] == [False, True]
    (box.paths.trials / "go").touch()
    assert box.outcome().state is JobState.DONE
    scores = read_scores(box.paths.journal)
    via = [score for score in scores if score.via == "mnli"]
    assert [(score.task, score.source) for score in via] == [("sts-b", "1-fake/step-000000001")] * 2
    for score in via:
        spec = FinetuneSpec.model_validate_json(box.paths.trial(score.trial or "").finetune_spec.read_bytes())
        assert spec.source == str(box.paths.trial(names[43]).finetuned_model)
    assert not box.paths.trial(names[43]).finetuned_model.exists()


def test_a_failed_grid_names_the_model_that_it_keeps_and_makes_a_deleted_one_again(box: RunnerBox) -> None:
    box.write_grid("mnli", "rte", via="mnli")
    box.start(kind=JobKind.GRID)
    failed = box.outcome()
    model = box.paths.trial("mnli-lr5e-05-batch32-epochs3-seed42").finetuned_model
    assert failed.state is JobState.FAILED and model.is_dir()
    assert f"{model} stays for `bertd resume`; deleted, it is made again when the grid is resumed" in failed.reason
    shutil.rmtree(model)
    box.start(kind=JobKind.GRID)
    assert box.outcome().reason == failed.reason
    assert model.is_dir() and "is gone; it is finetuned again" in box.log


def test_a_failed_grid_keeps_no_model_that_no_trial_will_start_from(box: RunnerBox) -> None:
    box.write_grid("mnli", "rte", "sts-b", via="mnli")
    spec = GridSpec.model_validate_json(box.paths.grid_spec.read_bytes())
    trials = [trial for trial in spec.trials if (trial.task, trial.via) != ("rte", "mnli")]
    box.paths.grid_spec.write_text(spec.model_copy(update={"trials": trials}).model_dump_json())
    box.start(kind=JobKind.GRID)
    failed = box.outcome()
    assert failed.state is JobState.FAILED and "stays for" not in failed.reason
    assert [*box.paths.trials.glob("*/model")] == []


def test_a_halving_grid_ends_with_its_dropped_trials_in_the_journal(box: RunnerBox) -> None:
    trials = make_trials(["cola"], preset=Preset.SEARCH, num_seeds=2)[:4]
    trials += [trial.model_copy(update={"seed": 43, "name": f"{trial.name}-again"}) for trial in trials]
    box.write_grid("cola")
    spec = GridSpec.model_validate_json(box.paths.grid_spec.read_bytes())
    spec = spec.model_copy(update={"trials": trials, "is_halving": True})
    box.paths.grid_spec.write_text(spec.model_dump_json())
    box.start(kind=JobKind.GRID)
    outcome = box.outcome()
    assert (outcome.state, outcome.reason) == (JobState.DONE, "6 of 8 trials have a score; 2 dropped")
    records = box.records("grid")
    # The fake's scores are equal: the first of the spec go on.
    assert [record["trial"] for record in records if record["outcome"] == "dropped"] == [
        trial.name for trial in trials[6:]
    ]
    assert (records[-1]["step"], records[-1]["num_dropped"], records[-1]["num_failed"]) == (8, 2, 0)


def test_a_halving_grid_with_a_failed_trial_ends_and_its_later_seeds_wait_for_a_resume(box: RunnerBox) -> None:
    trials = make_trials(["rte"], preset=Preset.QUICK, num_seeds=3)
    box.write_grid("rte")
    spec = GridSpec.model_validate_json(box.paths.grid_spec.read_bytes())
    box.paths.grid_spec.write_text(spec.model_copy(update={"trials": trials, "is_halving": True}).model_dump_json())
    box.start(kind=JobKind.GRID)
    outcome = box.outcome()
    assert outcome.state is JobState.FAILED
    assert outcome.reason.startswith("0 of 3 trials have a score; 3 failed")
    details = {record["trial"]: record["detail"] for record in box.records("grid") if record["trial"]}
    assert details[trials[1].name] == f"waits for {trials[0].name}, which failed"
    assert str(details[trials[2].name]).startswith("waits for ")


def test_a_grid_keeps_the_model_of_each_tasks_best_trial(box: RunnerBox) -> None:
    box.write_grid("cola", "sts-b", num_seeds=3, keep=Keep.BEST)
    box.start(kind=JobKind.GRID)
    assert box.outcome().state is JobState.DONE
    scores = read_scores(box.paths.journal)
    kept = {(score.task, score.seed) for score in scores if score.kept is not None and Path(score.kept).is_dir()}
    # The fake's score is the higher the larger its seed.
    assert kept == {("cola", 44), ("sts-b", 44)}


def test_a_trial_that_kills_its_worker_twice_fails_and_the_others_go_on(box: RunnerBox) -> None:
    _start(box, "qnli", "mrpc", "cola", num_workers=1)
    outcome = box.outcome()
    assert outcome.state is JobState.FAILED
    assert outcome.reason.startswith("2 of 3 trials have a score; 1 failed, `bertd resume` tries them again")
    assert "killed 2 workers; the last time: its worker died by signal 9 (SIGKILL)" in outcome.reason
    # mrpc killed one worker only.
    assert _scored_tasks(box) == ["mrpc", "cola"]


def test_a_failed_trial_is_tried_again_by_a_resume_and_the_scored_ones_are_not(box: RunnerBox) -> None:
    _start(box, "rte", "cola")
    outcome = box.outcome()
    assert outcome.state is JobState.FAILED
    assert "/data/train.tsv: no rows" in outcome.reason
    box.start(kind=JobKind.GRID)
    assert box.outcome().state is JobState.FAILED
    outcomes = [record["outcome"] for record in box.records("grid") if record["trial"]]
    assert sorted(map(str, outcomes)) == ["failed", "failed", "scored"]
    assert _scored_tasks(box) == ["cola"]


def test_a_killed_worker_is_replaced_and_its_trial_gets_its_score(box: RunnerBox) -> None:
    _start(box, "wnli", "cola", num_workers=1)
    _wait_for_try(box, "wnli")
    _worker(box).kill()
    (box.paths.trials / "go").touch()
    assert box.outcome().state is JobState.DONE
    assert _scored_tasks(box) == ["wnli", "cola"]


def test_a_killed_runner_takes_its_workers_along_and_the_next_one_continues(box: RunnerBox) -> None:
    _start(box, "cola", "wnli", "sst-2", num_workers=1)
    _wait_for_try(box, "wnli")
    worker = _worker(box)
    box.kill()
    worker.wait(PATIENCE_S)
    (box.paths.trials / "go").touch()
    box.start(kind=JobKind.GRID)
    assert box.outcome().state is JobState.DONE
    assert _scored_tasks(box) == ["cola", "wnli", "sst-2"]


def test_a_score_that_the_runner_had_no_time_to_copy_is_copied_and_not_run_again(box: RunnerBox) -> None:
    _start(box, "cola", "sst-2")
    assert box.outcome().state is JobState.DONE
    scores = read_scores(box.paths.journal)
    box.paths.journal.unlink()
    assert scores[0].trial is not None
    box.paths.trial(scores[0].trial).finetune_spec.unlink()
    box.start(kind=JobKind.GRID)
    assert box.outcome().state is JobState.DONE
    assert sorted(read_scores(box.paths.journal), key=lambda score: score.task) == sorted(
        scores, key=lambda score: score.task
    )
    assert not box.paths.trial(scores[0].trial).finetune_spec.exists()


def test_a_stopped_grid_is_cancelled_and_keeps_its_scores(box: RunnerBox) -> None:
    _start(box, "cola", "wnli", num_workers=1)
    _wait_for_try(box, "wnli")
    box.post(CommandKind.STOP)
    outcome = box.outcome()
    assert (outcome.state, outcome.reason) == (
        JobState.CANCELLED,
        "stopped by a person; 1 of 2 trials have a score",
    )
    assert _scored_tasks(box) == ["cola"]
    assert box.records("command")[0]["verb"] == CommandKind.STOP


def test_a_grid_whose_runner_is_told_to_end_is_paused(box: RunnerBox) -> None:
    _start(box, "cola", "wnli", num_workers=1)
    _wait_for_try(box, "wnli")
    os.kill(box.identity.pid, signal.SIGTERM)
    assert box.outcome().state is JobState.PAUSED
    assert box.records("end") == []


def test_a_grid_without_a_spec_fails_with_the_file(box: RunnerBox) -> None:
    box.start(kind=JobKind.GRID)
    outcome = box.outcome()
    assert outcome.state is JobState.FAILED
    assert str(box.paths.grid_spec) in outcome.reason


def test_workers_have_a_gpu_or_a_part_of_one_each_and_one_thread_on_a_cpu(tmp_path: Path) -> None:
    spec = GridSpec(
        preset=Preset.QUICK,
        source="/export",
        source_name="1-fake/1",
        data_dir=str(tmp_path),
        num_cpu_workers=2,
        workers_per_gpu=2,
        trials=make_trials(["cola"], preset=Preset.QUICK),
    )
    on_cpu = worker_slots(spec, {"CUDA_VISIBLE_DEVICES": ""})
    assert [slot["OMP_NUM_THREADS"] for slot in on_cpu] == ["1", "1"]
    on_gpus = worker_slots(spec, {"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"})
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in on_gpus] == ["GPU-a", "GPU-b", "GPU-a", "GPU-b"]
    assert {slot["BERTD_GPU_PARTS"] for slot in on_gpus} == {"2"}
