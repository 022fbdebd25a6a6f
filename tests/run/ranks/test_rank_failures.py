"""bertd.run.ranks.rank_failures."""

from __future__ import annotations

import pytest

from bertd.run.ranks.rank_failures import FailureBoard, report_failure


def test_the_first_report_with_the_exit_status_counts() -> None:
    board = FailureBoard()
    assert board.first(exit_code=65) is None
    assert report_failure(board.path, rank=3, exit_code=1, code="RuntimeError", message="closed by peer")
    assert report_failure(board.path, rank=2, exit_code=65, code="ShardError", message="größe" * 1000)
    assert not report_failure(board.path, rank=0, exit_code=65, code="ShardError", message="größe" * 1000)
    first, lost = board.first(exit_code=65), board.first(exit_code=1)
    assert first is not None and (first.rank, first.message) == (2, ("größe" * 1000)[:1000])
    assert lost is not None and lost.rank == 3
    board.close()


def test_a_message_of_escapes_fits_its_slot() -> None:
    board = FailureBoard()
    report_failure(board.path, rank=0, exit_code=1, code="E", message="\x00" * 5000)
    report_failure(board.path, rank=1, exit_code=2, code="E", message="b")
    assert board.first(exit_code=1) is not None and board.first(exit_code=2) is not None
    board.close()


def test_without_a_board_only_rank_0_prints(capfd: pytest.CaptureFixture[str]) -> None:
    assert [report_failure(None, rank=rank, exit_code=1, code="E", message="m") for rank in (0, 1)] == [True, True]
    assert report_failure("/nowhere/board", rank=1, exit_code=1, code="E", message="m")
    assert "no board" in capfd.readouterr().out
