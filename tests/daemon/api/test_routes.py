"""The socket API as bytes: events, errors, limits, roles. One daemon with fake ranks for all."""

from __future__ import annotations

import grp  # noqa: F401  # The client imports it late, which another user cannot.
import http.client
import json
import math
import os
import shutil
import socket
import sqlite3
import threading
import uuid  # noqa: F401  # The client imports it late, which another user cannot.
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.parser import text_string_to_metric_families

from bertd.api.client import Client
from bertd.api.http import SocketConnection
from bertd.api.models import EventView, RunView, SeriesView, StatusView
from bertd.api.problem import PROBLEM_MEDIA_TYPE, ProblemView
from bertd.api.version import API_VERSION
from bertd.daemon.api.limits import MAX_BODY_BYTES
from bertd.errors import ClientError
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.waiting import PATIENCE_S, wait_for


@pytest.fixture
def box(shared: DaemonBox) -> DaemonBox:
    """All tests here share one daemon."""
    return shared


@contextmanager
def raw(box: DaemonBox) -> Iterator[socket.socket]:
    """A bare connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(box.socket))
        yield connection


def ask(
    box: DaemonBox, method: str, path: str, body: str | bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = SocketConnection(box.socket, timeout_s=PATIENCE_S)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def error_of(content: bytes) -> tuple[str, str]:
    problem = ProblemView.model_validate_json(content)
    assert problem.type == f"urn:bertd:error:{problem.code}" and problem.title
    assert problem.message == problem.detail, "an earlier bertd reads the message"
    return problem.code, problem.detail


# ---- Answers -------------------------------------------------------------------------------------------


def test_every_answer_says_which_api_it_speaks(box: DaemonBox) -> None:
    for path in ("/v1/version", "/v1/nothing", "/openapi.json", "/metrics"):
        _, headers, _ = ask(box, "GET", path)
        assert headers["Bertd-Api-Version"] == str(API_VERSION)
        assert "server" not in headers


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/nothing", None, 404),
        ("DELETE", "/v1/jobs/1", None, 405),
        ("GET", "/v1/jobs/9999", None, 404),
        ("GET", "/v1/jobs/x%1b[31m", None, 404),
        ("GET", "/v1/runs/../../etc", None, 404),
        ("POST", "/v1/jobs/9999/pause", None, 404),
        ("POST", "/v1/jobs/9999-x/pause", None, 404),
        ("POST", "/v1/jobs/1/explode", None, 422),
        ("POST", "/v1/jobs", "{}", 422),
        ("POST", "/v1/jobs", "not json", 422),
        ("POST", "/v1/jobs", "[" * 50_000, 400),
        ("POST", "/v1/jobs", '{"kind":"pretrain","recipe_toml":"","recipe_name":"x.toml"}', 422),
        ("POST", "/v1/jobs/1/priority", '{"priority":1e400}', 422),
        ("POST", "/v1/jobs/1/priority", '{"priority":99999999}', 422),
        ("GET", "/v1/events?since=-1", None, 422),
        ("GET", "/v1/jobs/@/log?limit=0", None, 422),
    ],
)
def test_what_cannot_be_done_is_a_typed_error(
    box: DaemonBox, method: str, path: str, body: str | None, status: int
) -> None:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    got, answered, content = ask(box, method, path, body, headers)
    assert got == status == json.loads(content)["status"], content
    assert answered["Content-Type"] == PROBLEM_MEDIA_TYPE
    code, message = error_of(content)
    assert code in ("ClientError", "UnknownJobError", "RecipeError")
    assert "Traceback" not in message


def test_a_method_that_is_not_allowed_comes_with_those_that_are(box: DaemonBox) -> None:
    assert ask(box, "DELETE", "/v1/jobs/1")[1]["Allow"] == "GET"


def test_what_is_not_even_http_is_answered_with_a_problem_too(box: DaemonBox) -> None:
    with raw(box) as connection:
        connection.sendall(b"noise\r\n\r\n")
        head, _, body = connection.recv(4096).partition(b"\r\n\r\n")
    assert f"Content-Type: {PROBLEM_MEDIA_TYPE}".encode() in head
    assert error_of(body)[0] == "ClientError"


def test_a_body_that_is_no_json_is_refused_by_its_type(box: DaemonBox) -> None:
    status, _, content = ask(box, "POST", "/v1/jobs", "x=1", {"Content-Type": "application/x-www-form-urlencoded"})
    assert (status, error_of(content)[0]) == (415, "ClientError")


def test_a_body_larger_than_any_recipe_is_refused(box: DaemonBox) -> None:
    body = "x" * (MAX_BODY_BYTES + 1)
    status, _, content = ask(box, "POST", "/v1/jobs", body, {"Content-Type": "application/json"})
    assert (status, error_of(content)[0]) == (413, "ClientError")


def test_a_body_in_pieces_is_held_to_the_same_limit(box: DaemonBox) -> None:
    assert box.process is not None
    before = psutil.Process(box.process.pid).memory_info().rss
    with raw(box) as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            for _ in range(MAX_BODY_BYTES // 0x10000 + 2):
                connection.sendall(piece)
            answer = connection.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            answer = b"HTTP/1.1 413"
    assert answer.startswith(b"HTTP/1.1 413")
    assert psutil.Process(box.process.pid).memory_info().rss - before < 10e6


def test_headers_larger_than_16_kib_are_refused(box: DaemonBox) -> None:
    with raw(box) as connection:
        connection.sendall(b"GET /v1/version HTTP/1.1\r\nX: " + b"x" * (32 << 10))
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 100, b"GET", b"SSH-2.0-x"])
def test_noise_is_answered_with_400_and_closed(box: DaemonBox, noise: bytes) -> None:
    with raw(box) as connection:
        connection.sendall(noise + b"\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
        while connection.recv(4096):
            pass
    assert box.answers()


@pytest.mark.parametrize("kind", [b"text/plain", b"application/json"])
def test_a_request_that_turns_out_not_to_be_http_is_no_fault_of_the_daemon(box: DaemonBox, kind: bytes) -> None:
    begun = len(box.log)
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % kind
    for rest in (b"ZZZ\r\n", b"4\r\n{}{}ZZZ\r\n", b"1\r\n{\r\nffffffffffffffffffffff\r\n"):
        with raw(box) as connection:
            connection.sendall(head + rest)
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 400"), answer
            assert error_of(answer.partition(b"\r\n\r\n")[2])[0] == "ClientError"
    assert box.answers()
    assert "Traceback" not in box.log[begun:]


@pytest.mark.parametrize("field", ["recipe_toml", "recipe_name", "overrides", "run", "data_dir"])
def test_half_of_a_surrogate_pair_is_no_fault_of_the_daemon(box: DaemonBox, field: str) -> None:
    order: dict[str, object] = json.loads(box.pretraining(hold=True).model_dump_json())
    if field in ("run", "data_dir"):
        order = {"kind": "finetune", "task": "cola", "run": "@", "data_dir": "/"}
    changed = order | {"overrides": ["run.name=\ud800"]} if field == "overrides" else order | {field: "x\ud800"}
    status, _, content = ask(box, "POST", "/v1/jobs", json.dumps(changed), {"Content-Type": "application/json"})
    # The name of a recipe is only quoted in errors.
    assert status == 201 if field == "recipe_name" else 400 <= status < 500, content
    assert box.client.status()


def test_two_hundred_dribblers_do_not_keep_others_waiting(box: DaemonBox) -> None:
    """This daemon waits longer for the rest of their requests than the client waits for its answer."""
    idle = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(200)]
    try:
        for connection in idle:
            connection.connect(str(box.socket))
            connection.sendall(b"GET /v1/st")
        assert box.client.status().version.api == API_VERSION
    finally:
        for connection in idle:
            connection.close()


def test_more_connections_than_allowed_are_answered_503(box: DaemonBox) -> None:
    held = []
    try:
        answers = set()
        for _ in range(420):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(PATIENCE_S)
            connection.connect(str(box.socket))
            held.append(connection)
        held[-1].settimeout(PATIENCE_S)
        answers.add(held[-1].recv(4096).split(b"\r\n")[0])
        assert answers == {b"HTTP/1.1 503 Service Unavailable"}
    finally:
        for connection in held:
            connection.close()
    wait_for(box.answers, what="the daemon to serve again")


def test_openapi_describes_every_route(box: DaemonBox) -> None:
    status, _, content = ask(box, "GET", "/openapi.json")
    paths = json.loads(content)["paths"]
    assert status == 200
    assert {"/v1/status", "/v1/jobs", "/v1/jobs/{id}/{order}", "/v1/runs/{id}/series", "/v1/events"} <= set(paths)


def test_openapi_is_valid_and_says_what_a_refusal_looks_like(box: DaemonBox) -> None:
    document = json.loads(ask(box, "GET", "/openapi.json")[2])
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            expected = {"400"} | ({"403", "409", "413", "415", "503"} if method == "post" else set())
            expected |= {"404"} if "{id}" in path else set()
            assert expected <= set(operation["responses"]), f"{method} {path}"
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    schema = answer["content"][PROBLEM_MEDIA_TYPE]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ProblemView"}, f"{path}: {status}"
    assert set(document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == {
        "text/plain",
        "application/openmetrics-text",
    }


def test_metrics_have_the_jobs_and_the_runs_that_there_are(box: DaemonBox) -> None:
    job = box.submit()
    box.wait_for_step(job.id, 3)
    status, headers, content = ask(box, "GET", "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(content.decode())}
    assert {"bertd_jobs", "bertd_run_step", "bertd_run_progress_ratio", "bertd_run_charged_seconds"} <= set(families)
    jobs = {sample.labels["state"]: sample.value for sample in families["bertd_jobs"].samples}
    assert set(jobs) == set(JobState) and jobs["running"] == 1
    steps = {sample.labels["run"]: sample.value for sample in families["bertd_run_step"].samples}
    assert steps[job.run_id] >= 2


@pytest.mark.parametrize("id", ["9" * 5_000, "9" * 20, "-1", "1e3", "x", ""], ids=str.__len__)
def test_an_id_that_no_event_can_have_is_refused(box: DaemonBox, id: str) -> None:
    status, _, content = ask(box, "GET", "/v1/events", headers={"Last-Event-ID": id})
    assert (status, error_of(content)[0]) == (400, "ClientError")


@pytest.mark.parametrize("host", ["[", "a[b", "::1", "%", "a/b", ""])
def test_no_host_changes_what_an_answer_says_of_the_request(box: DaemonBox, host: str) -> None:
    for path, body in (("/v1/nothing", None), ("/v1/jobs/1/explode", "{}")):
        headers = {"Host": host, "Content-Type": "application/json"}
        status, _, content = ask(box, "GET" if body is None else "POST", path, body, headers)
        assert status in (404, 422)
        assert path in error_of(content)[1]


@pytest.mark.parametrize(
    ("key", "status"), [("", 422), ("k" * 201, 422), ("k" * 200, 404)], ids=["none", "long", "right"]
)
def test_a_key_of_a_wrong_length_is_a_wrong_parameter(box: DaemonBox, key: str, status: int) -> None:
    got, _, content = ask(box, "POST", "/v1/jobs/9999/pause", headers={"Idempotency-Key": key})
    assert got == status, content


def test_a_body_without_a_type_is_refused_and_no_body_needs_none(box: DaemonBox) -> None:
    status, _, content = ask(box, "POST", "/v1/jobs/9999/priority", b'{"priority":1}')
    assert (status, error_of(content)) == (415, ("ClientError", "send Content-Type: application/json"))
    assert ask(box, "POST", "/v1/jobs/9999/pause")[0] == 404


def test_a_log_is_read_piece_by_piece_and_from_its_end(box: DaemonBox) -> None:
    job = box.client.submit(box.pretraining(hold=True))
    log = Path(job.folder) / "logs" / "job.log"
    log.write_text("änderung\n" * 10)
    whole, offset = "", 0
    while True:
        page = box.client.log(job.id, offset=offset, limit=2)
        whole += page.text
        if page.next_offset == offset:
            break
        offset = page.next_offset
    assert whole == "änderung\n" * 10
    assert box.client.log(job.id, offset=-8).text == "nderung\n"
    assert box.client.log(job.id, offset=10**9).text == ""


def test_a_run_whose_loss_is_nan_can_be_shown(box: DaemonBox) -> None:
    job = box.submit()
    box.wait_for_step(job.id, 3)
    box.client.pause(job.id)
    box.wait_for_state(job.id, JobState.PAUSED)
    newest = box.run_paths(job.id).journal.read_text().splitlines()
    step = json.loads(next(line for line in reversed(newest) if '"kind":"step"' in line))
    with box.run_paths(job.id).journal.open("a") as journal:
        journal.write(json.dumps(step | {"loss": math.nan, "step": step["step"] + 1}) + "\n")
    box.client.resume(job.id)
    wait_for(lambda: has_nan(box.client.series(job.id, x="step", points=4000)), what="the NaN in the curve")
    assert box.client.job(job.id).state in (JobState.STARTING, JobState.RUNNING, JobState.DONE)


def has_nan(series: SeriesView) -> bool:
    return any(math.isnan(y) for _, y in series.columns["loss"])


# ---- Events --------------------------------------------------------------------------------------------


def test_a_stream_resumes_behind_the_last_event_without_gap_or_double(box: DaemonBox) -> None:
    box.release()
    job = box.submit()
    box.wait_for_state(job.id, JobState.DONE)
    everything = [event.id for event in box.events()]
    assert everything == list(range(everything[0], everything[-1] + 1))
    middle = everything[len(everything) // 2]
    stream = box.client.events(since=middle)
    got: list[int] = []
    while not got or got[-1] < everything[-1]:
        item = next(stream)
        if isinstance(item, EventView):
            got.append(item.id)
    stream.close()
    assert got == list(range(middle + 1, everything[-1] + 1))


def test_last_event_id_is_honoured(box: DaemonBox) -> None:
    job = box.submit(steps=3)
    box.wait_for_state(job.id, JobState.DONE)
    last = box.events()[-1].id
    with raw(box) as connection:
        request = f"GET /v1/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {last - 1}\r\n\r\n"
        connection.sendall(request.encode())
        content = b""
        while f"id: {last}\n".encode() not in content:
            content += connection.recv(65536)
    assert f"id: {last - 1}\n".encode() not in content


def test_a_stream_goes_on_over_a_restart_of_the_daemon(box: DaemonBox) -> None:
    job = box.submit(steps=3)
    box.wait_for_state(job.id, JobState.DONE)
    before = box.events()
    box.kill()
    box.start()
    again = box.submit(steps=3)
    box.wait_for_state(again.id, JobState.DONE)
    stream = box.client.events(since=before[-1].id)
    item = next(stream)
    while not isinstance(item, EventView):
        item = next(stream)
    stream.close()
    assert (item.id, item.job_id) == (before[-1].id + 1, again.id)


def test_ticks_come_again_and_again_while_nothing_happens(box: DaemonBox) -> None:
    before = box.client.status().events[-1:]
    stream = box.client.events()
    ticks = 0
    while ticks < 4:
        ticks += isinstance(next(stream), StatusView)
    stream.close()
    assert box.client.status().events[-1:] == before


def test_a_client_that_never_reads_costs_no_memory_and_delays_nobody(box: DaemonBox) -> None:
    assert box.process is not None
    process = psutil.Process(box.process.pid)
    with raw(box) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.sendall(b"GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\n\r\n")
        before = process.memory_info().rss
        for number in range(60):
            box.client.submit(box.pretraining(hold=True, steps=number + 1))
        assert len(box.events()) >= 60
        assert process.memory_info().rss - before < 12e6


def test_a_stream_that_its_client_leaves_ends(box: DaemonBox) -> None:
    assert box.process is not None
    process = psutil.Process(box.process.pid)
    before = process.num_fds()
    streams = [box.client.events() for _ in range(20)]
    wait_for(lambda: process.num_fds() >= before + 20, what="the streams")
    for stream in streams:
        stream.close()
    wait_for(lambda: process.num_fds() <= before, what="the streams to end")


# ---- Who may do what -----------------------------------------------------------------------------------

OTHER_UID = 54321


def as_other(box: DaemonBox, act: Callable[[Client], str]) -> str:
    """Run as another user, in a fork of this process, because that user could not even read this Python."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.chdir(box.folder)
            os.setgroups([])
            os.setgid(OTHER_UID)
            os.setuid(OTHER_UID)
            # Relative, because the folders above belong to root.
            text = act(Client(Path(box.socket.name)))
        except BaseException as error:
            text = f"{type(error).__name__} {error}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        return answer.read().decode()


