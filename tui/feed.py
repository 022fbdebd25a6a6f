"""Follow the real daemon; the only module of the dashboard that imports the client.

One thread requests the status, then reads the event stream: each tick replaces the status, events are appended, and the
curves are requested again when a column of the chart is complete. When the connection is lost, the last known state
stays, the thread retries with exponential backoff, and the stream resumes after the last event received.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertd.api.client import Client, EventStream
from bertd.api.models import (
    AnySubmission,
    CloneRequest,
    DeviceView,
    EventView,
    GridEstimateView,
    JobView,
    LendEstimateView,
    LogView,
    RecipeView,
    RunView,
    ScoreView,
    SeriesAxis,
    SeriesView,
    StatusView,
    SubmitCommand,
    SubmitFinetune,
    SubmitGrid,
    VersionView,
)
from bertd.errors import BertdError, RunFolderError, UnknownJobError
from bertd.records import BudgetRequest
from bertd.run.machine.command_environment import select_environment
from tui.charts.chart_data import ChartData
from tui.charts.chart_view import CurvesRequest
from tui.charts.reference import Reference, reference_of_run
from tui.curve_reader import POINTS, CurveReader, with_event
from tui.device_history import DeviceHistory, add_sample
from tui.snapshot import ENDED_STATES, Link, LinkState, Place, Snapshot, find_shown_run

if TYPE_CHECKING:
    from bertd.api.ssh_forward import SshForward
    from bertd.api.sweep_models import SweepView

FIRST_RETRY_S = 0.5
MAX_RETRY_S = 2.0
_MAX_EVENTS = 500
_MAX_DETAILED_SWEEPS = 10
"""Sweeps whose settings are requested, newest first: each is a request."""
_MAX_CURVES_AGE_S = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _ReceivedState:
    """What the thread has received; immutable and replaced as one, so that a reader never sees a partial update."""

    state: LinkState = LinkState.CONNECTING
    last_message_at: float | None = None
    """Monotonic time of the daemon's last message."""
    retry_at: float = 0.0
    problem: str = ""
    status: StatusView | None = None
    series: SeriesView | None = None
    curves_note: str = ""
    """Why the daemon has no curves yet."""
    events: tuple[EventView, ...] = ()
    charts: ChartData = field(default_factory=ChartData)
    run_id: str | None = None
    """The run that the user selected."""
    kept_run: RunView | None = None
    """The newest view of the shown run."""
    kept_job: JobView | None = None
    """Its job, where the status does not have it."""
    device_history: DeviceHistory = field(default_factory=DeviceHistory)
    role_problem: str = ""
    """Why the daemon lets this user change nothing."""


