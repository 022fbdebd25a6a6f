"""The time that the trials of a grid take on its workers."""

from __future__ import annotations

import pytest

from bertd.records import GridTrial, Via
from bertd.run.grid.grid_schedule import RunningTrial, assumed_batch_sizes, find_time_left, measure_speeds, merge_speeds
from tests.cli import samples


def _trial(task: str, epochs: int, *, via: Via | None = None) -> GridTrial:
    return GridTrial(
        name=f"{task}-{epochs}-{via}",
        task=task,
        via=via,
        seed=1,
        lr=1e-5,
        batch_size=16,
        epochs=epochs,
        weight_decay=0.1,
        warmup=0.06,
    )


def test_each_worker_that_becomes_free_takes_the_next_trial() -> None:
    pending = [_trial("cola", 5), _trial("cola", 3), _trial("rte", 10)]
    speeds = {"cola": {16: 10.0}, "rte": {16: 2.0}}
    # 50 s on one worker; 30 s, then 20 s, on the other.
    assert find_time_left(pending, speeds=speeds, num_workers=2).seconds == 50
    assert find_time_left(pending, speeds=speeds, num_workers=1).seconds == 100
    assert find_time_left([], speeds=speeds, num_workers=2).seconds == 0


def test_what_a_running_trial_has_done_is_not_done_again_and_an_overdue_one_ends_at_once() -> None:
    running = [RunningTrial(_trial("cola", 5), elapsed_s=20), RunningTrial(_trial("rte", 10), elapsed_s=60)]
    left = find_time_left(
        [_trial("rte", 10)], speeds={"cola": {16: 10.0}, "rte": {16: 2.0}}, num_workers=2, running=running
    )
    assert left.seconds == 30


def test_a_trial_from_the_model_of_another_task_begins_after_all_of_that() -> None:
    pending = [_trial("mnli", 5), _trial("rte", 10, via="mnli"), _trial("rte", 10)]
    assert find_time_left(pending, speeds={"mnli": {16: 10.0}, "rte": {16: 2.0}}, num_workers=2).seconds == 70


def test_a_task_without_a_measured_trial_is_named_and_not_guessed() -> None:
    running = [RunningTrial(_trial("mnli", 5), elapsed_s=20)]
    left = find_time_left(
        [_trial("cola", 5), _trial("rte", 5)], speeds={"cola": {16: 10.0}}, num_workers=1, running=running
    )
    assert left.unmeasured == ("mnli", "rte")
    assert left.seconds == 50


def test_a_speed_is_the_median_over_the_trials_of_its_task_and_batch_size() -> None:
    score = samples.score().score
    seconds = [(20.0, 16), (100.0, 16), (24.0, 16), (8.0, 32)]
    scores = [score.model_copy(update={"seconds": s, "batch_size": size, "epochs": 2}) for s, size in seconds]
    assert measure_speeds(scores) == {score.task: {16: pytest.approx(12.0), 32: pytest.approx(4.0)}}


def test_a_batch_size_without_a_measured_trial_takes_as_long_as_the_nearest_and_is_named() -> None:
    trials = [_trial("cola", 1).model_copy(update={"batch_size": size}) for size in (16, 32, 128)]
    speeds = merge_speeds({"cola": {16: 9.0}, "rte": {16: 1.0}}, {"cola": {16: 10.0, 64: 4.0}})
    assert speeds == {"cola": {16: 10.0, 64: 4.0}, "rte": {16: 1.0}}
    # 32 is as far from 16 as from 64: the smaller, so that the time is not too short.
    assert [find_time_left([trial], speeds=speeds, num_workers=1).seconds for trial in trials] == [10, 10, 4]
    assert assumed_batch_sizes(trials, speeds) == {"cola": [32, 128]}
    assert assumed_batch_sizes([_trial("mnli", 1)], speeds) == {}
