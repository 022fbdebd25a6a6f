"""bertd.run.ledger: each second is charged at most once, kept once ticked, and a crash loses at most a tick."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertd.errors import DamagedLedgerError, RunFolderError, StorageError
from bertd.run import ledger as ledger_module
from bertd.run.ledger import (
    ChargedClock,
    Ledger,
    LedgerState,
    SleepWatch,
    boot_id,
    charged_now,
    read_ledger,
    write_ledger,
)


class Clock:
    """CLOCK_MONOTONIC of a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.json"


def charged_s(path: Path, clock: Clock) -> float:
    return read_ledger(path).charged_s(monotonic_s=clock.now_s, boot=boot_id())


def test_an_absent_ledger_has_charged_nothing(path: Path, clock: Clock) -> None:
    assert read_ledger(path) == LedgerState()
    assert charged_s(path, clock) == 0


def test_only_time_between_begin_and_end_is_charged(path: Path, clock: Clock) -> None:
    ledger = Ledger(path)
    clock.now_s += 5
    ledger.begin()
    clock.now_s += 10
    ledger.end()
    clock.now_s += 100
    assert charged_s(path, clock) == 10
    ledger.begin()
    clock.now_s += 1
    ledger.end()
    assert charged_s(path, clock) == 11


def test_any_process_of_this_boot_reads_the_running_time_without_a_tick(path: Path, clock: Clock) -> None:
    ledger = Ledger(path)
    ledger.begin()
    clock.now_s += 0.25
    assert charged_s(path, clock) == 0.25


def test_an_open_segment_of_another_boot_counts_to_its_last_tick(path: Path, clock: Clock) -> None:
    ledger = Ledger(path)
    ledger.begin()
    clock.now_s += 7
    ledger.tick()
    clock.now_s += 0.9
    state = read_ledger(path)
    assert state.charged_s(monotonic_s=5.0, boot="another boot") == 7
    assert state.charged_s(monotonic_s=1e9, boot="another boot") == 7


def test_a_killed_runner_is_short_by_at_most_the_time_since_its_last_tick(path: Path, clock: Clock) -> None:
    ledger = Ledger(path)
    ledger.begin()
    clock.now_s += 7
    ledger.tick()
    clock.now_s += 0.9
    del ledger
    clock.now_s += 3600
    Ledger(path)
    assert charged_s(path, clock) == 7


def test_ticks_and_ends_without_a_segment_charge_nothing(path: Path, clock: Clock) -> None:
    ledger = Ledger(path)
    ledger.tick()
    clock.now_s += 5
    ledger.end()
    assert charged_s(path, clock) == 0


def test_a_file_that_is_no_ledger_is_refused_and_kept(path: Path) -> None:
    path.write_text("{torn")
    with pytest.raises(DamagedLedgerError, match=r"ledger\.json: not a ledger: .*; resume the run, which rebuilds it"):
        Ledger(path)
    assert path.read_text() == "{torn"


def test_no_turned_bit_changes_the_charge(path: Path) -> None:
    state = LedgerState(closed_s=100.5, open_since_s=7.25, open_boot="this one", ticked_s=131.75)
    write_ledger(path, state)
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            try:
                # Only white space and the case of an exponent's letter may differ.
                assert read_ledger(path) == state
            except RunFolderError:
                continue


def test_a_ledger_of_a_later_bertd_is_refused_by_its_format(path: Path) -> None:
    path.write_text('{"format": 2, "what": "nobody knows yet"}')
    with pytest.raises(RunFolderError, match="format 2; this bertd knows up to 1: upgrade it") as refused:
        read_ledger(path)
    assert not isinstance(refused.value, DamagedLedgerError), "it would be made anew"


def test_a_ledger_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot read the ledger: it is not a file"):
        read_ledger(tmp_path)


def test_rank_0_reads_the_same_time_as_the_runner(path: Path, clock: Clock) -> None:
    ledger = Ledger(path)
    ledger.begin()
    clock.now_s += 2
    rank_0 = ChargedClock(path)
    clock.now_s += 3
    ledger.tick()
    assert rank_0.now_s() == 5 == ledger.state.ticked_s


def test_rank_0_refuses_a_run_that_nobody_charges(path: Path, clock: Clock) -> None:
    with pytest.raises(RunFolderError, match="no segment is open"):
        ChargedClock(path)
    ledger = Ledger(path)
    ledger.begin()
    ledger.end()
    with pytest.raises(RunFolderError, match="no segment is open"):
        ChargedClock(path)


def test_rank_0_refuses_a_segment_of_another_boot(path: Path) -> None:
    write_ledger(path, LedgerState(open_since_s=0.0, open_boot="another boot", ticked_s=3.0))
    with pytest.raises(RunFolderError, match="no segment is open"):
        ChargedClock(path)


def test_the_runner_closes_a_segment_at_what_rank_0_said(path: Path, clock: Clock) -> None:
    ledger = Ledger(path)
    ledger.begin()
    clock.now_s += 10
    ledger.tick()
    clock.now_s += 3
    ledger.end(at_s=10.5)
    assert charged_s(path, clock) == 10.5


@pytest.mark.parametrize(("said_s", "charged"), [(1e9, 13.0), (2.0, 10.0)])
def test_what_rank_0_says_cannot_charge_a_second_that_was_not_or_take_one_back(
    path: Path, clock: Clock, said_s: float, charged: float
) -> None:
    ledger = Ledger(path)
    ledger.begin()
    clock.now_s += 10
    ledger.tick()
    clock.now_s += 3
    ledger.end(at_s=said_s)
    assert charged_s(path, clock) == charged


