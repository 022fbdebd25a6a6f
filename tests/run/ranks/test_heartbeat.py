from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertd.errors import RunFolderError
from bertd.run.ranks.heartbeat import LINE_BYTES, NO_HEARTBEAT, Heartbeat, HeartbeatBoard, Phase


def test_each_rank_has_a_line_and_the_newest_beat_stands_there() -> None:
    board = HeartbeatBoard()
    first, third = Heartbeat(board.path, rank=0), Heartbeat(board.path, rank=2)
    first.beat(Phase.START, step=0)
    third.beat(Phase.STEP, step=41)
    third.beat(Phase.VALIDATION, step=123456789012)
    beats = board.read()
    assert [(beat.rank, beat.section, beat.step, beat.count) for beat in beats] == [
        (0, Phase.START, 0, 1),
        (2, Phase.VALIDATION, 123456789012, 2),
    ]
    assert {beat.pid for beat in beats} == {os.getpid()}
    board.close()


def test_the_longest_beat_fits_its_line() -> None:
    board = HeartbeatBoard()
    heartbeat = Heartbeat(board.path, rank=99_999)
    heartbeat._count = 10**18
    heartbeat.beat(Phase.VALIDATION, step=10**15)
    with Path(board.path).open("rb") as file:
        file.seek(99_999 * LINE_BYTES)
        line = file.read()
    assert len(line) == LINE_BYTES and line.endswith(b"\n")
    board.close()


def test_half_a_beat_is_none() -> None:
    board = HeartbeatBoard()
    Path(board.path).write_bytes(b'{"rank":0,"pid":1,"sec')
    assert board.read() == ()
    board.close()


def test_ranks_that_nobody_watches_beat_into_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(os, "pwrite", lambda _fd, line, _place: written.append(line))
    board = HeartbeatBoard()
    for heartbeat in (NO_HEARTBEAT, Heartbeat(board.path, rank=0)):
        heartbeat.beat(Phase.STEP, step=1)
    board.close()
    assert len(written) == 1


def test_a_board_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="BERTD_BEATS=/proc/0/fd/3: no board"):
        Heartbeat("/proc/0/fd/3", rank=0)
