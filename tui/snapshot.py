"""What the dashboard knows at one moment, and the contract of whoever finds it out.

A feed works in its own thread and keeps the newest state; once a second the screen takes a snapshot. Both the real
feed (`tui.feed`) and the simulated box (`tui.simulated`) honour this contract; one test holds them to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from bertd.api.models import EventView, JobView, LogView, RunView, ScoreView, SeriesView, StatusView, SubmitFinetune
from bertd.records import JobState, PauseKind

CURVES = ["loss", "validation", "lr", "grad_norm", "sequences_per_s"]
"""Columns of a series that some chart draws."""


class LinkState(StrEnum):
    """How it stands with the daemon."""

    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"
    SIMULATED = "simulated"


@dataclass(frozen=True)
class Link:
    """The connection as a person should see it."""

    state: LinkState
    silent_s: float = 0.0
    """Since the daemon was last heard."""
    retry_in_s: float = 0.0
    """Until the next attempt; only while lost or connecting."""
    problem: str = ""
    """Why it is lost, in one line with its remedy."""

    @property
    def is_fresh(self) -> bool:
        """Whether what is shown is true now; the daemon speaks about once a second."""
        return self.state is LinkState.SIMULATED or (self.state is LinkState.LIVE and self.silent_s < STALE_S)


ACTIVE_STATES = (JobState.RUNNING, JobState.STARTING, JobState.PAUSING, JobState.STOPPING)
"""States in which a job has devices."""
STALE_S = 5.0
"""A live daemon that has been silent for so long is shown as stale."""


@dataclass(frozen=True)
class Snapshot:
    """Everything on the screen comes from one of these."""

    now: float
    """Seconds since the epoch; ages are reckoned from it."""
    link: Link
    status: StatusView | None = None
    run_id: str | None = None
    """The run that is shown."""
    series: SeriesView | None = None
    """Curves of that run."""
    events: tuple[EventView, ...] = field(default=())
    """The newest, oldest first."""

    @property
    def run(self) -> RunView | None:
        """The run that is shown: the chosen one while there is one, else the newest."""
        return find_shown_run(self.status, self.run_id) if self.status else None

    @property
    def job(self) -> JobView | None:
        """The job of the run that is shown."""
        run = self.run
        if run is None or self.status is None:
            return None
        return next((job for job in self.status.jobs if job.id == run.job_id), None)


def find_shown_run(status: StatusView, run_id: str | None) -> RunView | None:
    """The chosen run while there is one of that name, else the newest that has devices, else the newest."""
    chosen = [run for run in status.runs if run.id == run_id]
    active_runs = [run for run in status.runs if run.state in ACTIVE_STATES or run.pause is PauseKind.HOT]
    return next(iter([*chosen, *active_runs, *status.runs]), None)


class Feed(Protocol):
    """Finds out what the daemon does, and asks it to act. Acting blocks; it raises BertdError for a refusal."""

    def start(self) -> None:
        """Begin to follow, in a thread of its own."""

    def close(self) -> None:
        """Stop following; nothing of it runs on."""

    def snapshot(self) -> Snapshot:
        """The newest state; never blocks."""
        ...

    def select_run(self, run_id: str) -> None:
        """Show this run's curves from the next snapshot on."""

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
        """Every finetuning's score."""
        ...
