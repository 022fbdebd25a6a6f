"""A fake feed whose state a test sets, and which records requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
from bertd.errors import BertdError, DaemonUnreachableError, UnknownJobError
from bertd.records import BudgetRequest, JobState, KeptCheckpoint
from tui.charts.chart_view import CurvesRequest
from tui.charts.reference import Reference
from tui.simulated.feed import SimulatedFeed
from tui.snapshot import Link, LinkState, Place, Snapshot

NOW = 1_763_900_000.0
"""2025-11-23 12:13:20 UTC."""


def simulated_snapshot() -> Snapshot:
    """The simulation's first state, as if received from a daemon."""
    return replace(SimulatedFeed(clock=lambda: NOW).snapshot(), link=Link(LinkState.LIVE))


class FakeFeed:
    """Returns `current` as its snapshot; records requests in `asked`."""

    def __init__(self, current: Snapshot | None = None) -> None:
        self.current = current or simulated_snapshot()
        self.asked: list[tuple[str, object]] = []
        self.refusal: BertdError | None = None
        """If set, every request raises it."""
        self.logs: dict[int, bytes] = {}
        self.older_runs: list[RunView] = []
        """Runs that the status leaves out."""
        self.older_jobs: list[JobView] = []
        """Jobs that the status leaves out."""
        self.simulation = SimulatedFeed(clock=lambda: NOW)
        """Has the curves."""
        self.scored: list[ScoreView] = []
        self.details: dict[int, JobView] = {}
        """What a request for a single job answers; others answer as the list has them."""
        self.known_sweeps: list[SweepView] = []
        self.recipes: dict[str, str] = {}
        self.kept: list[KeptCheckpoint] = []
        """Of every run."""
        self.noticed: list[EventView] = []
        """Events of devices, newest first."""
        self.demo = SimulatedFeed(clock=lambda: NOW)
        """Answers what no field above does."""
        self.answer_state = JobState.RUNNING
        """Of the job in the answer to an action."""
        self.is_started = self.is_closed = False

    def start(self) -> None:
        self.is_started = True

    def close(self) -> None:
        self.is_closed = True

    def snapshot(self) -> Snapshot:
        return self.current

    def select_run(self, run_id: str) -> None:
        self.asked.append(("choose", run_id))
        self.current = replace(self.current, run_id=run_id)

    def choose(self, name: str) -> None:
        self.asked.append(("choose daemon", name))

    def show_curves(self, request: CurvesRequest) -> None:
        self.asked.append(("curves", request))
        whole, zoomed = self.simulation.read_curves(request)
        self.current = replace(self.current, series=whole, charts=replace(self.current.charts, zoomed=zoomed))

    def read_reference(self, run_id: str, name: str) -> Reference:
        self.asked.append(("reference", run_id))
        if self.refusal is not None:
            raise self.refusal
        return self.simulation.read_reference(run_id, name)

    def open_run(self, run_id: str) -> None:
        self.asked.append(("open", run_id))
        known = [run for run in (*self.status.runs, *self.older_runs) if run.id == run_id]
        if not known:
            raise UnknownJobError(f"{run_id}: no such run")
        self.current = replace(self.current, run_id=run_id, kept_run=known[0])
        jobs = [job for job in self.jobs() if job.id == known[0].job_id]
        self.current = replace(self.current, kept_job=jobs[0] if jobs else None)

    def jobs(self) -> list[JobView]:
        return [*self.status.jobs, *self.older_jobs]

    def pause(self, job_id: int, *, hot: bool = False) -> JobView:
        return self._act("pause hot" if hot else "pause", job_id)

    def resume(self, job_id: int) -> JobView:
        return self._act("resume", job_id)

    def checkpoint(self, job_id: int) -> JobView:
        return self._act("checkpoint", job_id)

    def stop(self, job_id: int) -> JobView:
        return self._act("stop", job_id)

    def hold(self, job_id: int) -> JobView:
        return self._act("hold", job_id)

    def release(self, job_id: int) -> JobView:
        return self._act("release", job_id)

    def prioritize(self, job_id: int, priority: int) -> JobView:
        return self._act(f"priority {priority}", job_id)

    def log(self, job_id: int, *, offset: int, limit: int) -> LogView:
        self.asked.append(("log", (job_id, offset)))
        content = self.logs.get(job_id, b"")
        begin = offset if offset >= 0 else max(0, len(content) + offset)
        piece = content[begin : begin + limit]
        return LogView(text=piece.decode(), offset=begin, next_offset=begin + len(piece), size=len(content))

    def scores(self) -> list[ScoreView]:
        if self.current.status is None:
            raise DaemonUnreachableError("/run/bertd/bertd.sock: no daemon listens there")
        return self.scored

    def submit(self, job: AnySubmission) -> JobView:
        return self._act("submit", job)

    def move(self, job_id: int, *, to: Place, job: int | None = None) -> JobView:
        return self._act(f"move {to}", (job_id, job) if job is not None else job_id)

    def clone(self, job_id: int) -> JobView:
        return self._act("clone", job_id)

    def drain(self, device_id: str) -> DeviceView:
        return self._serve(device_id, drained_by="ada (uid 7)")

    def undrain(self, device_id: str) -> DeviceView:
        return self._serve(device_id, drained_by=None)

    def _serve(self, device_id: str, *, drained_by: str | None) -> DeviceView:
        self._act("undrain" if drained_by is None else "drain", device_id)
        changed = [
            device.model_copy(update={"drained_by": drained_by}) if device.id == device_id else device
            for device in self.status.devices
        ]
        self.change_status(devices=changed)
        return next(device for device in changed if device.id == device_id)

    def job(self, job_id: int) -> JobView:
        known = [self.details[job_id]] if job_id in self.details else [job for job in self.jobs() if job.id == job_id]
        if not known:
            raise UnknownJobError(f"job {job_id}: no such job")
        return known[0]

    def sweeps(self) -> list[SweepView]:
        return self.known_sweeps

    def runs(self) -> list[RunView]:
        if self.current.status is None:
            raise DaemonUnreachableError("/run/bertd/bertd.sock: no daemon listens there")
        return [*self.status.runs, *self.older_runs]

    def run(self, run_id: str) -> RunView:
        run = next(run for run in self.runs() if run.id == run_id)
        return run.model_copy(update={"kept": self.kept})

    def recipe(self, run_id: str) -> RecipeView:
        known = self.recipes.get(run_id)
        return self.demo.recipe(run_id) if known is None else RecipeView(run_id=run_id, toml=known)

    def several_series(self, run_ids: Sequence[str], *, x: SeriesAxis) -> list[SeriesView]:
        if self.refusal is not None:
            raise self.refusal
        return self.demo.several_series(run_ids, x=x)

    def device_events(self) -> list[EventView]:
        return self.noticed

    def log_since(self, job_id: int, *, t: float, limit: int) -> LogView:
        return self.log(job_id, offset=int(t), limit=limit)

    def change_status(self, **changes: object) -> None:
        """Change fields of the status."""
        self.current = replace(self.current, status=self.status.model_copy(update=changes))

    def finetune_later(self, run: str, arguments: Sequence[str], *, after: str) -> JobView:
        return self._act("finetune later", (run, list(arguments), after))

    def change_budget(self, run_id: str, request: BudgetRequest) -> RunView:
        self._act("budget", (run_id, request))
        budget = self.status.runs[0].budget.model_copy(update={"amount": request.amount})
        self.change_run(budget=budget)
        return self.status.runs[0]

    def would_start(self, job_id: int) -> list[JobView]:
        if self.refusal is not None:
            raise self.refusal
        return [job for job in self.status.jobs if job.state is JobState.QUEUED]

    def estimate_lend(self, order: SubmitFinetune | SubmitGrid) -> LendEstimateView:
        if self.refusal is not None:
            raise self.refusal
        return SimulatedFeed(clock=lambda: NOW).estimate_lend(order)

    def estimate_grid(self, grid: SubmitGrid) -> GridEstimateView:
        if self.refusal is not None:
            raise self.refusal
        return SimulatedFeed(clock=lambda: NOW).estimate_grid(grid)

    @property
    def status(self) -> StatusView:
        assert self.current.status is not None
        return self.current.status

    def lose(self, *, silent_s: float, retry_in_s: float = 4.0) -> None:
        """Lose the daemon; its last state stays."""
        problem = "/run/bertd/bertd.sock: no daemon listens there; start one with `bertd start`"
        self.current = replace(self.current, link=Link(LinkState.LOST, silent_s, retry_in_s, problem))

    def find_again(self) -> None:
        """Reconnect to the daemon."""
        self.current = replace(self.current, link=Link(LinkState.LIVE))

    def change_run(self, **changes: object) -> None:
        """Change fields of the run."""
        run = self.status.runs[0].model_copy(update=changes)
        self.set_runs([run, *self.status.runs[1:]])

    def set_runs(self, runs: list[RunView]) -> None:
        """Replace the runs."""
        self.current = replace(self.current, status=self.status.model_copy(update={"runs": runs}))

    def change_jobs(self, jobs: list[JobView]) -> None:
        """Replace the queue."""
        self.current = replace(self.current, status=self.status.model_copy(update={"jobs": jobs}))

    def _act(self, verb: str, what: object) -> JobView:
        self.asked.append((verb, what))
        if self.refusal is not None:
            raise self.refusal
        return self.status.jobs[0].model_copy(update={"state": self.answer_state, "reason": "as requested"})
