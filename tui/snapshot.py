"""Snapshot of the daemon's state, and the interface of the feeds that provide it.

A feed works in its own thread and keeps the newest state; once a second the screen takes a snapshot. The real feed
(`tui.feed`) and the simulated one (`tui.simulated`) implement the same interface; one test checks both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

from bertd.records import JobState, PauseKind
from tui.charts.chart_data import ChartData
from tui.charts.chart_view import CurvesRequest
from tui.charts.reference import Reference
from tui.device_history import DeviceHistory
from tui.replay.playback import PlaybackState

if TYPE_CHECKING:
    from bertd.api.models import (
        AnySubmission,
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
        SubmitFinetune,
        SubmitGrid,
    )
    from bertd.api.sweep_models import SweepView
    from bertd.records import BudgetRequest

CURVES = ["loss", "validation", "lr", "grad_norm", "sequences_per_s"]
"""The columns of a series that the charts draw."""


class LinkState(StrEnum):
    """State of the connection to the daemon."""

    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"
    SIMULATED = "simulated"
    REPLAY = "replay"
    """There is none: a journal is played."""


@dataclass(frozen=True)
class Link:
    """The connection to the daemon."""

    state: LinkState
    silent_s: float = 0.0
    """Seconds since the daemon's last message."""
    retry_in_s: float = 0.0
    """Seconds until the next attempt; only while lost or connecting."""
    problem: str = ""
    """Why the connection failed, in one line with its remedy."""

    @property
    def is_fresh(self) -> bool:
        """Whether the state is current; the daemon sends a message about once a second."""
        is_live = self.state is LinkState.LIVE and self.silent_s < STALE_S
        return is_live or self.state in (LinkState.SIMULATED, LinkState.REPLAY)


ENDED_STATES = (JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST)
"""States in which nothing more happens by itself."""
ACTIVE_STATES = (JobState.RUNNING, JobState.STARTING, JobState.PAUSING, JobState.STOPPING)
"""States in which a job holds devices."""
STALE_S = 5.0
"""After this time without a message from the daemon, its state is shown as stale."""


@dataclass(frozen=True)
class Snapshot:
    """All that the screen shows."""

    now: float
    """Seconds since the epoch; ages are relative to it."""
    link: Link
    status: StatusView | None = None
    run_id: str | None = None
    """The run that the user selected; None: choose one automatically."""
    series: SeriesView | None = None
    """Curves of that run."""
    curves_note: str = ""
    """Why there are no curves yet; empty if there are."""
    events: tuple[EventView, ...] = field(default=())
    """The newest events, oldest first."""

    charts: ChartData = field(default_factory=ChartData)
    """What the charts show besides."""

    kept_run: RunView | None = None
    """The newest view of the run that was shown last; the status may no longer have it."""

    kept_job: JobView | None = None
    """Its job, where the status does not have it."""

    role_problem: str = ""
    """Why the daemon lets this user change nothing, as a sentence; empty if it does."""

    host: str = ""
    """The machine of the daemon, if it is another one."""

    fleet: tuple[Member, ...] = ()
    """All daemons that are followed, this one too; empty if it is the only one."""
    device_history: DeviceHistory = field(default_factory=DeviceHistory)
    """The last minute of each device, as far as this dashboard was there."""
    playback: PlaybackState | None = None
    """Of a replay; None if a daemon is followed."""

    @property
    def run(self) -> RunView | None:
        """The shown run: see `find_shown_run`."""
        return find_shown_run(self.status, self.run_id, self.kept_run) if self.status else None

    @property
    def state_t(self) -> float:
        """When the shown state was true: `now`, or the time of the daemon's last message if it is silent."""
        return self.now if self.link.is_fresh else self.now - self.link.silent_s

    @property
    def job(self) -> JobView | None:
        """The shown run's job."""
        run = self.run
        if run is None:
            return None
        kept = self.kept_job if self.kept_job is not None and self.kept_job.id == run.job_id else None
        return find_job(self, run.job_id) or kept


@dataclass(frozen=True)
class Member:
    """One of several daemons."""

    name: str
    """Of its machine."""
    snapshot: Snapshot


def is_active(run: RunView) -> bool:
    """Whether it has ranks."""
    return run.state in ACTIVE_STATES or run.pause is PauseKind.HOT


def has_trained(run: RunView) -> bool:
    """Whether there is something to see: steps, or ranks that will make some."""
    return run.step is not None or is_active(run)


