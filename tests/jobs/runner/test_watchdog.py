from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertd.jobs.runner import log_truncation
from bertd.jobs.runner.log_truncation import truncate_log
from bertd.jobs.runner.watchdog import FIRST_FACTOR, LONGEST_FACTOR, HangTimeouts, Watchdog
from bertd.run.ranks.heartbeat import HeartbeatRecord, Phase

TIMEOUTS = HangTimeouts(start_s=1000.0, compile_s=500.0, step_s=100.0, validation_s=200.0, save_s=300.0, suspend_s=50.0)
LAUNCHED = Watchdog(timeouts=TIMEOUTS, last_beat_s=0.0, last_look_s=0.0)


def beat(section: Phase, count: int, *, rank: int = 0, step: int = 0) -> HeartbeatRecord:
    return HeartbeatRecord(rank=rank, pid=10 + rank, section=section, step=step, count=count, is_first=count == 1)


def after(*looks: tuple[float, HeartbeatRecord]) -> Watchdog:
    """The watchdog after this many looks, one a second."""
    watchdog, now_s = LAUNCHED, 0.0
    for at_s, seen in looks:
        while now_s + 1.0 < at_s:
            now_s += 1.0
            watchdog = watchdog.observe(watchdog.beats, now_s=now_s)
        now_s = at_s
        watchdog = watchdog.observe((seen,), now_s=now_s)
    return watchdog


def test_a_launch_has_time_to_start() -> None:
    assert not LAUNCHED.is_hung(now_s=999.0)
    assert LAUNCHED.is_hung(now_s=1001.0)
    assert after((1.0, beat(Phase.START, 1))).limit_s() == TIMEOUTS.start_s


@pytest.mark.parametrize("section", [Phase.STEP, Phase.VALIDATION, Phase.SAVE])
def test_the_first_of_each_section_may_compile_and_the_next_may_not(section: Phase) -> None:
    first = after((1.0, beat(section, 1)))
    assert first.limit_s() == TIMEOUTS.compile_s
    second = after((1.0, beat(section, 1)), (2.0, beat(section, 2, step=1)))
    assert second.limit_s() == TIMEOUTS.min_timeout_s(section)


def test_a_look_that_sees_nothing_is_no_beat() -> None:
    stepped = after((1.0, beat(Phase.STEP, 1)), (2.0, beat(Phase.STEP, 2)))
    for second in range(3, 102):
        stepped = stepped.observe(stepped.beats, now_s=float(second))
    assert not stepped.is_hung(now_s=102.0)
    assert stepped.is_hung(now_s=102.1)


def test_a_beat_without_a_higher_step_is_one() -> None:
    # A rank that is suspended, or validates in chunks, sends beats without training.
    assert after((1.0, beat(Phase.SUSPEND, 1)), (40.0, beat(Phase.SUSPEND, 2))).last_beat_s == 40.0


def test_long_steps_are_learnt() -> None:
    first = after((1.0, beat(Phase.STEP, 1)), (401.0, beat(Phase.STEP, 2)))
    assert first.limit_s() == 400.0 * FIRST_FACTOR
    second = after((1.0, beat(Phase.STEP, 1)), (2.0, beat(Phase.STEP, 2)), (52.0, beat(Phase.STEP, 3)))
    assert second.limit_s() == 50.0 * LONGEST_FACTOR


def test_ranks_are_patient_with_the_one_that_saves() -> None:
    # Rank 0 writes while rank 1 waits for it at the next collective operation.
    both = (beat(Phase.SAVE, 5), beat(Phase.STEP, 4, rank=1))
    watchdog = LAUNCHED.observe(both, now_s=1.0)
    later = (beat(Phase.SAVE, 6), beat(Phase.STEP, 5, rank=1))
    assert watchdog.observe(later, now_s=2.0).limit_s() == TIMEOUTS.save_s


def test_a_watchdog_that_was_stopped_itself_does_not_count_that_time() -> None:
    stepped = after((1.0, beat(Phase.STEP, 1)), (2.0, beat(Phase.STEP, 2)))
    woken = stepped.observe(stepped.beats, now_s=5000.0)
    assert not woken.is_hung(now_s=5001.0)


def test_the_rank_that_is_behind_is_named() -> None:
    both = (beat(Phase.STEP, 9, step=8), beat(Phase.STEP, 8, rank=1, step=7))
    text = LAUNCHED.observe(both, now_s=1.0).describe(now_s=601.0)
    assert text.startswith("no rank made progress for 10m 00s, the limit is 1m 40s")
    assert "rank 1 (pid 11) is the furthest behind, in its step after step 7" in text
    level = LAUNCHED.observe((both[1], beat(Phase.STEP, 8, step=7)), now_s=1.0)
    assert "rank 1 (pid 11) and rank 0 (pid 10) are equally far, in their step after step 7" in level.describe(
        now_s=9.0
    )
    halted = level.describe(now_s=9.0, stopped=[11])
    assert halted.endswith("; rank 1 (pid 11) was stopped by a signal, in its step after step 7")
    assert "no heartbeat from any rank for 5s since the launch" in LAUNCHED.describe(now_s=5.0)


def test_a_log_that_is_too_long_keeps_its_end_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_truncation, "MAX_LOG_BYTES", 1000)
    monkeypatch.setattr(log_truncation, "KEPT_BYTES", 100)
    log = tmp_path / "job.log"
    with log.open("ab") as writer:
        writer.write(b"".join(b"line %d\n" % number for number in range(500)))
        writer.flush()
        truncate_log(log)
        writer.write(b"line 500\n")
    lines = log.read_text().splitlines()
    assert lines[0].startswith("runner: the log was longer than")
    assert lines[-2:] == ["line 499", "line 500"]
    assert all(line.startswith("line ") for line in lines[1:])
    assert log.stat().st_size < 300


def test_a_log_that_is_gone_ends_no_job(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    truncate_log(tmp_path / "job.log")
    assert "the log cannot be truncated: No such file or directory" in capfd.readouterr().out


def test_a_log_that_was_deleted_is_cut_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_truncation, "MAX_LOG_BYTES", 1000)
    monkeypatch.setattr(log_truncation, "KEPT_BYTES", 100)
    log = tmp_path / "job.log"
    with log.open("ab") as writer:
        writer.write(b"line\n" * 500)
        writer.flush()
        log.unlink()
        truncate_log(Path(f"/proc/self/fd/{writer.fileno()}"))
        assert os.fstat(writer.fileno()).st_size < 300


def test_a_log_within_its_bounds_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("a line\n")
    truncate_log(log)
    assert log.read_text() == "a line\n"
