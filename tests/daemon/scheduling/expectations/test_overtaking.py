"""Expected starts of jobs that overtake: earlier where devices are free, never later than in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bertd.daemon.scheduling.expectations.forecast import (
    DeviceOutlook,
    ExpectedTimes,
    GroupOutlook,
    Release,
    WaitingJob,
    forecast,
)
from bertd.daemon.scheduling.expectations.overtaking import forecast_with_overtaking

NOW = 1000.0


def devices(free: int, *releases: tuple[float | None, int]) -> dict[str, DeviceOutlook]:
    return {"gpu": DeviceOutlook(free, tuple(Release(t, number) for t, number in releases))}


def job(
    id: int, number: int, duration_s: float | None, *, not_before_t: float = 0.0, after: tuple[int, ...] = ()
) -> WaitingJob:
    return WaitingJob(id, number, duration_s, not_before_t, after, device_kind="gpu")


def test_a_job_that_fits_before_the_large_one_ahead_of_it_starts_at_once() -> None:
    line = [job(1, 8, 500.0), job(2, 2, 100.0), job(3, 2, 101.0), job(4, 1, 100.0)]
    expected = forecast_with_overtaking(line, devices(2, (NOW + 100, 6)), now=NOW)
    assert expected == {
        1: ExpectedTimes(NOW + 100, NOW + 600),
        2: ExpectedTimes(NOW, NOW + 100),
        # It would delay the first, and the free ones are taken.
        3: ExpectedTimes(NOW + 600, NOW + 701),
        4: ExpectedTimes(NOW + 600, NOW + 700),
    }


def test_a_job_without_a_known_end_overtakes_nobody_and_lets_nobody_overtake_what_it_may_delay() -> None:
    line = [job(1, 8, 500.0), job(2, 1, None), job(3, 1, 50.0)]
    expected = forecast_with_overtaking(line, devices(2, (NOW + 100, 6)), now=NOW)
    assert [expected[id].start_t for id in (1, 2, 3)] == [NOW + 100, NOW + 600, NOW]
    unknown = forecast_with_overtaking(line, devices(2, (None, 6)), now=NOW)
    assert set(unknown.values()) == {ExpectedTimes()}


def test_times_dependencies_and_groups_are_as_in_the_forecast_in_order() -> None:
    groups = GroupOutlook({})
    line = [job(1, 8, 500.0), job(2, 1, 50.0, not_before_t=NOW + 30), job(3, 1, 50.0, after=(1,)), job(4, 1, 50.0)]
    machine = devices(2, (NOW + 100, 6))
    expected = forecast_with_overtaking(line, machine, now=NOW, groups=groups)
    assert expected[2] == ExpectedTimes(NOW + 30, NOW + 80)
    in_order = forecast(line, machine, now=NOW, groups=groups)
    assert [expected[id] for id in (3, 4)] == [in_order[id] for id in (3, 4)]


_JOBS = st.lists(
    st.tuples(st.integers(1, 8), st.one_of(st.none(), st.integers(1, 300)), st.integers(0, 400)), max_size=60
)


@given(asked=_JOBS, ends=st.lists(st.one_of(st.none(), st.integers(1, 500)), max_size=8))
def test_no_job_is_expected_later_than_in_order_or_before_its_time(
    asked: list[tuple[int, int | None, int]], ends: list[int | None]
) -> None:
    line = [
        job(id, number, None if duration is None else float(duration), not_before_t=NOW + begin if begin > 200 else 0.0)
        for id, (number, duration, begin) in enumerate(asked)
    ]
    machine = devices(8 - len(ends), *((None if end is None else NOW + end, 1) for end in ends))
    in_order = forecast(line, machine, now=NOW)
    expected = forecast_with_overtaking(line, machine, now=NOW)
    assert expected.keys() == in_order.keys()
    for id, times in expected.items():
        first_t, start_t = in_order[id].start_t, times.start_t
        assert (start_t is None) == (first_t is None)
        if start_t is not None and first_t is not None:
            assert max(NOW, line[id].not_before_t) <= start_t <= first_t