def test_a_hold_is_charged_by_neither_side(path: Path, clock: Clock) -> None:
    ledger = Ledger(path)
    ledger.begin()
    rank_0 = ChargedClock(path)
    clock.now_s += 4
    rank_0.suspend()
    clock.now_s += 0.2
    ledger.end(at_s=rank_0.now_s())
    clock.now_s += 3600
    assert rank_0.is_suspended
    assert charged_s(path, clock) == rank_0.now_s() == 4

    since_s = rank_0.resume()
    clock.now_s += 0.8
    ledger.begin(since_s=since_s)
    clock.now_s += 1.2
    assert charged_s(path, clock) == rank_0.now_s() == pytest.approx(6)


def test_a_hold_shorter_than_a_tick_is_not_charged_either(path: Path, clock: Clock) -> None:
    ledger = Ledger(path)
    ledger.begin()
    rank_0 = ChargedClock(path)
    clock.now_s += 4
    rank_0.suspend()
    said_s = rank_0.now_s()
    clock.now_s += 0.5
    since_s = rank_0.resume()
    clock.now_s += 0.25
    ledger.end(at_s=said_s)
    ledger.begin(since_s=since_s)
    assert charged_s(path, clock) == rank_0.now_s() == pytest.approx(4.25)


def test_a_segment_that_the_disk_kept_open_is_closed_when_it_has_room(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(path)
    ledger.begin()
    clock.now_s += 4

    def refuse(path: Path, text: str) -> None:
        raise StorageError("full")

    with monkeypatch.context() as full:
        full.setattr(ledger_module, "atomic_write", refuse)
        with pytest.raises(StorageError):
            ledger.end()
    clock.now_s += 100
    ledger.end()
    assert charged_s(path, clock) == 4


def test_neither_a_clock_step_nor_daylight_saving_is_charged(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(path)
    ledger.begin()
    for step_s in (86_400.0, -2 * 86_400.0, 3600.0):
        monkeypatch.setattr(time, "time", lambda step_s=step_s: 1.7e9 + step_s)
        monkeypatch.setenv("TZ", "Europe/Berlin" if step_s > 0 else "America/New_York")
        time.tzset()
        clock.now_s += 1
        ledger.tick()
    monkeypatch.delenv("TZ")
    time.tzset()
    assert charged_s(path, clock) == 3


def test_whoever_looks_sees_an_open_segment_run_while_a_runner_has_it(path: Path, clock: Clock) -> None:
    ledger = Ledger(path)
    ledger.begin()
    clock.now_s += 5
    ledger.tick()
    clock.now_s += 2
    assert charged_now(path, has_runner=True, reported_s=4.0) == 7
    # Its runner was killed after the tick.
    assert charged_now(path, has_runner=False, reported_s=4.0) == 5


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_the_journal_counts_where_the_ledger_is_gone_or_damaged(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    assert charged_now(path, has_runner=True, reported_s=4.0) == 4.0


def test_a_ledger_of_a_later_bertd_is_not_guessed_at(path: Path) -> None:
    path.write_text('{"format": 2}')
    with pytest.raises(RunFolderError, match="upgrade it"):
        charged_now(path, has_runner=False, reported_s=4.0)


def test_sleep_is_seen_once_and_not_charged(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    slept = 0.0
    monkeypatch.setattr(time, "clock_gettime", lambda clock_id: clock.now_s + slept)
    ledger = Ledger(path)
    ledger.begin()
    watch = SleepWatch()
    clock.now_s += 5
    slept += 7200
    assert watch.slept_s() == pytest.approx(7200)
    assert watch.slept_s() == 0
    slept += 0.01
    assert watch.slept_s() == 0, "reading two clocks takes a moment"
    assert charged_s(path, clock) == 5


@settings(max_examples=100)
@given(
    actions=st.lists(
        st.tuples(
            st.sampled_from(["begin", "tick", "end", "kill", "reboot"]),
            st.floats(min_value=0, max_value=1e4, allow_nan=False),
        ),
        max_size=25,
    )
)
def test_each_second_is_charged_at_most_once_and_a_ticked_one_is_never_lost(
    actions: list[tuple[str, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.json"
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock = Clock(monkeypatch)
        ledger = Ledger(path)
        ran_s = ticked_s = read_before_s = 0.0
        for number, (action, wait_s) in enumerate(actions):
            clock.now_s += wait_s
            ran_s += wait_s if ledger.state.open_since_s is not None else 0.0
            match action:
                case "begin" if ledger.state.open_since_s is None:
                    ledger.begin()
                case "tick":
                    ledger.tick()
                    ticked_s = ran_s if ledger.state.open_since_s is not None else ticked_s
                case "end":
                    ledger.end()
                    ticked_s = ran_s
                case "kill":
                    ledger = Ledger(path)
                    ran_s = ticked_s
                case "reboot":
                    monkeypatch.setattr(ledger_module, "boot_id", lambda name=f"boot {number}": name)
                    clock.now_s = 1.0
                    ledger = Ledger(path)
                    ran_s = ticked_s
            now_s = read_ledger(path).charged_s(monotonic_s=clock.now_s, boot=ledger_module.boot_id())
            assert now_s == pytest.approx(ran_s, abs=1e-6)
            if action not in ("kill", "reboot"):
                assert now_s >= read_before_s - 1e-9
            read_before_s = now_s


@pytest.mark.parametrize("target", ["/dev/zero", "elsewhere"])
def test_a_link_in_the_ledgers_place_is_refused_and_not_read_without_end(tmp_path: Path, target: str) -> None:
    (tmp_path / "ledger.json").symlink_to(target)
    with pytest.raises(RunFolderError, match="cannot read the ledger"):
        read_ledger(tmp_path / "ledger.json")
