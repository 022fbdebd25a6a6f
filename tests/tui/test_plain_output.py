"""Output without a screen: page, JSON and lines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bertd.api.models import EventView
from bertd.records import JobState
from tests.tui.fake_feed import NOW, FakeFeed, simulated_snapshot
from tests.tui.screen_text import assert_like_snapshot
from tui.display_options import DisplayOptions
from tui.plain_output import follow_lines, render_page, summary
from tui.snapshot import Link, LinkState, Snapshot

_SAVED = EventView(id=1, t=NOW, type="checkpoint", job_id=12, run_id=None, text="saved", data={})


def test_a_page_equals_its_snapshot() -> None:
    assert_like_snapshot(render_page(simulated_snapshot(), DisplayOptions(), 100), "once-100")


def test_a_page_has_every_device_and_every_job_however_many() -> None:
    feed = FakeFeed()
    feed.change_jobs([feed.status.jobs[1].model_copy(update={"id": number}) for number in range(100, 140)])
    text = render_page(feed.current, DisplayOptions(), 100)
    assert all(f"#{number}" in text for number in range(100, 140))


@pytest.mark.parametrize("width", [1, 60, 117, 10_000])
def test_no_line_is_wider_than_the_terminal_or_than_can_be_read(width: int) -> None:
    assert max(len(one) for one in render_page(simulated_snapshot(), DisplayOptions(), width).splitlines()) <= max(
        60, min(width, 200)
    )


def test_the_summary_is_one_line_with_the_figures_that_count() -> None:
    assert summary(simulated_snapshot()) == (
        "12-academic-large running, 41.7 % spent, 13h 58m left, step 9,594, loss 2.084, validation 2.179, "
        "1,087 sequences/s, 139.2k tokens/s, lr 1.24e-3"
    )


def test_the_summary_of_nothing_says_why() -> None:
    lost = replace(simulated_snapshot(), link=Link(LinkState.LOST, problem="d.sock: broke off"))
    assert summary(lost) == "daemon lost: d.sock: broke off"
    assert summary(Snapshot(now=0.0, link=Link(LinkState.CONNECTING))) == "connecting"


def test_the_stream_has_a_line_for_each_change_and_each_event_and_none_else() -> None:
    feed = FakeFeed()
    feed.current = replace(feed.current, events=())
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            feed.current = replace(feed.current, events=(_SAVED,))
        if len(waits) == 4:
            feed.lose(silent_s=1.0)

    lines = follow_lines(feed, wait=wait)
    assert next(lines).startswith("12:13:20 12-academic-large running")
    assert next(lines) == "12:13:20 checkpoint: saved"
    assert next(lines).startswith("12:13:20 daemon lost: ")
    assert len(waits) == 4


def test_counts_are_of_all_jobs_also_of_those_that_the_status_leaves_out() -> None:
    snapshot = simulated_snapshot()
    assert snapshot.status is not None
    counts = {JobState.RUNNING: 1, JobState.HELD: 303}
    status = snapshot.status.model_copy(update={"num_jobs_by_state": counts, "num_runs": 299})
    page = render_page(replace(snapshot, status=status), DisplayOptions(), 120)
    assert f"1 running · 303 held · {len(status.jobs)} of 304 shown" in page
    assert "299 runs are not over" in page
