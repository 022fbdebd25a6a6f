"""A jump is noticed, a falling or noisy loss is not."""

from __future__ import annotations

import random

from bertd.train.spikes import LossBand


def noisy(steps: int) -> list[float]:
    chooser = random.Random(3)
    return [2.0 + 7.0 * 0.98**step + chooser.gauss(0, 0.05) for step in range(steps)]


def test_a_loss_that_falls_with_noise_is_no_spike() -> None:
    band = LossBand()

    assert not any(band.is_spike(loss) for loss in noisy(500))


def test_a_jump_is_noticed_at_once() -> None:
    band = LossBand()
    for loss in noisy(200):
        band.is_spike(loss)

    assert band.is_spike(3.5)
    assert band.top < 3.5


def test_the_first_losses_are_not_judged() -> None:
    band = LossBand()

    assert not any(band.is_spike(loss) for loss in [1.0, 9.0, 1.0, 9.0])


def test_a_loss_that_stays_up_is_the_new_normal_in_the_end() -> None:
    band = LossBand()
    for loss in noisy(200):
        band.is_spike(loss)

    judged = [band.is_spike(4.0) for _ in range(200)]

    assert judged[0] and not judged[-1]
