"""Progress of reading without a terminal: a line now and then."""

from __future__ import annotations

import pytest

from bertd.data.prepare.progress import ReadingProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("bertd.data.prepare.progress.time.monotonic", lambda: now[0])
    return now


def test_a_line_tells_documents_and_text_a_second_and_the_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = ReadingProgress(bytes_total=1_000, bar=None)
    clock[0] += 5
    progress.update(documents=300, bytes_read=100, text_bytes=10_000_000)
    assert capsys.readouterr().err == ""
    clock[0] += 15
    progress.update(documents=100, bytes_read=250, text_bytes=40_000_000)
    assert capsys.readouterr().err == " 25%  20 documents/s  2.0 MB/s  1m 00s left\n"


def test_what_an_earlier_attempt_did_makes_this_one_no_faster(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = ReadingProgress(bytes_total=1_000, bar=None)
    clock[0] += 20
    progress.update(documents=100, bytes_read=900, bytes_before=800, text_bytes=40_000_000)
    assert capsys.readouterr().err == " 90%  5 documents/s  2.0 MB/s  20s left\n"


def test_where_the_size_is_not_known_no_time_is_told(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = ReadingProgress(bytes_total=0, bar=None)
    clock[0] += 20
    progress.update(documents=4_000, bytes_read=0, text_bytes=40_000_000)
    assert capsys.readouterr().err == "4,000 documents  200 documents/s  2.0 MB/s\n"
