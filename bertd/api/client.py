"""The daemon's client: HTTP/1.1 and server-sent events over its Unix socket, with typed responses.

HTTP is the standard library's, because `bertd status` must be on the screen in a quarter of a second. Each call opens
its own connection, so one Client may be used from many threads. A mutation has an Idempotency-Key and is repeated once,
with the same key, when the connection breaks before the response: the daemon does it once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

from bertd.api.models import (
    AnySubmission,
    AuditView,
    ChangeRequest,
    CloneRequest,
    ConfigurationKeyView,
    DeviceView,
    EventView,
    GarbageDeletedView,
    GarbageRequest,
    GarbageView,
    GridEstimateView,
    HookTestView,
    HookView,
    JobView,
    LendEstimateView,
    LogView,
    MachineView,
    MoveRequest,
    RecipeView,
    RunView,
    ScoreView,
    SeriesAxis,
    SeriesView,
    StatusView,
    SubmitFinetune,
    SubmitGrid,
    VersionView,
)
from bertd.api.sse import EventStream
from bertd.api.sweep_models import SubmitSweep, SweepView
from bertd.api.typed_requests import ABOVE_ALL_JOBS, PAGE_ROWS, JobId, TypedRequests, path_segment, record_body
from bertd.errors import ClientError
from bertd.records import BudgetRequest, JobKind, JobState
from bertd.run.paths import client_socket

__all__ = ["Client", "EventStream", "JobId"]


class Client(TypedRequests):
    """One daemon's API; bertd.api.models has the responses.

    Every call raises DaemonUnreachableError if no daemon answers, the daemon's own BertdError if it refuses, and
    ClientError if the response cannot be parsed.
    """

    def __init__(self, socket: Path | None = None, *, timeout_s: float | None = None) -> None:
        """Nothing is opened before the first call.

        Args:
            socket: the daemon's; None for that of `bertd` without --socket.
            timeout_s: longest wait for an answer; None for that of bertd.api.http.
        """
        super().__init__(client_socket() if socket is None else socket, timeout_s=timeout_s)

    # ---- Reading -----------------------------------------------------------------------------------

    def version(self) -> VersionView:
        return self._get(VersionView, "/v1/version")

    def status(self) -> StatusView:
        """Everything on the first screen, in one response."""
        return self._get(StatusView, "/v1/status")

    def runs(self) -> list[RunView]:
        """All pretrainings, newest first."""
        return self._get_pages(RunView, "/v1/runs", job_id=lambda run: run.job_id)

    def run(self, id: JobId) -> RunView:
        """One pretraining by run id, job number or @."""
        return self._get(RunView, f"/v1/runs/{path_segment(id)}")

    def recipe(self, id: JobId) -> RecipeView:
        """The recipe of one run."""
        return self._get(RecipeView, f"/v1/runs/{path_segment(id)}/recipe")

    def series(
        self,
        id: JobId,
        *,
        x: SeriesAxis = "progress",
        points: int = 240,
        columns: list[str] | None = None,
        low: float | None = None,
        high: float | None = None,
        half_life: float | None = None,
        has_positions: bool = False,
    ) -> SeriesView:
        """Curves of one run, thinned by the daemon; all of them unless `columns` names some.

        Args:
            points: about this many for each column.
            low: only points at this x or above, as `high` below; a narrow range has every record.
            half_life: give smoothed columns, too, with this half-life in units of x.
            has_positions: give the run's positions on all axes, too.
        """
        query = _series_query(x, points, columns, low=low, high=high, half_life=half_life)
        query += [("positions", "true")] if has_positions else []
        return self._get(SeriesView, f"/v1/runs/{path_segment(id)}/series?{urlencode(query)}")

    def several_series(
        self,
        ids: Sequence[JobId],
        *,
        x: SeriesAxis = "progress",
        points: int = 240,
        columns: list[str] | None = None,
        low: float | None = None,
        high: float | None = None,
        half_life: float | None = None,
    ) -> list[SeriesView]:
        """Curves of up to 16 runs on the same axis, in the order of `ids`; see `series`."""
        query = _series_query(x, points, columns, low=low, high=high, half_life=half_life)
        return self._get_list(SeriesView, f"/v1/series?{urlencode([*(('run', str(id)) for id in ids), *query])}")

    def jobs(
        self,
        *,
        states: Collection[JobState] = (),
        kinds: Collection[JobKind] = (),
        user: str | None = None,
        since_t: float | None = None,
        until_t: float | None = None,
        limit: int | None = None,
    ) -> list[JobView]:
        """All jobs, queued and past; newest first, with those that are over last.

        Args:
            states: only jobs in one of these; any, if it is empty, as of `kinds`.
            user: only jobs that this user submitted: a name or a uid.
            since_t: only jobs that were submitted at this time or later, in Unix seconds.
            until_t: only jobs that were submitted before this time.
            limit: only the newest.

        Raises:
            ClientError: the daemon is of an earlier bertd, which cannot filter.
        """
        choices = [("state", str(state)) for state in states] + [("kind", str(kind)) for kind in kinds]
        bounds = {"user": user, "since": since_t, "until": until_t}
        choices += [(key, str(value)) for key, value in bounds.items() if value is not None]
        if not choices:
            return self._all_jobs()[:limit]
        jobs = self._get_pages(JobView, "/v1/jobs", job_id=lambda job: job.id, query=choices, limit=limit)
        if not all(_matches(job, states, kinds) for job in jobs):
            raise ClientError(f"{self.socket}: the daemon is of an earlier bertd and lists all jobs; upgrade it")
        return _ended_last(jobs)[:limit]

    def _all_jobs(self) -> list[JobView]:
        jobs = self._get_list(JobView, "/v1/jobs")
        if len(jobs) < PAGE_ROWS:
            return jobs
        return _ended_last(self._get_pages(JobView, "/v1/jobs", job_id=lambda job: job.id, before=ABOVE_ALL_JOBS))

    def job(self, id: JobId) -> JobView:
        """One job by number, run id or @."""
        return self._get(JobView, f"/v1/jobs/{path_segment(id)}")

    def would_start(self, id: JobId) -> list[JobView]:
        """The jobs that would start at once if this one gave its devices back."""
        return self._get_list(JobView, f"/v1/jobs/{path_segment(id)}/would-start")

    def log(self, id: JobId, *, offset: int = 0, limit: int = 65536, until_t: float | None = None) -> LogView:
        """A part of a job's log.

        Args:
            offset: byte to begin at; a negative one counts from the end of the log.
            until_t: only what was written before this time, in Unix seconds, and up to a second more; for the pages
                after that of `log_between`.
        """
        return self._log(id, offset=offset, limit=limit, until=until_t)

    def log_between(
        self, id: JobId, *, since_t: float | None = None, until_t: float | None = None, limit: int = 65536
    ) -> LogView:
        """What a job's log got in a time, in Unix seconds, and up to a second more at either side: its first page."""
        return self._log(id, since=since_t, until=until_t, limit=limit)

    def _log(self, id: JobId, **query: float | None) -> LogView:
        given = {key: value for key, value in query.items() if value is not None}
        return self._get(LogView, f"/v1/jobs/{path_segment(id)}/log?{urlencode(given)}")

    def devices(self) -> list[DeviceView]:
        """All GPUs, or the CPU."""
        return self._get_list(DeviceView, "/v1/devices")

    def machine(self) -> MachineView:
        """The machine apart from its GPUs: cores, memory, disk and network."""
        return self._get(MachineView, "/v1/machine")

    def configuration(self) -> list[ConfigurationKeyView]:
        """Each key of the daemon's configuration, with its value and where that comes from."""
        return self._get_list(ConfigurationKeyView, "/v1/configuration")

    def queue_copy(self) -> bytes:
        """The content of a copy of the queue's file."""
        return self._request("GET", "/v1/queue-copy", None, {})

    def audit(self, *, user: str | None = None, since: float | None = None, limit: int = 100) -> list[AuditView]:
        """Requests to change something, newest first.

        Args:
            user: only of this user, a name or a uid.
            since: only at this time or later, in Unix seconds.
            limit: at most 1000.
        """
        query = {"limit": limit, "user": user, "since": since}
        given = {key: value for key, value in query.items() if value is not None}
        return self._get_list(AuditView, f"/v1/audit?{urlencode(given)}")

    def garbage(self, request: GarbageRequest) -> list[GarbageView]:
        """What of ended jobs could be deleted."""
        query = urlencode(request.model_dump(exclude={"jobs"}) | {"job": request.jobs}, doseq=True)
        return self._get_list(GarbageView, f"/v1/garbage?{query}")

    def delete_garbage(self, request: GarbageRequest) -> list[GarbageView]:
        """Delete what of ended jobs nothing needs, and return what went."""
        return self._parse(GarbageDeletedView, self._post("/v1/garbage", request.model_dump_json())).deleted

    def hooks(self) -> list[HookView]:
        """The hooks of the daemon's configuration, each with what became of its newest event."""
        return self._get_list(HookView, "/v1/hooks")

    def test_hook(self, name: str) -> HookTestView:
        """Send a test event to a hook; `newest_test` of the hook says what became of it."""
        return self._parse(HookTestView, self._post(f"/v1/hooks/{path_segment(name)}/test", None))

    def drain(self, device: str) -> DeviceView:
        """Start no more jobs on a device, named by its number, its UUID or a beginning of that, or cpu."""
        return self._parse(DeviceView, self._post(f"/v1/devices/{path_segment(device)}/drain", None))

    def undrain(self, device: str) -> DeviceView:
        """Start jobs on a device again."""
        return self._parse(DeviceView, self._post(f"/v1/devices/{path_segment(device)}/undrain", None))

    def scores(self, run: JobId | None = None) -> list[ScoreView]:
        """Finetuning scores, of one run or of all; newest first."""
        query = [] if run is None else [("run", str(run))]
        return self._get_pages(ScoreView, "/v1/scores", job_id=lambda score: score.job_id, query=query)

    def sweeps(self) -> list[SweepView]:
        """All sweeps, newest first, without their settings."""
        return self._get_list(SweepView, "/v1/sweeps")

    def sweep(self, id: JobId) -> SweepView:
        """One sweep with its settings, by number, name or @, which is the newest."""
        return self._get(SweepView, f"/v1/sweeps/{path_segment(id)}")

    def events(
        self,
        since: int | None = None,
        *,
        types: Collection[str] = (),
        kinds: Collection[JobKind] = (),
        job_id: int | None = None,
        run: JobId | None = None,
        user: str | None = None,
    ) -> EventStream:
        """Follow the daemon: events after id `since` (only new ones without it), and status ticks between them.

        Args:
            types: only events of these types, as of `past_events`, which has the others.
        """
        query = _event_query(types, kinds, job_id=job_id, run=run, user=user)
        return EventStream(self.socket, since=since, query=query)

    def past_events(
        self,
        *,
        types: Collection[str] = (),
        kinds: Collection[JobKind] = (),
        job_id: int | None = None,
        run: JobId | None = None,
        user: str | None = None,
        limit: int = 100,
    ) -> list[EventView]:
        """The newest events of the daemon's log, newest first.

        Args:
            types: only of these types, such as alert; any, if it is empty.
            kinds: only of jobs of these kinds; any, if it is empty.
            job_id: only of this job.
            run: only of this run, and of the finetunings and commands that belong to it.
            user: only of jobs that this user submitted: a name or a uid.
            limit: at most 1000.
        """
        query = _event_query(types, kinds, job_id=job_id, run=run, user=user)
        return self._get_list(EventView, f"/v1/event-log?{urlencode([*query, ('limit', str(limit))])}")

    # ---- Acting ------------------------------------------------------------------------------------

    def submit(self, job: AnySubmission) -> JobView:
        """Put a job into the queue; it is durable when this returns.

        Raises:
            ClientError: a name or a path in it is not Unicode text.
            BertdError: the daemon refused the job.
        """
        return self._post_job("/v1/jobs", record_body(job))

    def estimate_grid(self, grid: SubmitGrid) -> GridEstimateView:
        """What a grid would take; nothing is queued.

        Raises:
            ClientError: a name or a path in it is not Unicode text.
            BertdError: the daemon would refuse the grid.
        """
        return self._parse(GridEstimateView, self._post("/v1/grids/estimate", record_body(grid)))

    def estimate_lend(self, order: SubmitFinetune | SubmitGrid) -> LendEstimateView:
        """Which pretraining a submission with `now` would pause, and what that costs; nothing is queued.

        Raises:
            ClientError: a name or a path in it is not Unicode text.
            BertdError: the daemon would refuse the submission.
        """
        return self._parse(LendEstimateView, self._post("/v1/lends/estimate", record_body(order)))

    def submit_sweep(self, order: SubmitSweep) -> SweepView:
        """Begin a sweep; it is durable when this returns.

        Raises:
            ClientError: a name or a path in it is not Unicode text.
            BertdError: the daemon refused it.
        """
        return self._parse(SweepView, self._post("/v1/sweeps", record_body(order)))

    def cancel_sweep(self, id: JobId) -> SweepView:
        """End a sweep and all its runs."""
        return self._parse(SweepView, self._post(f"/v1/sweeps/{path_segment(id)}/cancel", None))

    def pause(self, id: JobId, *, hot: bool = False) -> JobView:
        """Checkpoint, exit and free the devices; or hot: suspend the ranks between two steps and keep their memory."""
        return self._post_job(f"/v1/jobs/{path_segment(id)}/pause", json.dumps({"hot": True}) if hot else None)

    def resume(self, id: JobId, *, devices: int | None = None) -> JobView:
        """Put a paused job back into the queue; a run may continue on another number of devices."""
        return self._post_job(
            f"/v1/jobs/{path_segment(id)}/resume", None if devices is None else json.dumps({"devices": devices})
        )

    def checkpoint(self, id: JobId) -> JobView:
        """Save a checkpoint at the next step."""
        return self._post_job(f"/v1/jobs/{path_segment(id)}/checkpoint")

    def stop(self, id: JobId) -> JobView:
        """End a job for good: a pretraining saves and exports first."""
        return self._post_job(f"/v1/jobs/{path_segment(id)}/stop")

    def hold(self, id: JobId) -> JobView:
        """Keep a queued job from starting."""
        return self._post_job(f"/v1/jobs/{path_segment(id)}/hold")

    def release(self, id: JobId) -> JobView:
        """Let a held job start."""
        return self._post_job(f"/v1/jobs/{path_segment(id)}/release")

    def priority(self, id: JobId, priority: int) -> JobView:
        """Set a job's priority; higher goes first."""
        return self._post_job(f"/v1/jobs/{path_segment(id)}/priority", json.dumps({"priority": priority}))

    def clone(self, id: JobId, request: CloneRequest) -> JobView:
        """Queue a job like another one, with changes; it is durable when this returns."""
        return self._post_job(f"/v1/jobs/{path_segment(id)}/clone", record_body(request))

    def change(
        self,
        id: JobId,
        *,
        after: list[str] | None = None,
        after_any: list[str] | None = None,
        begin: str | None = None,
        only: str | None = None,
        group: str | None = None,
    ) -> JobView:
        """Change what a job waits for, when it may start and run, or its group.

        Args:
            after: jobs that must be done, as in a submission; an empty list for none.
            after_any: jobs that must be over.
            begin: "none" for at once.
            only: "none" for the whole day.
            group: "none" for no group.
        """
        request = ChangeRequest(after=after, after_any=after_any, begin=begin, only=only, group=group)
        return self._post_job(f"/v1/jobs/{path_segment(id)}/change", record_body(request))

    def move(self, id: JobId, *, to: Literal["before", "after", "first", "last"], job: JobId | None = None) -> JobView:
        """Move a waiting job in the queue: before or after `job`, or to the head or the end of the queue."""
        request = MoveRequest(to=to, job=None if job is None else str(job))
        return self._post_job(f"/v1/jobs/{path_segment(id)}/move", record_body(request))

    def budget(self, id: JobId, request: BudgetRequest) -> RunView:
        """Change a run's budget: by a command to its ranks if it trains, else at once."""
        return self._parse(RunView, self._post(f"/v1/runs/{path_segment(id)}/budget", request.model_dump_json()))

    def shutdown(self) -> None:
        """Shut the daemon down; it treats running jobs as on SIGTERM."""
        self._post("/v1/shutdown", None)


def _series_query(
    x: SeriesAxis,
    points: int,
    columns: list[str] | None,
    *,
    low: float | None,
    high: float | None,
    half_life: float | None,
) -> list[tuple[str, str]]:
    values: dict[str, object] = {"x": x, "points": points, "columns": ",".join(columns) if columns else None}
    values |= {"from": low, "to": high, "smooth": half_life}
    return [(key, str(value)) for key, value in values.items() if value is not None]


def _event_query(
    types: Collection[str], kinds: Collection[JobKind], *, job_id: int | None, run: JobId | None, user: str | None
) -> list[tuple[str, str]]:
    named = {"job": job_id, "run": run, "user": user}
    query = [("type", type) for type in types] + [("kind", str(kind)) for kind in kinds]
    return query + [(key, str(value)) for key, value in named.items() if value is not None]


def _ended_last(jobs: list[JobView]) -> list[JobView]:
    return sorted(jobs, key=lambda job: (job.ended_t is not None, -job.id))


def _matches(job: JobView, states: Collection[JobState], kinds: Collection[JobKind]) -> bool:
    return (not states or job.state in states) and (not kinds or job.kind in kinds)
