"""A feed that is opened after the first frame."""

from __future__ import annotations

import threading

import pytest

from bertd.errors import StorageError
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import screen_lines
from tests.waiting import PATIENCE_S, wait_for
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.late_feed import LateFeed
from tui.snapshot import Feed, LinkState


class _Gate:
    """Opens `feed` once it is let to."""

    def __init__(self, feed: FakeFeed) -> None:
        self.feed = feed
        self.may_open = threading.Event()

    def open(self) -> Feed:
        assert self.may_open.wait(PATIENCE_S)
        return self.feed


def test_a_request_waits_until_the_feed_is_open() -> None:
    gate = _Gate(FakeFeed())
    late = LateFeed(gate.open)
    answers: list[object] = []
    late.start()
    late.start()
    asking = threading.Thread(target=lambda: answers.append(late.jobs()))
    asking.start()
    assert late.snapshot().link.state is LinkState.CONNECTING
    assert not answers
    gate.may_open.set()
    asking.join(PATIENCE_S)
    assert answers == [gate.feed.jobs()]
    assert late.snapshot() is gate.feed.current
    assert late.jobs() == gate.feed.jobs()
    late.close()
    assert gate.feed.is_started
    assert gate.feed.is_closed


def test_a_feed_that_was_closed_meanwhile_is_closed_when_it_opens() -> None:
    gate = _Gate(FakeFeed())
    late = LateFeed(gate.open)
    late.start()
    late.close()
    gate.may_open.set()
    wait_for(lambda: gate.feed.is_closed, what="the feed's end")


def test_a_feed_that_cannot_be_opened_says_why_to_all_who_wait() -> None:
    def fail() -> Feed:
        raise StorageError("/run: full")

    failed = threading.Event()
    late = LateFeed(fail)
    late.when_failed(failed.set)
    late.start()
    with pytest.raises(StorageError, match="full"):
        late.jobs()
    assert failed.wait(PATIENCE_S)
    assert isinstance(late.error, StorageError)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60)])
async def test_the_outline_stands_where_the_panels_will(size: tuple[int, int]) -> None:
    gate = _Gate(FakeFeed())
    late = LateFeed(gate.open)
    app = Dashboard(late, options=DisplayOptions())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        outline = screen_lines(app)
        gate.may_open.set()
        wait_for(lambda: late.snapshot().status is not None, what="the feed")
        app.show_newest()
        await pilot.pause()
        shown = screen_lines(app)
    assert "Connecting to the daemon." in outline[1]
    assert "q quit" in outline[-1]
    for title in ("Loss ─", "Devices ─", "Queue ─"):
        at = [number for number, row in enumerate(outline) if title in row]
        panel = [number for number, row in enumerate(shown) if title in row]
        assert len(at) == len(panel) == 1
        assert abs(at[0] - panel[0]) <= 2
        assert outline[at[0]].index(title) == shown[panel[0]].index(title)
