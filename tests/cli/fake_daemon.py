"""A daemon with the answers of a test: HTTP over a Unix socket, on the standard library alone.

It is there for what a real daemon will not do when asked: break off, fall silent, speak another version.
`tests/cli/test_real_daemon.py` holds that the shapes it sends are those of the real one.
"""

from __future__ import annotations

import json
import queue
import socketserver
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

import bertd
from bertd.api.models import (
    AuditView,
    ConfigurationKeyView,
    ErrorView,
    EventView,
    GarbageDeletedView,
    GarbageView,
    GridEstimateView,
    HookTestView,
    HookView,
    JobView,
    LendEstimateView,
    LogView,
    RecipeView,
    RunView,
    ScoreView,
    SeriesView,
    StatusView,
)
from bertd.api.problem import PROBLEM_MEDIA_TYPE, build_problem
from bertd.api.sweep_models import SweepView
from bertd.records import JobKind, JobState, Record
from bertd.run.log_times import find_begin, find_end
from bertd.run.recipe.load import find_recipe
from tests.cli import samples


@dataclass
class Request:
    """One request of a client."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """One answer."""

    status: int
    body: bytes
    media_type: str = "application/json"


def frame(item: EventView | StatusView) -> bytes:
    """One server-sent event, as the real daemon writes it."""
    head = f"id: {item.id}\nevent: event\n" if isinstance(item, EventView) else "event: tick\n"
    return f"{head}data: {item.model_dump_json()}\n\n".encode()


@dataclass
class FakeDaemon:
    """Answers from its fields; use it in a `with`."""

    socket: Path
    status: StatusView = field(default_factory=samples.status)
    runs: list[RunView] = field(default_factory=lambda: [samples.run()])
    grid_estimate: GridEstimateView = field(default_factory=samples.grid_estimate)
    lend_estimate: LendEstimateView = field(default_factory=samples.lend_estimate)
    scores: list[ScoreView] = field(default_factory=lambda: [samples.score()])
    audit: list[AuditView] = field(default_factory=samples.audit)
    hooks: list[HookView] = field(default_factory=samples.hooks)
    garbage: list[GarbageView] = field(default_factory=samples.garbage)
    configuration: list[ConfigurationKeyView] = field(default_factory=samples.configuration)
    jobs: list[JobView] = field(default_factory=lambda: samples.status().jobs)
    sweeps: list[SweepView] = field(default_factory=lambda: [samples.sweep()])
    log: bytes = b""
    log_times: list[tuple[float, int]] = field(default_factory=list)
    """How long the log was at which time."""
    refusal: tuple[int, ErrorView] | None = None
    """Answers everything, if it is set."""
    refusals: dict[str, tuple[int, ErrorView]] = field(default_factory=dict)
    """Answers by path."""
    raw_answer: bytes | None = None
    """Bytes sent to every request instead of HTTP, if it is set."""
    num_breaks: int = 0
    """Number of requests that are read and then disconnected without an answer."""
    ignores_filters: bool = False
    """Lists all jobs whatever is asked for, as a daemon of an earlier bertd does."""
    api_version: str = "1"
    bertd_version: str = bertd.__version__
    stream: queue.Queue[bytes | None] = field(default_factory=queue.Queue)
    """Pieces of the event stream; None ends it."""
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.put(None)
        self._server.shutdown()
        self._server.server_close()
        self.socket.unlink(missing_ok=True)

    def set_state(self, id: int, state: JobState, *, reason: str = "") -> None:
        """Change a job and the status that shows it."""
        self.jobs = [
            job.model_copy(update={"state": state, "reason": reason}) if job.id == id else job for job in self.jobs
        ]
        self.status = self.status.model_copy(update={"jobs": self.jobs})

    def answer(self, request: Request) -> Answer:
        """The answer that the real daemon would give."""
        refusal = self.refusal or self.refusals.get(request.path)
        if refusal is not None:
            return _refuse(*refusal)
        parts = request.path.split("/")[2:]
        if request.method == "POST":
            return self._act(parts, request)
        match parts:
            case ["version"]:
                return _ok(self.status.version)
            case ["status"]:
                return _ok(self.status)
            case ["jobs"]:
                return _ok(self._listed_jobs(request))
            case ["jobs", id]:
                return _ok(self._job(id))
            case ["jobs", _, "would-start"]:
                return _ok([job for job in self.jobs if job.state is JobState.QUEUED])
            case ["jobs", _, "log"]:
                return _ok(self._piece(request))
            case ["runs"]:
                return _ok(self.runs)
            case ["runs", id, "series"]:
                return _ok(SeriesView(run_id=id, x="step", columns={"loss": [(1.0, 5.0), (2.0, float("nan"))]}))
            case ["runs", id, "recipe"]:
                return _ok(RecipeView(run_id=id, toml=find_recipe("demo").read_text()))
            case ["runs", _]:
                return _ok(self.runs[0])
            case ["series"]:
                curve = SeriesView(run_id="", x="step", columns={"loss": [(1.0, 5.0)]})
                return _ok([curve.model_copy(update={"run_id": id}) for id in request.query["run"]])
            case ["sweeps"]:
                return _ok([each.model_copy(update={"settings": []}) for each in self.sweeps])
            case ["sweeps", _]:
                return _ok(self.sweeps[0])
            case ["event-log"]:
                return _ok(self.status.events[::-1])
            case ["garbage"]:
                return _ok(self.garbage)
            case ["hooks"]:
                return _ok(self.hooks)
            case ["audit"]:
                return _ok(self.audit)
            case ["configuration"]:
                return _ok(self.configuration)
            case ["devices"]:
                return _ok(self.status.devices)
            case ["machine"] if self.status.machine is not None:
                return _ok(self.status.machine)
            case ["scores"]:
                return _ok(self.scores)
        return _refuse(404, ErrorView(code="ClientError", message="no such path"))

    def _act(self, parts: list[str], request: Request) -> Answer:
        match parts:
            case ["jobs"]:
                kind = JobKind(json.loads(request.body)["kind"])
                return _ok(samples.job(9, state=JobState.QUEUED, kind=kind, reason="waits for its turn"), status=201)
            case ["lends", "estimate"]:
                return _ok(self.lend_estimate)
            case ["grids", "estimate"]:
                return _ok(self.grid_estimate)
            case ["jobs", id, _]:
                return _ok(self._job(id), status=202)
            case ["sweeps", *_]:
                return _ok(self.sweeps[0], status=202)
            case ["garbage"]:
                return _ok(GarbageDeletedView(deleted=self.garbage), status=202)
            case ["devices", id, verb]:
                return _ok(samples.device(id, drained_by="ada (uid 7)" if verb == "drain" else None), status=202)
            case ["runs", _, "budget"]:
                return _ok(self.runs[0], status=202)
            case ["hooks", name, "test"]:
                return _ok(HookTestView(hook=name, event_id=40, timeout_s=1.0), status=202)
        return _ok(self.status.version, status=202)

    def _listed_jobs(self, request: Request) -> list[JobView]:
        states, kinds = request.query.get("state", []), request.query.get("kind", [])
        if self.ignores_filters:
            return self.jobs
        jobs = [job for job in self.jobs if (not states or job.state in states) and (not kinds or job.kind in kinds)]
        return jobs[: int(request.query.get("limit", ["1000"])[0])]

    def _job(self, id: str) -> JobView | ErrorView:
        found = [job for job in self.jobs if id in ("@", str(job.id), job.run_id)]
        return (
            found[0] if found else ErrorView(code="UnknownJobError", message=f"job {id}: no such job; see bertd jobs")
        )

    def _piece(self, request: Request) -> LogView:
        given = {key: float(values[0]) for key, values in request.query.items()}
        offset = int(given.get("offset", find_begin(self.log_times, given["since"]) if "since" in given else 0))
        end = find_end(self.log_times, given["until"]) if "until" in given else None
        begin = min(len(self.log), offset) if offset >= 0 else max(0, len(self.log) + offset)
        piece = self.log[begin : min(begin + int(given["limit"]), len(self.log) if end is None else end)]
        return LogView(
            text=piece.decode(errors="replace"), offset=begin, next_offset=begin + len(piece), size=len(self.log)
        )


def _refuse(status: int, error: ErrorView) -> Answer:
    problem = build_problem(status, code=error.code, detail=error.message)
    return Answer(status, problem.model_dump_json().encode(), PROBLEM_MEDIA_TYPE)


def _ok(answer: Record | Sequence[Record], *, status: int = 200) -> Answer:
    if isinstance(answer, ErrorView):
        return _refuse(404, answer)
    if isinstance(answer, Record):
        return Answer(status, answer.model_dump_json().encode())
    return Answer(status, f"[{','.join(row.model_dump_json() for row in answer)}]".encode())


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, daemon: FakeDaemon) -> None:
        self.fake = daemon
        super().__init__(str(daemon.socket), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect: tests do so on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: object) -> None:
        """Do not log."""

    def _handle(self) -> None:
        fake = self.server.fake
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, url.path, parse_qs(url.query), dict(self.headers.items()), body)
        fake.requests.append(request)
        self.close_connection = True
        if fake.num_breaks:
            fake.num_breaks -= 1
        elif fake.raw_answer is not None:
            self.wfile.write(fake.raw_answer)
        elif url.path == "/v1/events" and fake.refusal is None:
            self._stream(fake)
        else:
            answer = fake.answer(request)
            self._head(answer.status, answer.media_type, f"Content-Length: {len(answer.body)}")
            self.wfile.write(answer.body)

    def _stream(self, fake: FakeDaemon) -> None:
        self._head(200, "text/event-stream", "Transfer-Encoding: chunked")
        while (piece := fake.stream.get()) is not None:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    def _head(self, status: int, kind: str, length: str) -> None:
        fake = self.server.fake
        version = f"Bertd-Api-Version: {fake.api_version}\r\n" if fake.api_version else ""
        version += f"Bertd-Version: {fake.bertd_version}\r\n" if fake.bertd_version else ""
        self.wfile.write(f"HTTP/1.1 {status} x\r\n{version}Content-Type: {kind}\r\n{length}\r\n\r\n".encode())
