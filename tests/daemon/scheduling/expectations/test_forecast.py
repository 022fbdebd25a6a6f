from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bertd.daemon.scheduling.expectations.forecast import (
    DeviceOutlook,
    ExpectedTimes,
    Release,
    WaitingJob,
    forecast,
    is_wrong,
    may_overtake,
)

NOW = 1000.0


def cpus(num_free: int, releases: list[Release]) -> dict[str, DeviceOutlook]:
    return {"cpu": DeviceOutlook(num_free, tuple(releases))}


def test_a_job_starts_when_enough_devices_are_free_and_the_next_one_after_it() -> None:
    waiting = [WaitingJob(1, 4, 100.0), WaitingJob(2, 1, 10.0), WaitingJob(3, 8, None)]
    releases = [Release(NOW + 50, 2), Release(NOW + 20, 2), Release(NOW + 400, 4)]
    assert forecast(waiting, cpus(0, releases), now=NOW) == {
        1: ExpectedTimes(NOW + 50, NOW + 150),
        # It fits at 20, and is behind job 1.
        2: ExpectedTimes(NOW + 150, NOW + 160),
        3: ExpectedTimes(NOW + 400, None),
    }


def test_what_needs_a_device_without_a_known_end_has_no_expected_start() -> None:
    waiting = [WaitingJob(1, 1, None), WaitingJob(2, 2, 5.0), WaitingJob(3, 1, 5.0)]
    expected = forecast(waiting, cpus(1, [Release(None, 1)]), now=NOW)
    assert expected == {1: ExpectedTimes(NOW, None), 2: ExpectedTimes(), 3: ExpectedTimes()}


def test_a_job_that_waits_for_a_time_or_another_job_holds_nobody_up() -> None:
    waiting = [
        WaitingJob(1, 1, 10.0, not_before_t=NOW + 100),
        WaitingJob(2, 1, 10.0, after=(3,)),
        WaitingJob(3, 1, 30.0),
        WaitingJob(4, 1, 5.0, after=(9,)),
        WaitingJob(5, 1, 5.0, after=(8,)),
    ]
    expected = forecast(waiting, cpus(1, []), now=NOW, ends={8: NOW + 200, 9: None})
    assert expected == {
        1: ExpectedTimes(NOW + 100, NOW + 110),
        2: ExpectedTimes(NOW + 30, NOW + 40),
        3: ExpectedTimes(NOW, NOW + 30),
        4: ExpectedTimes(),
        5: ExpectedTimes(NOW + 200, NOW + 205),
    }


def test_a_small_job_overtakes_only_where_a_large_one_is_not_delayed() -> None:
    large, releases = WaitingJob(1, 8, 100.0), [Release(NOW + 60, 6)]
    assert may_overtake(WaitingJob(2, 2, 60.0), [large], cpus(2, releases), now=NOW)
    assert not may_overtake(WaitingJob(2, 2, 61.0), [large], cpus(2, releases), now=NOW)
    assert not may_overtake(WaitingJob(2, 2, None), [large], cpus(2, releases), now=NOW)
    assert not may_overtake(WaitingJob(2, 3, 1.0), [large], cpus(2, releases), now=NOW)
    # Job 1 leaves two devices unused, so a long job may have them.
    assert may_overtake(WaitingJob(2, 2, 9e9), [WaitingJob(1, 6, 1.0)], cpus(2, releases), now=NOW)
    assert not may_overtake(WaitingJob(2, 2, 1.0), [large], cpus(2, [Release(None, 6)]), now=NOW)


def test_a_start_is_wrong_by_more_than_a_quarter_of_the_wait_and_a_minute() -> None:
    assert not is_wrong(made_t=0, expected_t=4000, actual_t=5000)
    assert is_wrong(made_t=0, expected_t=4000, actual_t=5001)
    assert is_wrong(made_t=0, expected_t=4000, actual_t=2999)
    assert not is_wrong(made_t=0, expected_t=10, actual_t=70)


JOBS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.none() | st.integers(1, 50).map(float),
        st.integers(0, 30).map(float),
        st.lists(st.integers(1, 8), max_size=2),
    ),
    max_size=8,
)
RELEASES = st.lists(st.tuples(st.none() | st.integers(0, 50).map(float), st.integers(1, 3)), max_size=4)


def build(
    drawn_jobs: list[tuple[int, float | None, float, list[int]]], drawn: list[tuple[float | None, int]]
) -> tuple[list[WaitingJob], list[Release]]:
    jobs = [
        WaitingJob(id, num, seconds, not_before_t=NOW + later, after=tuple({other for other in after if other < id}))
        for id, (num, seconds, later, after) in enumerate(drawn_jobs, start=1)
    ]
    return jobs, [Release(None if t is None else NOW + t, num) for t, num in drawn]


@given(JOBS, RELEASES, st.integers(0, 4))
def test_no_device_is_given_twice_and_no_job_starts_before_it_may(
    drawn_jobs: list[tuple[int, float | None, float, list[int]]],
    drawn_releases: list[tuple[float | None, int]],
    num_free: int,
) -> None:
    jobs, releases = build(drawn_jobs, drawn_releases)
    expected = forecast(jobs, cpus(num_free, releases), now=NOW)
    assert expected.keys() == {job.id for job in jobs}
    for job in jobs:
        start_t, end_t = expected[job.id].start_t, expected[job.id].end_t
        if start_t is None:
            continue
        assert start_t >= max(NOW, job.not_before_t)
        assert end_t == (None if job.duration_s is None else start_t + job.duration_s)
        for id in job.after:
            other_end_t = expected[id].end_t
            assert other_end_t is not None and other_end_t <= start_t
        free = num_free + sum(r.num_devices for r in releases if r.t is not None and r.t <= start_t)
        for other in jobs:
            began_t, ended_t = expected[other.id].start_t, expected[other.id].end_t
            if began_t is not None and began_t <= start_t and (ended_t is None or ended_t > start_t):
                free -= other.num_devices
        assert free >= 0


@given(JOBS, RELEASES, st.integers(0, 4), st.integers(1, 4), st.integers(1, 60).map(float))
def test_what_overtakes_delays_none_of_those_ahead_of_it(
    drawn_jobs: list[tuple[int, float | None, float, list[int]]],
    drawn_releases: list[tuple[float | None, int]],
    num_free: int,
    num_devices: int,
    seconds: float,
) -> None:
    ahead, releases = build([(num, length, 0.0, []) for num, length, _, _ in drawn_jobs], drawn_releases)
    candidate = WaitingJob(99, num_devices, seconds)
    if not may_overtake(candidate, ahead, cpus(num_free, releases), now=NOW):
        return
    alone = forecast(ahead, cpus(num_free, releases), now=NOW)
    together = forecast([candidate, *ahead], cpus(num_free, releases), now=NOW)
    assert together[99].start_t == NOW
    for job in ahead:
        before_t, after_t = alone[job.id].start_t, together[job.id].start_t
        assert before_t is not None and after_t is not None and after_t <= before_t
