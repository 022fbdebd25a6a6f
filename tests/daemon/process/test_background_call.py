"""bertd.daemon.process.background_call: a result is handed on once, in the round's thread, and so is an error."""

from __future__ import annotations

import threading

import pytest

from bertd.daemon.process.background_call import BackgroundCall
from tests.waiting import wait_for


def test_a_result_is_handed_on_once_in_the_thread_that_finishes_the_call() -> None:
    work, go, results = BackgroundCall("a test"), threading.Event(), list[tuple[int, str]]()
    assert work.finish()
    work.start(lambda: int(go.wait()), then=lambda number: results.append((number, threading.current_thread().name)))
    assert work.is_running and not work.finish() and not results
    go.set()
    wait_for(work.finish, what="the call")
    assert results == [(1, threading.current_thread().name)]
    assert work.finish() and len(results) == 1


def test_an_error_is_raised_where_the_call_is_finished_and_the_next_call_can_begin() -> None:
    work, results = BackgroundCall("a test"), list[int]()
    work.start(lambda: 1 // 0, then=results.append)
    with pytest.raises(ZeroDivisionError):
        wait_for(work.finish, what="the call")
    # Also from what follows a result.
    work.start(lambda: 7, then=lambda number: work.start(lambda: number + 1, then=results.append))
    wait_for(lambda: work.finish() and bool(results), what="the second call")
    assert results == [8]
