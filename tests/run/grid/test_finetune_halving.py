"""Successive halving over the seeds of a grid."""

from __future__ import annotations

from bertd.records import GridSpec, Preset
from bertd.run.grid.finetune_grid import make_trials
from bertd.run.grid.finetune_halving import most_trials, num_survivors, surviving_settings


def test_a_half_of_the_settings_rounded_up_gets_each_next_seed() -> None:
    assert [num_survivors(24, rung=rung) for rung in range(5)] == [24, 12, 6, 3, 2]
    assert [num_survivors(3, rung=rung) for rung in range(4)] == [3, 2, 1, 1]


def test_at_most_so_many_trials_are_run_and_of_those_left_the_longest() -> None:
    trials = make_trials(["cola"], preset=Preset.SEARCH)
    spec = GridSpec(
        preset=Preset.SEARCH, source="", source_name="", data_dir="", num_cpu_workers=1, is_halving=True, trials=trials
    )
    assert [sum(trial.seed == seed for trial in most_trials(spec)) for seed in range(42, 47)] == [24, 12, 6, 3, 2]
    assert {trial.epochs for trial in most_trials(spec) if trial.seed == 46} == {10}
    assert len(most_trials(spec, trials[24:30])) == 6
    assert most_trials(spec.model_copy(update={"is_halving": False})) == trials


def test_the_better_half_continues_by_the_median_of_its_seeds_so_far() -> None:
    scores: dict[str, list[float | None]] = {
        "a": [0.9, 0.1],
        "b": [0.5, 0.6],
        "c": [0.4, None],
        "d": [0.6, 0.5],
        "e": [0.1, None],
    }
    assert surviving_settings(scores, rung=0) == ["a", "b", "c", "d", "e"]
    assert surviving_settings(scores, rung=1) == ["a", "d", "b"]
    # a's median fell to 0.5; of b and d, which are equal, the one that was better before is first.
    assert surviving_settings(scores, rung=2) == ["d", "b"]


def test_a_setting_that_diverged_is_worse_than_any_score_and_than_an_equal_one_without() -> None:
    assert surviving_settings({"diverged": [None], "bad": [-0.2]}, rung=1) == ["bad"]
    assert surviving_settings({"once": [0.5, None], "twice": [0.5, 0.5], "x": [0.1], "y": [0.0]}, rung=2) == ["twice"]
