"""A jump is noticed and so is a run that diverges from its start; a falling or noisy loss is not."""

from __future__ import annotations

import random

from bertd.train.spikes import Height, LossBand

VOCAB_SIZE = 30522


def noisy(steps: int) -> list[float]:
    chooser = random.Random(3)
    return [2.0 + 7.0 * 0.98**step + chooser.gauss(0, 0.05) for step in range(steps)]


def test_a_loss_that_falls_with_noise_is_no_spike() -> None:
    band = LossBand(vocab_size=VOCAB_SIZE)

    assert not any(band.judge(loss) for loss in noisy(500))


def test_a_jump_is_noticed_at_once() -> None:
    band = LossBand(vocab_size=VOCAB_SIZE)
    for loss in noisy(200):
        band.judge(loss)

    assert band.judge(3.5) is Height.SPIKE
    assert band.top < 3.5


def test_the_first_losses_are_not_judged() -> None:
    band = LossBand(vocab_size=VOCAB_SIZE)

    assert not any(band.judge(loss) for loss in [1.0, 9.0, 1.0, 9.0])


def test_a_loss_that_stays_up_is_the_new_normal_in_the_end() -> None:
    band = LossBand(vocab_size=VOCAB_SIZE)
    for loss in noisy(200):
        band.judge(loss)

    judged = [band.judge(4.0) for _ in range(200)]

    assert judged[0] and not judged[-1]


def test_a_loss_that_climbs_from_the_first_step_hits_the_ceiling_however_slowly() -> None:
    band = LossBand(vocab_size=VOCAB_SIZE)

    judged = [band.judge(3.8 * 1.02**step) for step in range(200)]

    assert judged[:50] == [Height.INSIDE] * 50
    assert set(judged[100:]) == {Height.DIVERGED}


def test_first_losses_are_judged_by_what_a_blind_guess_costs() -> None:
    band = LossBand(vocab_size=VOCAB_SIZE)

    assert [band.judge(loss) for loss in [10.4, 11.9, 20.0, 21.0]] == [Height.INSIDE] * 3 + [Height.DIVERGED]
