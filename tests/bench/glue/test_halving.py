"""What halving would have ended with, from the scores of a full grid."""

from __future__ import annotations

import pytest

from bertd.bench.glue.halving import Setting, format_halving, replay_halving

GOOD, LUCKY, FAIR, BAD = (Setting(lr, 32, 1) for lr in (1e-3, 3e-3, 3e-4, 1e-4))
SCORES = {GOOD: [0.6, 0.7, 0.8], LUCKY: [0.9, 0.1, 0.1], FAIR: [0.5, 0.5, 0.5], BAD: [0.4, 0.4, 0.4]}


def test_halving_drops_the_worse_half_after_each_seed() -> None:
    outcome = replay_halving(SCORES, order=[1, 2, 0])

    assert outcome.chosen == GOOD
    assert outcome.full_score == outcome.shown_score == pytest.approx(0.7)
    assert outcome.trial_share == pytest.approx((4 + 2 + 1) / 12)


def test_a_setting_with_one_lucky_seed_costs_what_its_other_seeds_show() -> None:
    outcome = replay_halving(SCORES, order=[0, 1, 2])

    # After the first seed the lucky one leads and GOOD follows; after the second only GOOD, at 0.65, is left.
    assert outcome.chosen == GOOD
    two_seeds = replay_halving({setting: values[:2] for setting, values in SCORES.items()}, order=[0, 1])
    assert two_seeds.chosen == GOOD and two_seeds.shown_score == pytest.approx(0.65)


def test_the_table_has_the_regret_over_all_orders_of_the_seeds() -> None:
    header, cola, note = format_halving({"cola": SCORES}).splitlines()

    assert "regret" in header
    assert "0.001 x 32 x 1" in cola and "6 of 6 orders" in cola and "0.000, 0.000" in cola
    assert "58% of the full grid's steps" in note


def test_a_wrong_choice_is_a_regret() -> None:
    # By its first seed BAD is dropped, though it is the best of all.
    scores = {GOOD: [0.6, 0.6, 0.6], BAD: [0.1, 0.9, 0.9]}

    assert replay_halving(scores, order=[0, 1, 2]).full_score == pytest.approx(0.6)
    assert replay_halving(scores, order=[1, 2, 0]).full_score == pytest.approx(0.9)
    assert "4 of 6 orders" in format_halving({"rte": scores})
    assert "0.100, 0.300" in format_halving({"rte": scores})
