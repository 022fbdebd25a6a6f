"""Times of a log: found by halves, bounded, and right after the log was cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.run import log_times
from bertd.run.log_times import LogTimes, find_begin, find_end, noting_log_times, read_log_times


def test_what_was_noted_is_read_and_a_quiet_log_notes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "job.times"
    times = LogTimes(path)
    for now, size in ((100.0, 0), (100.5, 7), (101.0, 10), (102.0, 10), (200.0, 30)):
        times.note(size, now=now)
    assert read_log_times(path) == [(100.0, 0), (101.0, 10), (200.0, 30)]
    LogTimes(path).note(40, now=201.0)
    assert read_log_times(path)[-1] == (201.0, 40)


def test_a_log_that_was_cut_and_a_clock_that_was_set_back_begin_again(tmp_path: Path) -> None:
    times = LogTimes(tmp_path / "job.times")
    for now, size in ((100.0, 50), (101.0, 90), (102.0, 20)):
        times.note(size, now=now)
    assert read_log_times(tmp_path / "job.times") == [(102.0, 20)]
    times.note(30, now=50.0)
    assert read_log_times(tmp_path / "job.times") == [(50.0, 30)]


def test_a_long_log_has_a_bounded_number_of_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_times, "MAX_ROWS", 64)
    times = LogTimes(tmp_path / "job.times")
    for second in range(2_000):
        times.note(10 * second, now=1e6 + second)
        assert len(times._rows) <= 64
    rows = read_log_times(tmp_path / "job.times")
    assert 32 <= len(rows) <= 64
    assert rows[0] == (1e6, 0)
    assert find_begin(rows, 1e6 + 1_000) <= 10_000


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 99)), max_size=40), st.floats(0, 3_000))
def test_no_byte_of_the_time_is_left_out(steps: list[tuple[int, int]], t: float) -> None:
    rows, now, size = [(0.0, 0)], 0.0, 0
    written: list[tuple[float, int]] = []
    for seconds, count in steps:
        written += [(now + seconds / 2, size + place) for place in range(count)]
        now, size = now + seconds, size + count
        rows.append((now, size))
    begin, end = find_begin(rows, t), find_end(rows, t)
    assert all(place >= begin for at, place in written if at >= t)
    assert end is None or all(place < end for at, place in written if at < t)


def test_lines_that_are_no_times_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "job.times"
    assert read_log_times(path) == []
    path.write_bytes(b"1.0 5\n\xff\n\n2.0\n3.0 x\nnan 7\n0.5 9\n4.0 8\n5.0 ")
    assert read_log_times(path) == [(1.0, 5), (4.0, 8)]


def test_the_size_is_noted_at_the_begin_and_at_the_end(tmp_path: Path) -> None:
    log, times = tmp_path / "job.log", tmp_path / "job.times"
    log.write_text("before\n")
    with noting_log_times(times, log=log):
        assert [size for _, size in read_log_times(times)] == [7]
        log.unlink()
    assert [size for _, size in read_log_times(times)] == [7]
