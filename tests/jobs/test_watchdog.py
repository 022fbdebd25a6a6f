from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertd.jobs import log_cap
from bertd.jobs.log_cap import cap_log
from bertd.jobs.watchdog import TIMES_FIRST, TIMES_LONGEST, Patience, Watchdog
from bertd.run.beats import Beat, Section

PATIENCE = Patience(start_s=1000.0, compile_s=500.0, step_s=100.0, validation_s=200.0, save_s=300.0, hold_s=50.0)
LAUNCHED = Watchdog(patience=PATIENCE, beat_at_s=0.0, looked_at_s=0.0)


def beat(section: Section, count: int, *, rank: int = 0, step: int = 0) -> Beat:
    return Beat(rank=rank, pid=10 + rank, section=section, step=step, count=count, is_first=count == 1)


def after(*looks: tuple[float, Beat]) -> Watchdog:
    """After so many looks, with one every second between them."""
    watchdog, now_s = LAUNCHED, 0.0
    for at_s, seen in looks:
        while now_s + 1.0 < at_s:
            now_s += 1.0
            watchdog = watchdog.seen(watchdog.beats, now_s=now_s)
        now_s = at_s
        watchdog = watchdog.seen((seen,), now_s=now_s)
    return watchdog


def test_a_launch_has_time_to_start() -> None:
    assert not LAUNCHED.is_hung(now_s=999.0)
    assert LAUNCHED.is_hung(now_s=1001.0)
    assert after((1.0, beat(Section.START, 1))).limit_s() == PATIENCE.start_s


@pytest.mark.parametrize("section", [Section.STEP, Section.VALIDATION, Section.SAVE])
def test_the_first_of_each_section_may_compile_and_the_next_may_not(section: Section) -> None:
    first = after((1.0, beat(section, 1)))
    assert first.limit_s() == PATIENCE.compile_s
    second = after((1.0, beat(section, 1)), (2.0, beat(section, 2, step=1)))
    assert second.limit_s() == PATIENCE.floor_s(section)


def test_a_look_that_sees_nothing_is_no_beat() -> None:
    stepped = after((1.0, beat(Section.STEP, 1)), (2.0, beat(Section.STEP, 2)))
    for second in range(3, 102):
        stepped = stepped.seen(stepped.beats, now_s=float(second))
    assert not stepped.is_hung(now_s=102.0)
    assert stepped.is_hung(now_s=102.1)


def test_a_beat_without_a_higher_step_is_one() -> None:
    # A rank that holds, or validates in pieces, gets on without training.
    assert after((1.0, beat(Section.HOLD, 1)), (40.0, beat(Section.HOLD, 2))).beat_at_s == 40.0


def test_long_steps_are_learnt() -> None:
    first = after((1.0, beat(Section.STEP, 1)), (401.0, beat(Section.STEP, 2)))
    assert first.limit_s() == 400.0 * TIMES_FIRST
    second = after((1.0, beat(Section.STEP, 1)), (2.0, beat(Section.STEP, 2)), (52.0, beat(Section.STEP, 3)))
    assert second.limit_s() == 50.0 * TIMES_LONGEST


def test_ranks_are_patient_with_the_one_that_saves() -> None:
    # Rank 0 writes while rank 1 waits for it at the next exchange.
    both = (beat(Section.SAVE, 5), beat(Section.STEP, 4, rank=1))
    watchdog = LAUNCHED.seen(both, now_s=1.0)
    later = (beat(Section.SAVE, 6), beat(Section.STEP, 5, rank=1))
    assert watchdog.seen(later, now_s=2.0).limit_s() == PATIENCE.save_s


def test_a_watchdog_that_was_stopped_itself_does_not_count_that_time() -> None:
    stepped = after((1.0, beat(Section.STEP, 1)), (2.0, beat(Section.STEP, 2)))
    woken = stepped.seen(stepped.beats, now_s=5000.0)
    assert not woken.is_hung(now_s=5001.0)


def test_the_rank_that_is_behind_is_named() -> None:
    both = (beat(Section.STEP, 9, step=8), beat(Section.STEP, 8, rank=1, step=7))
    text = LAUNCHED.seen(both, now_s=1.0).describe(now_s=601.0)
    assert text.startswith("no rank got on for 10m 00s, the limit here is 1m 40s")
    assert "rank 1 (pid 11) is the furthest behind, in its step after step 7" in text
    level = LAUNCHED.seen((both[1], beat(Section.STEP, 8, step=7)), now_s=1.0)
    assert "rank 1 (pid 11) and rank 0 (pid 10) are equally far, in their step after step 7" in level.describe(
        now_s=9.0
    )
    halted = level.describe(now_s=9.0, stopped=[11])
    assert halted.endswith("; rank 1 (pid 11) was stopped by a signal, in its step after step 7")
    assert "no rank was heard of for 5s since the launch" in LAUNCHED.describe(now_s=5.0)


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


def test_a_log_that_is_gone_ends_no_job(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cap_log(tmp_path / "job.log")
    assert "the log cannot be cut: No such file or directory" in capfd.readouterr().out


def test_a_log_that_was_deleted_is_cut_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_cap, "MAX_LOG_BYTES", 1000)
    monkeypatch.setattr(log_cap, "KEPT_BYTES", 100)
    log = tmp_path / "job.log"
    with log.open("ab") as writer:
        writer.write(b"line\n" * 500)
        writer.flush()
        log.unlink()
        cap_log(Path(f"/proc/self/fd/{writer.fileno()}"))
        assert os.fstat(writer.fileno()).st_size < 300


def test_a_log_within_its_bounds_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("a line\n")
    cap_log(log)
    assert log.read_text() == "a line\n"
