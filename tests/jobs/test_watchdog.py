from __future__ import annotations

from pathlib import Path

import pytest

from bertd.jobs import log_cap
from bertd.jobs.log_cap import cap_log
from bertd.jobs.watchdog import TIMES_LONGEST, Patience, Watchdog

LAUNCHED = Watchdog(patience=Patience(before_first_step_s=1000.0, floor_s=100.0), beat_at_s=0.0, num_records=5)


def test_a_launch_has_time_for_a_compile() -> None:
    assert not LAUNCHED.is_hung(now_s=999.0)
    assert LAUNCHED.is_hung(now_s=1001.0)


def test_a_record_is_a_beat_and_the_first_step_shortens_the_patience() -> None:
    started = LAUNCHED.seen(num_records=6, has_stepped=False, now_s=900.0)
    assert not started.is_hung(now_s=1800.0)
    stepped = started.seen(num_records=7, has_stepped=True, now_s=1700.0)
    assert not stepped.is_hung(now_s=1800.0)
    assert stepped.is_hung(now_s=1801.0)


def test_a_look_that_sees_nothing_is_no_beat() -> None:
    assert LAUNCHED.seen(num_records=5, has_stepped=True, now_s=500.0) == LAUNCHED


def test_long_validations_are_learnt() -> None:
    watchdog = LAUNCHED.seen(num_records=6, has_stepped=True, now_s=10.0)
    watchdog = watchdog.seen(num_records=7, has_stepped=True, now_s=60.0)
    watchdog = watchdog.seen(num_records=8, has_stepped=True, now_s=61.0)
    assert watchdog.limit_s() == 50.0 * TIMES_LONGEST


def test_a_log_that_is_too_long_keeps_its_end_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_cap, "MAX_LOG_BYTES", 1000)
    monkeypatch.setattr(log_cap, "KEPT_BYTES", 100)
    log = tmp_path / "job.log"
    with log.open("ab") as writer:
        writer.write(b"".join(b"line %d\n" % number for number in range(500)))
        writer.flush()
        cap_log(log)
        writer.write(b"line 500\n")
    lines = log.read_text().splitlines()
    assert lines[0].startswith("runner: the log was longer than")
    assert lines[-2:] == ["line 499", "line 500"]
    assert all(line.startswith("line ") for line in lines[1:])
    assert log.stat().st_size < 300


def test_a_log_within_its_bounds_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("a line\n")
    cap_log(log)
    assert log.read_text() == "a line\n"