def find_shown_run(status: StatusView, run_id: str | None, kept: RunView | None) -> RunView | None:
    """The selected run; else the one that was shown, if it has trained; else an active one; else the newest that has
    trained; else the newest. So the screen stays with a run that ends, with its result."""
    wanted = run_id if run_id is not None else kept.id if kept is not None and has_trained(kept) else None
    known = [run for run in (*status.runs, kept) if run is not None and run.id == wanted]
    active_runs = [run for run in status.runs if is_active(run)]
    trained_runs = [run for run in status.runs if has_trained(run)]
    return next(iter([*known, *active_runs, *trained_runs, *status.runs]), None)


def find_job(snapshot: Snapshot, job_id: int | None) -> JobView | None:
    """The job of that number, if the status has it."""
    jobs = snapshot.status.jobs if snapshot.status else []
    return next((one for one in jobs if one.id == job_id), None)


Place = Literal["before", "after", "first", "last"]
"""Where a waiting job goes in the queue."""


class Feed(Protocol):
    """Provides the daemon's state and sends it requests. A request blocks; it raises BertdError if refused."""

    def start(self) -> None:
        """Start following, in a separate thread."""

    def close(self) -> None:
        """Stop following and let the thread end."""

    def snapshot(self) -> Snapshot:
        """The newest state; never blocks."""
        ...

    def select_run(self, run_id: str) -> None:
        """Show this run from now on, which the status has; its curves come with the next tick."""

    def show_curves(self, request: CurvesRequest) -> None:
        """Request the shown run's curves on this axis, from now on. Blocks."""

    def read_reference(self, run_id: str, name: str) -> Reference:
        """The validation losses of a run, to compare with under this name. Blocks."""
        ...

    def choose(self, name: str) -> None:
        """Show the daemon of this name from now on, where several are followed."""

    def open_run(self, run_id: str) -> None:
        """Request any run, over or not, and show it from now on. Blocks."""

    def jobs(self) -> list[JobView]:
        """All jobs, those too that the status leaves out. Blocks."""
        ...

    def pause(self, job_id: int, *, hot: bool = False) -> JobView: ...

    def resume(self, job_id: int) -> JobView: ...

    def checkpoint(self, job_id: int) -> JobView: ...

    def stop(self, job_id: int) -> JobView: ...

    def hold(self, job_id: int) -> JobView: ...

    def release(self, job_id: int) -> JobView: ...

    def prioritize(self, job_id: int, priority: int) -> JobView: ...

    def submit(self, job: AnySubmission) -> JobView: ...

    def finetune_later(self, run: str, arguments: Sequence[str], *, after: str) -> JobView:
        """Queue `bertd finetune RUN` with these arguments for when `after` is reached: a run, or RUN@0.5."""
        ...

    def change_budget(self, run_id: str, request: BudgetRequest) -> RunView: ...

    def would_start(self, job_id: int) -> list[JobView]:
        """The jobs that would start at once if this one gave its devices back."""
        ...

    def estimate_lend(self, order: SubmitFinetune | SubmitGrid) -> LendEstimateView:
        """What a finetuning with `now` would pause, and what that costs."""
        ...

    def estimate_grid(self, grid: SubmitGrid) -> GridEstimateView:
        """How many trials a grid has, and how long they take."""
        ...

    def move(self, job_id: int, *, to: Place, job: int | None = None) -> JobView:
        """Move a waiting job before or after another one, or to an end of the queue."""
        ...

    def clone(self, job_id: int) -> JobView:
        """Queue a job like this one."""
        ...

    def drain(self, device_id: str) -> DeviceView:
        """Start no more jobs on a device."""
        ...

    def undrain(self, device_id: str) -> DeviceView:
        """Start jobs on a device again."""
        ...

    def job(self, job_id: int) -> JobView:
        """One job with what only the view of a single job has, such as what it waits for."""
        ...

    def sweeps(self) -> list[SweepView]:
        """All sweeps, newest first; the newest ones with their settings."""
        ...

    def runs(self) -> list[RunView]:
        """All pretrainings, newest first."""
        ...

    def run(self, run_id: str) -> RunView:
        """One run with what only the view of a single run has: its kept checkpoints and grids."""
        ...

    def recipe(self, run_id: str) -> RecipeView: ...

    def several_series(self, run_ids: Sequence[str], *, x: SeriesAxis) -> list[SeriesView]:
        """The loss curves of up to 16 runs on one axis, in the order of `run_ids`."""
        ...

    def device_events(self) -> list[EventView]:
        """What was noticed of the devices, newest first."""
        ...

    def log(self, job_id: int, *, offset: int, limit: int) -> LogView:
        """A piece of a job's log; a negative offset counts bytes from its end."""
        ...

    def log_since(self, job_id: int, *, t: float, limit: int) -> LogView:
        """The piece of a job's log that was written from this time on."""
        ...

    def scores(self) -> list[ScoreView]:
        """The scores of all finetunings."""
        ...