class SocketFeed:
    """A feed of the daemon that listens on `socket`, which may be forwarded from another machine."""

    def __init__(self, socket: Path | SshForward) -> None:
        """A socket of another machine is forwarded as long as the feed is open."""
        self._forward = None if isinstance(socket, Path) else socket
        self._client = Client(socket) if isinstance(socket, Path) else socket.make_client()
        self._curve_reader = CurveReader(self._client)
        self._curves_request = CurvesRequest()
        self._has_new_scores = False
        self._received = _ReceivedState()
        self._curves_fetched_at = self._kept_run_fetched_at = 0.0
        self._curves_progress = -1.0
        self._is_streaming = False
        """Whether this stream has delivered anything; if so, the next loss restarts the backoff."""
        self._last_event_id = 0
        """Id of the newest event of any type."""
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._stream: EventStream | None = None
        self._thread = threading.Thread(target=self._follow_with_retries, name="feed", daemon=True)

    def start(self) -> None:
        """Start the thread; a second call does nothing."""
        if not self._thread.is_alive() and not self._closing.is_set():
            self._thread.start()

    def close(self) -> None:
        """Stop following; the thread ends when closing the stream interrupts its read."""
        self._closing.set()
        stream = self._stream
        if stream is not None:
            stream.close()
        if self._forward is not None:
            self._forward.close()

    def snapshot(self) -> Snapshot:
        """The newest state; never blocks."""
        received, now = self._received, time.monotonic()
        return Snapshot(
            now=time.time(),
            link=Link(
                state=received.state,
                silent_s=now - received.last_message_at if received.last_message_at is not None else 0.0,
                retry_in_s=max(0.0, received.retry_at - now),
                problem=received.problem,
            ),
            status=received.status,
            run_id=received.run_id,
            kept_run=received.kept_run,
            kept_job=received.kept_job,
            role_problem=received.role_problem,
            host=self._forward.host.name if self._forward is not None else "",
            series=received.series,
            curves_note=received.curves_note,
            events=received.events,
            device_history=received.device_history,
            charts=received.charts,
        )

    def wait_until(self, condition: Callable[[Snapshot], bool], *, timeout_s: float) -> bool:
        """Block until the state satisfies `condition`; returns False on timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self.snapshot()), timeout_s)

    def select_run(self, run_id: str) -> None:
        """Show this run, which the status has; its curves are requested at once, in another thread."""
        self._update(run_id=run_id)
        threading.Thread(target=self._request_curves, args=(run_id,), name="curves", daemon=True).start()

    def _request_curves(self, run_id: str) -> None:
        run = self.snapshot().run
        if run is None or run.id != run_id:
            return
        try:
            series = self._fetch_series(run)
        except BertdError:
            return  # The thread that follows the daemon asks again at the next tick, and says what is wrong.
        if self._received.run_id == run_id:
            self._update(series=series)

    def choose(self, name: str) -> None:
        """Do nothing: this is one daemon's feed."""

    def show_curves(self, request: CurvesRequest) -> None:
        """Request the shown run's curves on this axis, from now on."""
        before, self._curves_request = self._curves_request, request
        run = self.snapshot().run
        if run is None:
            return
        if replace(request, window=None) != replace(before, window=None):
            series = self._fetch_series(run)
            if self._curves_request == request:
                self._update(series=series)
        self._refresh_window(run)

    def read_reference(self, run_id: str, name: str) -> Reference:
        series = self._client.series(run_id, x="progress", points=POINTS, columns=["validation"])
        return reference_of_run(series, name=name)

    def open_run(self, run_id: str) -> None:
        """Request this run and its curves, and show it from now on."""
        run = self._client.run(run_id)
        job = self._client.job(run.job_id)
        self._update(run_id=run.id, kept_run=run, kept_job=job, series=self._fetch_series(run))

    def jobs(self) -> list[JobView]:
        return self._client.jobs()

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

    def submit(self, job: AnySubmission) -> JobView:
        return self._client.submit(job)

    def finetune_later(self, run: str, arguments: Sequence[str], *, after: str) -> JobView:
        """Queue a program that queues the finetuning: its export must exist when it is submitted."""
        program = [sys.executable, "-m", "bertd"] if self._forward is None else ["bertd"]
        socket = ["--socket", str(self._client.socket)] if self._forward is None else []
        command = SubmitCommand(
            argv=[*program, "finetune", run, *arguments, *socket],
            cwd=str(Path.cwd()) if self._forward is None else "/",
            environment=select_environment(os.environ) if self._forward is None else {},
            name="finetune-later",
            run=run.split("@")[0],
            after=[after],
        )
        return self._client.submit(command)

    def change_budget(self, run_id: str, request: BudgetRequest) -> RunView:
        return self._client.budget(run_id, request)

    def would_start(self, job_id: int) -> list[JobView]:
        return self._client.would_start(job_id)

    def estimate_lend(self, order: SubmitFinetune | SubmitGrid) -> LendEstimateView:
        return self._client.estimate_lend(order)

    def estimate_grid(self, grid: SubmitGrid) -> GridEstimateView:
        return self._client.estimate_grid(grid)

    def log(self, job_id: int, *, offset: int, limit: int) -> LogView:
        return self._client.log(job_id, offset=offset, limit=limit)

    def scores(self) -> list[ScoreView]:
        return self._client.scores()

    def move(self, job_id: int, *, to: Place, job: int | None = None) -> JobView:
        return self._client.move(job_id, to=to, job=job)

    def clone(self, job_id: int) -> JobView:
        return self._client.clone(job_id, CloneRequest())

    def drain(self, device_id: str) -> DeviceView:
        return self._client.drain(device_id)

    def undrain(self, device_id: str) -> DeviceView:
        return self._client.undrain(device_id)

    def job(self, job_id: int) -> JobView:
        return self._client.job(job_id)

    def sweeps(self) -> list[SweepView]:
        """All sweeps; the newest ones with their settings."""
        known = self._client.sweeps()
        detailed = [self._client.sweep(each.id) for each in known[:_MAX_DETAILED_SWEEPS]]
        return [*detailed, *known[_MAX_DETAILED_SWEEPS:]]

    def runs(self) -> list[RunView]:
        return self._client.runs()

    def run(self, run_id: str) -> RunView:
        return self._client.run(run_id)

    def recipe(self, run_id: str) -> RecipeView:
        return self._client.recipe(run_id)

    def several_series(self, run_ids: Sequence[str], *, x: SeriesAxis) -> list[SeriesView]:
        return self._client.several_series(run_ids, x=x, points=POINTS, columns=["loss", "validation"])

    def device_events(self) -> list[EventView]:
        return self._client.past_events(types=["device"])

    def log_since(self, job_id: int, *, t: float, limit: int) -> LogView:
        return self._client.log_between(job_id, since_t=t, limit=limit)

    def _update(self, **changes: Any) -> None:
        """Replace some fields; the UI's thread selects runs while this feed's thread follows the daemon."""
        with self._changed:
            self._received = replace(self._received, **changes)
            self._changed.notify_all()

    def _follow_with_retries(self) -> None:
        delay_s = FIRST_RETRY_S
        while not self._closing.is_set():
            try:
                self._follow_stream()
            except BertdError as error:
                problem = self._forward.describe(str(error)) if self._forward is not None else str(error)
            except Exception as error:
                # The edge of the thread: without it the screen would show old numbers for ever, as if they were live.
                _log.exception("the feed failed")
                problem = f"this dashboard failed to read the daemon's answer: {error!r}"
            else:
                return
            if self._is_streaming:
                delay_s, self._is_streaming = FIRST_RETRY_S, False
            self._mark_lost(problem, delay_s)
            self._closing.wait(delay_s)
            delay_s = min(2 * delay_s, MAX_RETRY_S)

    def _mark_lost(self, problem: str, delay_s: float) -> None:
        """Keep the known state and mark it as lost."""
        was_connected = self._received.last_message_at is not None
        state = LinkState.LOST if was_connected else LinkState.CONNECTING
        self._update(state=state, retry_at=time.monotonic() + delay_s, problem=problem)

    def _follow_stream(self) -> None:
        """Follow until the feed is closed; a lost connection raises."""
        if self._forward is not None:
            self._forward.open()
        status = self._client.status()
        self._resume_or_reset_events(status)
        self._apply_status(status)
        self._update(role_problem=_role_problem(self._client.version()))
        with self._client.events(since=self._last_event_id) as stream:
            self._stream = stream
            if self._closing.is_set():
                return
            for item in stream:
                self._is_streaming = True
                if isinstance(item, StatusView):
                    self._apply_status(item)
                else:
                    self._append_event(item)

    def _resume_or_reset_events(self, status: StatusView) -> None:
        """Resume after the last event, or start over if this is another daemon or its event ids were reset."""
        received = self._received
        newest = status.events[-1].id if status.events else 0
        is_another = received.status is not None and received.status.version.state_dir != status.version.state_dir
        if not received.events or is_another or self._last_event_id > newest:
            self._last_event_id = newest
            self._update(events=tuple(status.events), series=None, charts=ChartData())
            if is_another:
                self._update(run_id=None, kept_run=None)

    def _apply_status(self, status: StatusView) -> None:
        self._update(state=LinkState.LIVE, last_message_at=time.monotonic(), problem="", status=status)
        self._update(device_history=add_sample(self._received.device_history, status.devices, t=time.time()))
        self._keep_shown_run(status)
        self._refresh_curves()

    def _keep_shown_run(self, status: StatusView) -> None:
        """Keep the newest view of the shown run, also when the status no longer has it."""
        run = find_shown_run(status, self._received.run_id, self._received.kept_run)
        if run is None:
            return
        if all(run.id != one.id for one in status.runs) and (
            run.state not in ENDED_STATES or time.monotonic() - self._kept_run_fetched_at >= _MAX_CURVES_AGE_S
        ):
            self._kept_run_fetched_at = time.monotonic()
            try:
                run = self._client.run(run.id)
                self._update(kept_job=self._client.job(run.job_id))
            except (UnknownJobError, RunFolderError):
                self._update(run_id=None, kept_run=None)  # It was deleted.
                return
        self._update(kept_run=run)

    def _append_event(self, event: EventView) -> None:
        if event.id <= self._last_event_id:
            return
        self._last_event_id = event.id
        events = (*self._received.events[1 - _MAX_EVENTS :], event)
        self._update(state=LinkState.LIVE, last_message_at=time.monotonic(), events=events)
        with self._changed:
            self._update(charts=with_event(self._received.charts, event))
        self._has_new_scores |= event.type == "score" and event.run_id == self._received.charts.run_id

    def _refresh_curves(self) -> None:
        """Request the curves again if the chart would change."""
        run = self.snapshot().run
        if run is None:
            return
        received, request = self._received.series, self._curves_request
        is_same = received is not None and received.run_id == run.id
        if not is_same or self._are_curves_due(run):
            series = self._fetch_series(run)
            if self.snapshot().run == run and self._curves_request == request:
                self._update(series=series)
            self._refresh_window(run)
        self._refresh_charts(run)

    def _refresh_window(self, run: RunView) -> None:
        """Request the curves in the chosen window again."""
        request = self._curves_request
        zoomed = self._curve_reader.read_window(run, request)
        if self.snapshot().run == run and self._curves_request == request:
            self._update_charts(zoomed=zoomed)

    def _refresh_charts(self, run: RunView) -> None:
        """Request the run's events, scores and recipe once, and its scores when there is a new one."""
        reader, is_new = self._curve_reader, self._received.charts.run_id != run.id
        if is_new:
            self._update_charts(run_id=run.id, events=reader.read_events(run.id), recipe=None)
        if is_new or self._has_new_scores:
            self._has_new_scores = False
            self._update_charts(scores=reader.read_scores(run.id))
        if is_new:
            self._update_charts(recipe=reader.read_recipe(run.id))

    def _update_charts(self, **changes: Any) -> None:
        with self._changed:
            self._update(charts=replace(self._received.charts, **changes))

    def _fetch_series(self, run: RunView) -> SeriesView:
        """The run's curves; a deleted run has none, nor has one whose journal the daemon still reads."""
        series, note = self._curve_reader.read_whole(run, self._curves_request)
        self._update(curves_note=note)
        self._curves_fetched_at, self._curves_progress = time.monotonic(), run.budget.progress
        return series

    def _are_curves_due(self, run: RunView) -> bool:
        advanced = run.budget.progress - self._curves_progress
        if advanced >= 1 / POINTS or advanced < 0 or self._received.curves_note:
            # Progress falls when the budget is extended.
            return True
        return advanced > 0 and time.monotonic() - self._curves_fetched_at >= _MAX_CURVES_AGE_S


