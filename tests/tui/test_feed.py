"""The real feed with a fake daemon over a socket: state, requests, reconnection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bertd.api.models import ErrorView, EventView, SeriesView, StatusView, SubmitFinetune
from bertd.errors import ClientError, DaemonUnreachableError, TransitionError
from bertd.records import JobState
from tests.cli.fake_daemon import Answer, FakeDaemon, Request, frame
from tests.tui.fake_feed import simulated_snapshot
from tests.waiting import PATIENCE_S
from tui import feed as feed_module
from tui.display_options import DisplayOptions
from tui.drawing.lines import plain_text
from tui.feed import SocketFeed, fetch_snapshot
from tui.panels.loss import LossPanel
from tui.simulated.feed import SimulatedFeed
from tui.snapshot import Feed, LinkState, Snapshot


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(feed_module, "MAX_RETRY_S", 0.02)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "d.sock"


@pytest.fixture
def following(socket: Path) -> Iterator[SocketFeed]:
    feed = SocketFeed(socket)
    feed.start()
    yield feed
    feed.close()


def _status(**changes: object) -> StatusView:
    status = simulated_snapshot().status
    assert status is not None
    return status.model_copy(update=changes)


def _event(id: int, *, type: str = "checkpoint") -> EventView:
    return EventView(id=id, t=1.0, type=type, job_id=12, run_id="12-academic-large", text=f"event {id}", data={})


def _until(feed: SocketFeed, condition: Callable[[Snapshot], bool]) -> Snapshot:
    assert feed.wait_until(condition, timeout_s=PATIENCE_S), feed.snapshot().link
    return feed.snapshot()


def _is_live(snapshot: Snapshot) -> bool:
    return snapshot.link.state is LinkState.LIVE and snapshot.series is not None


def _curves_of(snapshot: Snapshot) -> str | None:
    return snapshot.series.run_id if snapshot.series else None


def _paths(daemon: FakeDaemon) -> list[str]:
    return [request.path for request in daemon.requests]


def test_it_finds_status_curves_and_events(socket: Path, following: SocketFeed) -> None:
    with FakeDaemon(socket, status=_status(events=[_event(1), _event(2)])):
        snapshot = _until(following, _is_live)
    assert snapshot.run is not None and snapshot.run.id == "12-academic-large"
    assert snapshot.job is not None and snapshot.job.id == 12
    assert [event.id for event in snapshot.events] == [1, 2]
    assert snapshot.series is not None and snapshot.series.columns["loss"]


def test_ticks_replace_the_status_and_events_are_appended_once(socket: Path, following: SocketFeed) -> None:
    with FakeDaemon(socket, status=_status(events=[_event(5)])) as daemon:
        _until(following, _is_live)
        paused = _status(runs=[_status().runs[0].model_copy(update={"state": JobState.PAUSED})])
        for item in (_event(6), paused, _event(6), _event(7)):
            daemon.stream.put(frame(item))
        snapshot = _until(following, lambda snapshot: bool(snapshot.events) and snapshot.events[-1].id == 7)
    assert [event.id for event in snapshot.events] == [5, 6, 7]
    assert snapshot.run is not None and snapshot.run.state is JobState.PAUSED


def test_a_lost_daemon_is_reported_with_the_reason_and_the_state_is_kept(socket: Path, following: SocketFeed) -> None:
    with FakeDaemon(socket, status=_status(events=[_event(5)])):
        _until(following, _is_live)
    snapshot = _until(following, lambda snapshot: "no daemon listens there" in snapshot.link.problem)
    assert snapshot.link.state is LinkState.LOST
    assert snapshot.run is not None
    assert [event.id for event in snapshot.events] == [5]


def test_it_reconnects_and_resumes_after_the_last_event(socket: Path, following: SocketFeed) -> None:
    with FakeDaemon(socket, status=_status(events=[_event(5)])) as daemon:
        _until(following, _is_live)
        daemon.stream.put(frame(_event(6)))
        _until(following, lambda snapshot: snapshot.events[-1].id == 6)
    _until(following, lambda snapshot: snapshot.link.state is LinkState.LOST)
    with FakeDaemon(socket, status=_status(events=[_event(5), _event(6), _event(7)])) as daemon:
        daemon.stream.put(frame(_event(7)))
        snapshot = _until(following, lambda snapshot: snapshot.events[-1].id == 7 and _is_live(snapshot))
        asked = next(request for request in daemon.requests if request.path == "/v1/events")
    assert asked.query == {"since": ["6"]}
    assert [event.id for event in snapshot.events] == [5, 6, 7]


def test_another_daemons_events_do_not_follow_the_first_ones(socket: Path, following: SocketFeed) -> None:
    with FakeDaemon(socket, status=_status(events=[_event(500)])):
        _until(following, _is_live)
    _until(following, lambda snapshot: snapshot.link.state is LinkState.LOST)
    with FakeDaemon(socket, status=_status(events=[_event(1), _event(2)])):
        snapshot = _until(following, lambda snapshot: snapshot.events[-1].id == 2)
    assert [event.id for event in snapshot.events] == [1, 2]


def test_without_a_daemon_it_says_how_to_start_one_and_finds_it_later(socket: Path, following: SocketFeed) -> None:
    snapshot = _until(following, lambda snapshot: bool(snapshot.link.problem))
    assert snapshot.link.state is LinkState.CONNECTING
    assert "bertd start" in snapshot.link.problem
    with FakeDaemon(socket, status=_status()):
        assert _until(following, _is_live).link.problem == ""


class _Impatient(threading.Event):
    """Records timeouts instead of waiting; is set after five waits."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.delays.append(timeout)
        if len(self.delays) == 5:
            self.set()
        return self.is_set()


