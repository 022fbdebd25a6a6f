"""Snapshot of the daemon's state, and the interface of the feeds that provide it.

A feed works in its own thread and keeps the newest state; once a second the screen takes a snapshot. The real feed
(`tui.feed`) and the simulated one (`tui.simulated`) implement the same interface; one test checks both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from bertd.api.models import EventView, JobView, LogView, RunView, ScoreView, SeriesView, StatusView, SubmitFinetune
from bertd.records import JobState, PauseKind

CURVES = ["loss", "validation", "lr", "grad_norm", "sequences_per_s"]
"""The columns of a series that the charts draw."""


class LinkState(StrEnum):
    """State of the connection to the daemon."""

    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"
    SIMULATED = "simulated"


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
        return self.state is LinkState.SIMULATED or (self.state is LinkState.LIVE and self.silent_s < STALE_S)


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
    events: tuple[EventView, ...] = field(default=())
    """The newest events, oldest first."""

    @property
    def run(self) -> RunView | None:
        """The shown run: see `find_shown_run`."""
        return find_shown_run(self.status, self.run_id) if self.status else None

    @property
    def job(self) -> JobView | None:
        """The shown run's job."""
        return find_job(self, self.run.job_id) if self.run is not None else None


def find_shown_run(status: StatusView, run_id: str | None) -> RunView | None:
    """The selected run if it still exists, else the newest active one, else the newest."""
    chosen = [run for run in status.runs if run.id == run_id]
    active_runs = [run for run in status.runs if run.state in ACTIVE_STATES or run.pause is PauseKind.HOT]
    return next(iter([*chosen, *active_runs, *status.runs]), None)


def find_job(snapshot: Snapshot, job_id: int | None) -> JobView | None:
    """The job of that number, if the status has it."""
    jobs = snapshot.status.jobs if snapshot.status else []
    return next((one for one in jobs if one.id == job_id), None)


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
        """Provide this run's curves from the next snapshot on."""

    def pause(self, job_id: int, *, hot: bool = False) -> JobView: ...

    def resume(self, job_id: int) -> JobView: ...

    def checkpoint(self, job_id: int) -> JobView: ...

    def stop(self, job_id: int) -> JobView: ...

    def hold(self, job_id: int) -> JobView: ...

    def release(self, job_id: int) -> JobView: ...

    def prioritize(self, job_id: int, priority: int) -> JobView: ...

    def submit(self, job: SubmitFinetune) -> JobView: ...

    def log(self, job_id: int, *, offset: int, limit: int) -> LogView:
        """A piece of a job's log; a negative offset counts bytes from its end."""
        ...

    def scores(self) -> list[ScoreView]:
        """The scores of all finetunings."""
        ...
