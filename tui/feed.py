"""Follows the real daemon. This is the only module of the dashboard that imports the client.

One thread asks for the status, then reads the event stream: ticks replace the status, events are appended, and the
curves are asked for again when a column of the chart is complete. When the daemon is lost, what is known stays, the
thread tries again with growing delays, and the stream goes on after the last event that was seen.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bertd.client import Client, EventStream
from bertd.errors import BertdError, RunFolderError, UnknownJobError
from bertd.wire import EventView, JobView, LogView, RunView, ScoreView, SeriesView, StatusView, SubmitFinetune
from tui.snapshot import CURVES, Link, LinkState, Snapshot, shown_run

POINTS = 240
"""Columns of a curve that are asked for: two dots a cell, so enough for a chart 120 cells wide."""
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 8.0
_MAX_EVENTS = 500
_CURVES_AT_LEAST_EVERY_S = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Known:
    """What the thread has found out; replaced whole, so that a reader never sees half of it."""

    state: LinkState = LinkState.CONNECTING
    heard_at: float | None = None
    """Monotonic time of the last word from the daemon."""
    retry_at: float = 0.0
    problem: str = ""
    status: StatusView | None = None
    series: SeriesView | None = None
    events: tuple[EventView, ...] = ()


class SocketFeed:
    """A feed of the daemon that listens on `socket`."""

    def __init__(self, socket: Path) -> None:
        self._client = Client(socket)
        self._known = _Known()
        self._run_id: str | None = None
        self._curves_at = 0.0
        self._curves_progress = -1.0
        self._is_streaming = False
        """Whether the present stream has brought anything; only then the next loss is a new one."""
        self._last_id = 0
        """Of the newest event of any type."""
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._stream: EventStream | None = None
        self._thread = threading.Thread(target=self._follow, name="feed", daemon=True)

    # ---- For the screen ----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow; a second call changes nothing."""
        if not self._thread.is_alive() and not self._closing.is_set():
            self._thread.start()

    def close(self) -> None:
        """Stop following; the thread ends as soon as its read breaks off."""
        self._closing.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def snapshot(self) -> Snapshot:
        """The newest state; never blocks."""
        known, now = self._known, time.monotonic()
        return Snapshot(
            now=time.time(),
            link=Link(
                state=known.state,
                silent_s=now - known.heard_at if known.heard_at is not None else 0.0,
                retry_in_s=max(0.0, known.retry_at - now),
                problem=known.problem,
            ),
            status=known.status,
            run_id=self._run_id,
            series=known.series,
            events=known.events,
        )

    def wait_until(self, holds: Callable[[Snapshot], bool], *, timeout_s: float) -> bool:
        """Sleep until what is known satisfies `holds`; whether it does."""
        with self._changed:
            return self._changed.wait_for(lambda: holds(self.snapshot()), timeout_s)

    def choose(self, run_id: str) -> None:
        """Show this run's curves from the next tick on."""
        self._run_id = run_id

    def pause(self, job_id: int, *, hot: bool = False) -> JobView:
        return self._client.pause(job_id, hot=hot)

    def resume(self, job_id: int) -> JobView:
        return self._client.resume(job_id)

    def checkpoint(self, job_id: int) -> JobView:
        return self._client.checkpoint(job_id)

    def stop(self, job_id: int) -> JobView:
        return self._client.stop(job_id)

    def hold(self, job_id: int) -> JobView:
        return self._client.hold(job_id)

    def release(self, job_id: int) -> JobView:
        return self._client.release(job_id)

    def prioritize(self, job_id: int, priority: int) -> JobView:
        return self._client.priority(job_id, priority)

    def submit(self, job: SubmitFinetune) -> JobView:
        return self._client.submit(job)

    def log(self, job_id: int, *, offset: int, limit: int) -> LogView:
        return self._client.log(job_id, offset=offset, limit=limit)

    def scores(self) -> list[ScoreView]:
        return self._client.scores()

    def _learn(self, known: _Known) -> None:
        with self._changed:
            self._known = known
            self._changed.notify_all()

    # ---- The thread --------------------------------------------------------------------------------

    def _follow(self) -> None:
        delay_s = FIRST_RETRY_S
        while not self._closing.is_set():
            try:
                self._listen()
            except BertdError as error:
                problem = str(error)
            except Exception as error:
                _log.exception("the feed failed")
                problem = f"this dashboard failed to read the daemon's answer: {error!r}"
            else:
                return
            if self._is_streaming:
                delay_s, self._is_streaming = FIRST_RETRY_S, False
            self._lose(problem, delay_s)
            self._closing.wait(delay_s)
            delay_s = min(2 * delay_s, LONGEST_RETRY_S)

    def _lose(self, problem: str, delay_s: float) -> None:
        """Keep what is known and say that it is old."""
        was_heard = self._known.heard_at is not None
        state = LinkState.LOST if was_heard else LinkState.CONNECTING
        self._learn(replace(self._known, state=state, retry_at=time.monotonic() + delay_s, problem=problem))

    def _listen(self) -> None:
        """Follow until the feed is closed; any loss of the daemon is an error."""
        status = self._client.status()
        self._begin(status)
        self._take_status(status)
        with self._client.events(since=self._last_id) as stream:
            self._stream = stream
            if self._closing.is_set():
                return
            for item in stream:
                self._is_streaming = True
                if isinstance(item, StatusView):
                    self._take_status(item)
                else:
                    self._take_event(item)

    def _begin(self, status: StatusView) -> None:
        """Go on after the last event, or begin anew where the ids mean something else than before."""
        known = self._known
        newest = status.events[-1].id if status.events else 0
        is_another = known.status is not None and known.status.version.state_dir != status.version.state_dir
        if not known.events or is_another or self._last_id > newest:
            self._last_id = newest
            self._learn(replace(known, events=tuple(status.events), series=None))

    def _take_status(self, status: StatusView) -> None:
        heard_at = time.monotonic()
        self._learn(replace(self._known, state=LinkState.LIVE, heard_at=heard_at, problem="", status=status))
        self._take_curves(status)

    def _take_event(self, event: EventView) -> None:
        if event.id <= self._last_id:
            return
        self._last_id = event.id
        known = self._known
        events = (*known.events[1 - _MAX_EVENTS :], event)
        self._learn(replace(known, state=LinkState.LIVE, heard_at=time.monotonic(), events=events))

    def _take_curves(self, status: StatusView) -> None:
        """Ask for the curves anew where the chart would change; a run that was swept away has none."""
        run = shown_run(status, self._run_id)
        if run is None:
            return
        known = self._known.series
        is_same = known is not None and known.run_id == run.id
        if is_same and not self._are_curves_due(run):
            return
        try:
            series = self._client.series(run.id, x="progress", points=POINTS, columns=CURVES)
        except (UnknownJobError, RunFolderError):
            series = SeriesView(run_id=run.id, x="progress", columns={})
        self._curves_at, self._curves_progress = time.monotonic(), run.budget.progress
        self._learn(replace(self._known, series=series))

    def _are_curves_due(self, run: RunView) -> bool:
        advanced = run.budget.progress - self._curves_progress
        if advanced >= 1 / POINTS or advanced < 0:
            # It falls when the budget is extended.
            return True
        return advanced > 0 and time.monotonic() - self._curves_at >= _CURVES_AT_LEAST_EVERY_S


def look_once(socket: Path) -> Snapshot:
    """Ask the daemon once, for the modes that print.

    Raises:
        BertdError: nobody answers, or the answer is a refusal.
    """
    client = Client(socket)
    status = client.status()
    run = shown_run(status, None)
    series = client.series(run.id, x="progress", points=POINTS, columns=CURVES) if run is not None else None
    return Snapshot(
        now=time.time(),
        link=Link(LinkState.LIVE),
        status=status,
        series=series,
        events=tuple(status.events),
    )