def test_a_refusing_daemon_is_retried_with_growing_delays(socket: Path) -> None:
    feed = SocketFeed(socket)
    feed._closing = closing = _Impatient()
    with FakeDaemon(socket, refusal=(500, ErrorView(code="ClientError", message="it fails"))):
        feed._follow_with_retries()
    assert closing.delays == [0.01, 0.02, 0.02, 0.02, 0.02]


def test_an_answer_it_cannot_read_is_a_lost_daemon_not_a_dead_thread(socket: Path, following: SocketFeed) -> None:
    with FakeDaemon(socket, status=_status()) as daemon:
        _until(following, _is_live)
        daemon.stream.put(b"event: tick\ndata: {}\n\n")
        _until(following, lambda snapshot: snapshot.link.state is LinkState.LOST)
        daemon.stream.put(frame(_status()))
        _until(following, _is_live)
    assert _paths(daemon).count("/v1/status") >= 2


def test_curves_are_asked_for_again_only_when_a_column_is_complete(socket: Path, following: SocketFeed) -> None:
    run = _status().runs[0]

    def at(progress: float) -> StatusView:
        return _status(runs=[run.model_copy(update={"budget": run.budget.model_copy(update={"progress": progress})})])

    with FakeDaemon(socket, status=at(0.5)) as daemon:
        _until(following, _is_live)
        for number, progress in enumerate((0.501, 0.502, 0.503, 0.5045), start=100):
            daemon.stream.put(frame(at(progress)))
            daemon.stream.put(frame(_event(number)))
        _until(following, lambda snapshot: bool(snapshot.events) and snapshot.events[-1].id == 103)
    assert _paths(daemon).count("/v1/runs/12-academic-large/series") == 2


def test_curves_are_asked_for_again_when_the_budget_was_extended(socket: Path, following: SocketFeed) -> None:
    run = _status().runs[0]

    def at(progress: float) -> StatusView:
        return _status(runs=[run.model_copy(update={"budget": run.budget.model_copy(update={"progress": progress})})])

    with FakeDaemon(socket, status=at(0.5)) as daemon:
        _until(following, _is_live)
        daemon.stream.put(frame(at(0.25)))
        daemon.stream.put(frame(_event(100)))
        _until(following, lambda snapshot: bool(snapshot.events) and snapshot.events[-1].id == 100)
    assert _paths(daemon).count("/v1/runs/12-academic-large/series") == 2


def test_a_chosen_run_gets_its_own_curves(socket: Path, following: SocketFeed) -> None:
    older = _status().runs[0].model_copy(update={"id": "9-older", "job_id": 9})
    status = _status(runs=[*_status().runs, older])
    with FakeDaemon(socket, status=status) as daemon:
        _until(following, _is_live)
        following.select_run("9-older")
        daemon.stream.put(frame(status))
        snapshot = _until(
            following, lambda snapshot: snapshot.series is not None and snapshot.series.run_id == "9-older"
        )
    assert snapshot.run is not None and snapshot.run.id == "9-older"


class _NoCurves(FakeDaemon):
    def answer(self, request: Request) -> Answer:
        if request.path.endswith("/series"):
            error = ErrorView(code="UnknownJobError", message="run 12: no such run")
            return Answer(404, error.model_dump_json().encode())
        return super().answer(request)


def test_a_run_whose_folder_is_gone_has_no_curves_but_is_shown(socket: Path, following: SocketFeed) -> None:
    with _NoCurves(socket, status=_status()):
        snapshot = _until(following, _is_live)
    assert snapshot.series == SeriesView(run_id="12-academic-large", x="progress", columns={})


class _StillReading(FakeDaemon):
    is_reading = True

    def answer(self, request: Request) -> Answer:
        if request.path.endswith("/series") and self.is_reading:
            return Answer(503, ErrorView(code="StillReadingError", message="2% so far").model_dump_json().encode())
        return super().answer(request)