@pytest.fixture
def open_to_all(box: DaemonBox) -> Iterator[DaemonBox]:
    """A socket that every user may open, so that the daemon itself must refuse."""
    box.folder.chmod(0o711)
    box.socket.chmod(0o666)
    yield box
    box.folder.chmod(0o700)


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@needs_root
def test_another_user_may_look(open_to_all: DaemonBox) -> None:
    assert as_other(open_to_all, lambda client: f"api {client.status().version.api}") == f"api {API_VERSION}"


@needs_root
def test_another_user_may_not_change_and_is_written_down(open_to_all: DaemonBox, tmp_path: Path) -> None:
    box = open_to_all
    refused = as_other(box, lambda client: client.stop(1).reason)
    assert refused.startswith(f"{ClientError.__name__} uid {OTHER_UID}: may read but not change")
    # A copy, since the daemon lets no other program read its own.
    copied = tmp_path / "queue.db"
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{box.state.queue}{suffix}", f"{copied}{suffix}")
    with closing(sqlite3.connect(copied)) as database:
        row = database.execute("SELECT uid, request, status FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    assert row == (OTHER_UID, "POST /v1/jobs/1/stop", 403)


@needs_root
def test_another_user_cannot_even_connect_where_the_mode_is_as_it_was_made(box: DaemonBox) -> None:
    box.folder.chmod(0o711)
    box.socket.chmod(0o660)
    try:
        assert "permission denied" in as_other(box, lambda client: client.version().bertd)
    finally:
        box.folder.chmod(0o700)


def test_a_flood_of_readers_does_not_stop_a_run(box: DaemonBox) -> None:
    job = box.submit()
    ended = threading.Event()
    failures: list[str] = []

    def flood() -> None:
        while not ended.is_set():
            try:
                assert isinstance(box.client.run(job.id), RunView)
                box.client.series(job.id)
            except Exception as error:
                failures.append(repr(error))
                return

    readers = [threading.Thread(target=flood) for _ in range(8)]
    for reader in readers:
        reader.start()
    try:
        box.wait_for_step(job.id, 3)
        box.release()
        box.wait_for_state(job.id, JobState.DONE)
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    assert failures == []
    assert box.steps(job.id) == list(range(1, 21))
