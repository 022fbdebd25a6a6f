"""A run is compared at the same share of the budget, in nats and in time."""

from __future__ import annotations

import math

import pytest

from bertd.api.models import RunView, SeriesView
from tests.tui.fake_feed import FakeFeed
from tui.charts.reference import PUBLISHED, Reference, find_lead, lead_text, reference_of_run, sampled


def _run(*, progress: float, loss: float) -> RunView:
    run = FakeFeed().status.runs[0]
    assert run.validation is not None
    validation = run.validation.model_copy(update={"progress": progress, "loss": loss, "charged_s": 86_400 * progress})
    return run.model_copy(update={"validation": validation})


OTHER = Reference("7-other", "7-other", ((0.1, 4.0), (0.2, 3.0), (0.4, 2.5), (0.8, 2.0)))


def test_a_run_with_the_loss_that_the_other_had_later_is_ahead_by_that_time() -> None:
    lead = find_lead(_run(progress=0.2, loss=2.5), OTHER)
    assert lead is not None
    assert lead.nats == pytest.approx(0.5)
    assert lead.seconds == pytest.approx(0.2 * 86_400)
    assert lead_text(lead, OTHER) == "0.500 nats and 4h 48m ahead of 7-other"


def test_a_run_with_the_loss_that_the_other_had_before_is_behind() -> None:
    lead = find_lead(_run(progress=0.4, loss=3.0), OTHER)
    assert lead is not None
    assert lead_text(lead, OTHER) == "0.500 nats and 4h 48m behind 7-other"


def test_a_loss_that_the_other_never_had_gives_no_time() -> None:
    lead = find_lead(_run(progress=0.4, loss=1.5), OTHER)
    assert lead is not None and lead.seconds is None
    assert lead_text(lead, OTHER) == "1.000 nats ahead of 7-other at any time"


@pytest.mark.parametrize(("progress", "loss"), [(0.05, 3.0), (0.9, 3.0), (0.4, math.nan)])
def test_where_one_of_them_has_no_loss_there_is_no_comparison(progress: float, loss: float) -> None:
    assert find_lead(_run(progress=progress, loss=loss), OTHER) is None


def test_the_published_points_are_kept_as_they_are_and_rise_in_share() -> None:
    shares = [share for share, _ in PUBLISHED.points]
    assert shares == sorted(shares) and shares[-1] == 1.0
    for share, loss in PUBLISHED.points:
        assert PUBLISHED.loss_at(share) == pytest.approx(loss)
    drawn = sampled(PUBLISHED, num_points=50)
    assert drawn[0][0] == pytest.approx(0.05) and drawn[-1] == (1.0, 1.717)
    assert [y for _, y in drawn] == sorted((y for _, y in drawn), reverse=True)


def test_gaps_of_another_run_are_left_out() -> None:
    series = SeriesView(
        run_id="7-other", x="progress", columns={"validation": [(0.0, 9.0), (0.1, 4.0), (0.1, math.nan), (0.2, 3.0)]}
    )
    assert reference_of_run(series, name="seven").points == ((0.1, 4.0), (0.2, 3.0))
