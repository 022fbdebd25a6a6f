"""The detector reports a spike and a run that diverges from its start, not a falling or noisy loss."""

from __future__ import annotations

import random

from bertd.train.loop.spike_detector import LossVerdict, SpikeDetector
from bertd.train.state import SpikeDetectorState

VOCAB_SIZE = 30522


def noisy(steps: int) -> list[float]:
    chooser = random.Random(3)
    return [2.0 + 7.0 * 0.98**step + chooser.gauss(0, 0.05) for step in range(steps)]


def test_a_loss_that_falls_with_noise_is_not_a_spike() -> None:
    band = SpikeDetector(vocab_size=VOCAB_SIZE)

    assert not any(band.judge(loss) for loss in noisy(500))


def test_a_jump_is_noticed_at_once() -> None:
    band = SpikeDetector(vocab_size=VOCAB_SIZE)
    for loss in noisy(200):
        band.judge(loss)

    assert band.judge(3.5) is LossVerdict.SPIKE
    assert band.upper_bound < 3.5


def test_the_first_losses_are_not_judged() -> None:
    band = SpikeDetector(vocab_size=VOCAB_SIZE)

    assert not any(band.judge(loss) for loss in [1.0, 9.0, 1.0, 9.0])


def test_a_loss_that_stays_up_is_the_new_normal_in_the_end() -> None:
    band = SpikeDetector(vocab_size=VOCAB_SIZE)
    for loss in noisy(200):
        band.judge(loss)

    judged = [band.judge(4.0) for _ in range(200)]

    assert judged[0] and not judged[-1]


def test_a_loss_that_climbs_from_the_first_step_hits_the_ceiling_however_slowly() -> None:
    band = SpikeDetector(vocab_size=VOCAB_SIZE)

    judged = [band.judge(3.8 * 1.02**step) for step in range(200)]

    assert judged[:50] == [LossVerdict.NORMAL] * 50
    assert set(judged[100:]) == {LossVerdict.DIVERGED}


def test_first_losses_are_judged_by_what_a_blind_guess_costs() -> None:
    band = SpikeDetector(vocab_size=VOCAB_SIZE)

    assert [band.judge(loss) for loss in [10.4, 11.9, 20.0, 21.0]] == [LossVerdict.NORMAL] * 3 + [LossVerdict.DIVERGED]


def climbing() -> list[float]:
    """A loss that rises slowly from 6 to 9, always within the band, and stays there."""
    chooser = random.Random(3)
    return [min(6.0 + 0.05 * step, 9.0) + chooser.gauss(0, 0.05) for step in range(200)]


def rises(band: SpikeDetector, losses: list[float]) -> list[int]:
    """Indices at which a rise is reported; every loss must be inside the band."""
    reported = []
    for place, loss in enumerate(losses):
        assert band.judge(loss) is LossVerdict.NORMAL
        if band.detect_rise(loss):
            reported.append(place)
    return reported


def test_a_loss_that_rises_slowly_within_its_band_is_reported_once() -> None:
    (place,) = rises(SpikeDetector(vocab_size=VOCAB_SIZE), climbing())

    assert climbing()[place] < 8.0


def test_a_low_loss_among_high_ones_does_not_report_the_rise_again() -> None:
    # The mean stays about 1.2 above its lowest, and every ninth loss is as low as ever.
    losses = [6.0 + min(0.03 * step, 1.3) if step % 9 else 6.0 for step in range(200)]
    assert len(rises(SpikeDetector(vocab_size=VOCAB_SIZE), losses)) == 1


def test_a_resume_neither_forgets_the_lowest_mean_nor_reports_the_rise_again() -> None:
    losses = climbing()
    whole = rises(SpikeDetector(vocab_size=VOCAB_SIZE), losses)
    for cut in (20, 100):
        first = SpikeDetector(vocab_size=VOCAB_SIZE)
        reported = rises(first, losses[:cut])
        saved = SpikeDetectorState.model_validate_json(first.state.model_dump_json())
        reported += [cut + place for place in rises(SpikeDetector(saved, vocab_size=VOCAB_SIZE), losses[cut:])]
        assert reported == whole


def test_a_rise_after_a_recovery_is_reported_again() -> None:
    band = SpikeDetector(vocab_size=VOCAB_SIZE)

    assert len(rises(band, [*climbing(), *reversed(climbing()), *climbing()])) == 2


def test_neither_a_noisy_fall_nor_a_spike_that_recovers_is_a_rise() -> None:
    band = SpikeDetector(vocab_size=VOCAB_SIZE)
    assert not rises(band, noisy(500))

    for _ in range(15):
        band.judge(8.0)

    assert band.state.mean > 4.0
    assert not rises(band, noisy(500)[400:])
