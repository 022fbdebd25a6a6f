"""Successive halving over the seeds of a grid."""

from __future__ import annotations

from bertd.run.finetune_halving import num_survivors, surviving_settings


def test_a_half_of_the_settings_rounded_up_gets_each_next_seed() -> None:
    assert [num_survivors(24, rung=rung) for rung in range(5)] == [24, 12, 6, 3, 2]
    assert [num_survivors(3, rung=rung) for rung in range(4)] == [3, 2, 1, 1]


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