def _role_problem(version: VersionView) -> str:
    if version.read_only is not None:
        return f"The daemon changes nothing: {version.read_only}."
    if version.is_operator is False:
        return "You may read but not change; root, the daemon's user and the group bertd-operators may."
    return ""


def fetch_snapshot(socket: Path | SshForward) -> Snapshot:
    """Request the state once, for `--once` and `--json`.

    Raises:
        BertdError: the daemon does not answer or refuses the request.
    """
    if isinstance(socket, Path):
        return _fetch_snapshot(Client(socket))
    with socket:
        socket.open()
        return replace(_fetch_snapshot(socket.make_client()), host=socket.host.name)


def _fetch_snapshot(client: Client) -> Snapshot:
    status = client.status()
    run = find_shown_run(status, None, None)
    series, note, charts = None, "", ChartData()
    if run is not None:
        reader = CurveReader(client)
        series, note = reader.read_whole(run, CurvesRequest())
        charts = ChartData(
            run_id=run.id,
            events=reader.read_events(run.id),
            scores=reader.read_scores(run.id),
            recipe=reader.read_recipe(run.id),
        )
    return Snapshot(
        now=time.time(),
        link=Link(LinkState.LIVE),
        status=status,
        series=series,
        curves_note=note,
        events=tuple(status.events),
        charts=charts,
    )