def test_while_a_long_journal_is_read_the_run_is_shown_without_curves_and_they_come_later(
    socket: Path, following: SocketFeed
) -> None:
    with _StillReading(socket, status=_status()) as daemon:
        snapshot = _until(following, lambda snapshot: bool(snapshot.curves_note))
        assert snapshot.link.state is LinkState.LIVE and snapshot.run is not None
        assert "2% so far" in plain_text(LossPanel().draw(snapshot, DisplayOptions(), 80, 8))
        assert fetch_snapshot(socket).curves_note == "2% so far"

        daemon.is_reading = False
        daemon.stream.put(frame(_status()))
        _until(following, lambda snapshot: not snapshot.curves_note and bool(snapshot.series))


def test_close_ends_the_thread_at_once_even_while_it_waits_for_the_daemon(socket: Path) -> None:
    feed = SocketFeed(socket)
    feed.start()
    with FakeDaemon(socket, status=_status()):
        _until(feed, _is_live)
        feed.close()
        feed._thread.join(PATIENCE_S)
        assert not feed._thread.is_alive()


def test_keys_reach_the_daemon_and_its_refusals_come_back(socket: Path) -> None:
    feed = SocketFeed(socket)
    with FakeDaemon(socket, status=_status()) as daemon:
        daemon.jobs = _status().jobs
        for act in (feed.pause, feed.resume, feed.checkpoint, feed.stop, feed.hold, feed.release):
            assert act(12).id == 12
        assert feed.prioritize(12, 3).id == 12
        feed.submit(SubmitFinetune(run="12-academic-large", task="cola", data_dir="/d"))
        posts = [request.path for request in daemon.requests]
        verbs = ("pause", "resume", "checkpoint", "stop", "hold", "release", "priority")
        assert posts == [*(f"/v1/jobs/12/{verb}" for verb in verbs), "/v1/jobs"]
        daemon.refusal = (409, ErrorView(code="TransitionError", message="job 12 is done: cannot pause it"))
        with pytest.raises(TransitionError, match="cannot pause it"):
            feed.pause(12)


def test_looking_once_asks_for_status_and_curves_or_raises(socket: Path) -> None:
    with pytest.raises(DaemonUnreachableError):
        fetch_snapshot(socket)
    with FakeDaemon(socket, status=_status()):
        snapshot = fetch_snapshot(socket)
        assert snapshot.run is not None and snapshot.series is not None
    with FakeDaemon(socket, raw_answer=b"what?\r\n"), pytest.raises(ClientError):
        fetch_snapshot(socket)


def test_both_feeds_honour_one_contract(socket: Path) -> None:
    """The real and the simulated feed start, show, act and close in the same way."""
    with FakeDaemon(socket, status=_status()) as daemon:
        daemon.jobs = _status().jobs
        feeds: list[Feed] = [SocketFeed(socket), SimulatedFeed()]
        for feed in feeds:
            feed.start()
            feed.start()
            if isinstance(feed, SocketFeed):
                _until(feed, _is_live)
            snapshot = feed.snapshot()
            assert snapshot.link.is_fresh
            assert snapshot.run is not None and snapshot.job is not None
            feed.select_run(snapshot.run.id)
            assert feed.checkpoint(snapshot.job.id).id == snapshot.job.id
            assert feed.submit(SubmitFinetune(run=snapshot.run.id, task="cola", data_dir="/d")).state is JobState.QUEUED
            piece = feed.log(snapshot.job.id, offset=-1000, limit=100)
            assert piece.offset <= piece.next_offset <= piece.size
            assert feed.scores()[0].score.task == "cola"
            feed.close()
            feed.close()


def test_a_run_that_the_status_drops_is_requested_alone_and_stays(socket: Path, following: SocketFeed) -> None:
    run = _status().runs[0]
    over = run.model_copy(update={"state": JobState.DONE, "reason": "budget spent"})
    job = _status().jobs[0].model_copy(update={"id": over.job_id})
    with FakeDaemon(socket, status=_status(), runs=[over], jobs=[job]) as daemon:
        _until(following, _is_live)
        newer = run.model_copy(update={"id": "20-newer", "job_id": 20})
        daemon.stream.put(frame(_status(runs=[newer])))
        snapshot = _until(following, lambda snapshot: snapshot.kept_run == over)
    assert snapshot.run == over


def test_any_run_can_be_opened_and_its_curves_come_with_it(socket: Path, following: SocketFeed) -> None:
    old = _status().runs[0].model_copy(update={"id": "3-old", "job_id": 3, "state": JobState.DONE})
    job = _status().jobs[0].model_copy(update={"id": old.job_id})
    with FakeDaemon(socket, status=_status(), runs=[old], jobs=[job]):
        _until(following, _is_live)
        following.open_run("3-old")
        snapshot = following.snapshot()
    assert snapshot.run == old
    assert _curves_of(snapshot) == "3-old"
