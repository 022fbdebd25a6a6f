"""bertd.api.client: typed responses, typed refusals, and errors if the daemon is absent, broken or another program."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bertd import errors
from bertd.api import http, sse
from bertd.api.client import Client
from bertd.api.models import ErrorView, EventView, StatusView, SubmitFinetune, SubmitPretrain
from bertd.api.typed_requests import KEY_HEADER
from bertd.errors import BertdError, ClientError, DaemonUnreachableError, TransitionError, UnknownJobError
from bertd.records import JobKind, JobState
from tests.cli import samples
from tests.cli.fake_daemon import FakeDaemon, frame
from tests.waiting import PATIENCE_S


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "bertd.sock") as daemon:
        yield daemon


@pytest.fixture
def client(daemon: FakeDaemon) -> Client:
    return Client(daemon.socket)


# ---- Answers ---------------------------------------------------------------------------------------


def test_each_question_is_answered_with_its_record(client: Client, daemon: FakeDaemon) -> None:
    daemon.log = b"step 1\nstep 2\n"
    assert client.version() == daemon.status.version
    assert client.status() == daemon.status
    assert client.jobs() == daemon.jobs
    assert client.job(8) == client.job("8") == daemon.jobs[1]
    assert client.job("@") == daemon.jobs[0]
    assert client.runs() == [client.run("7-demo")] == daemon.runs
    assert client.devices() == daemon.status.devices
    assert client.scores() == client.scores("7-demo") == daemon.scores
    assert client.log(7, offset=-7).text == "step 2\n"


def test_gaps_in_a_curve_arrive_as_nan(client: Client) -> None:
    points = client.series("7-demo", x="step", points=10, columns=["loss", "lr"]).columns["loss"]
    assert points[0] == (1.0, 5.0)
    assert math.isnan(points[1][1])


def test_questions_carry_their_arguments(client: Client, daemon: FakeDaemon) -> None:
    client.series("7-demo", x="step", points=10, columns=["loss", "lr"])
    assert daemon.requests[-1].query == {"x": ["step"], "points": ["10"], "columns": ["loss,lr"]}
    client.series("7-demo", columns=["loss"], has_positions=True)
    assert daemon.requests[-1].query["positions"] == ["true"]
    client.log(7, offset=5, limit=100)
    assert daemon.requests[-1].query == {"offset": ["5"], "limit": ["100"]}
    client.scores("@")
    assert daemon.requests[-1].query == {"run": ["@"]}


def test_a_name_cannot_become_a_query(client: Client, daemon: FakeDaemon) -> None:
    client.run("7-demo?x=1")
    assert daemon.requests[-1].path == "/v1/runs/7-demo%3Fx%3D1"
    assert daemon.requests[-1].query == {}


def test_each_command_goes_to_its_path(client: Client, daemon: FakeDaemon) -> None:
    assert client.pause(7) == client.resume(7) == client.checkpoint(7) == client.stop(7) == daemon.jobs[0]
    assert client.hold(7) == client.release(7) == client.priority(7, 5) == daemon.jobs[0]
    client.shutdown()
    assert [request.path for request in daemon.requests] == [
        *(f"/v1/jobs/7/{verb}" for verb in ("pause", "resume", "checkpoint", "stop", "hold", "release", "priority")),
        "/v1/shutdown",
    ]
    assert daemon.requests[-2].body == b'{"priority": 5}'


def test_a_submission_arrives_whole(client: Client, daemon: FakeDaemon) -> None:
    pretrain = SubmitPretrain(recipe_toml="[run]", recipe_name="x.toml", overrides=["run.seed=1"], hold=True)
    finetune = SubmitFinetune(run="@", task="cola", data_dir="/glue")
    assert client.submit(pretrain).id == 9
    assert SubmitPretrain.model_validate_json(daemon.requests[-1].body) == pretrain
    assert client.submit(finetune).id == 9
    assert SubmitFinetune.model_validate_json(daemon.requests[-1].body) == finetune


def test_text_of_any_script_arrives_and_what_is_no_text_is_refused(client: Client, daemon: FakeDaemon) -> None:
    finetune = SubmitFinetune(run="@", task="cola", data_dir="/größe/模型")
    client.submit(finetune)
    assert SubmitFinetune.model_validate_json(daemon.requests[-1].body) == finetune
    with pytest.raises(ClientError, match="not Unicode text; rename it"):
        client.submit(finetune.model_copy(update={"data_dir": "/\udcff"}))


# ---- Broken connections ----------------------------------------------------------------------------


def test_a_command_whose_answer_is_lost_is_repeated_under_the_same_key(client: Client, daemon: FakeDaemon) -> None:
    daemon.num_breaks = 1
    client.pause(7)
    first, second = daemon.requests
    assert (first.path, second.path) == ("/v1/jobs/7/pause", "/v1/jobs/7/pause")
    assert first.headers[KEY_HEADER] == second.headers[KEY_HEADER]


def test_two_commands_have_two_keys(client: Client, daemon: FakeDaemon) -> None:
    client.pause(7)
    client.pause(7)
    first, second = daemon.requests
    assert first.headers[KEY_HEADER] != second.headers[KEY_HEADER]


def test_a_daemon_that_breaks_off_twice_is_lost(client: Client, daemon: FakeDaemon) -> None:
    daemon.num_breaks = 2
    with pytest.raises(DaemonUnreachableError, match="closed the connection"):
        client.status()
    assert len(daemon.requests) == 2


def test_an_answer_that_ends_early_is_a_broken_one(client: Client, daemon: FakeDaemon) -> None:
    daemon.raw_answer = b"HTTP/1.1 200 OK\r\nBertd-Api-Version: 1\r\nContent-Length: 500\r\n\r\n{}"
    with pytest.raises(DaemonUnreachableError, match="closed the connection"):
        client.status()


def test_a_daemon_that_says_nothing_is_given_up(
    client: Client, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        silent = daemon.socket.with_name("silent.sock")
        listener.bind(str(silent))
        listener.listen()
        with pytest.raises(DaemonUnreachableError, match=r"silent\.sock: GET /v1/status: no answer in 0\.05 s"):
            Client(silent).status()


@contextmanager
def trickling(path: Path, *, head: bytes) -> Iterator[None]:
    """A listener that answers one request with a head and then single bytes, without end."""
    is_over = threading.Event()

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(head)
            while not is_over.wait(0.005):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nBertd-Api-Version: 1\r\nContent-Length: 100000\r\n\r\n"], ids=["head", "body"]
)
def test_an_answer_that_comes_byte_by_byte_is_given_up(
    head: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT_S", 0.1)
    path = tmp_path / "slow.sock"
    with trickling(path, head=head), pytest.raises(DaemonUnreachableError, match=r"no answer in 0\.1 s"):
        Client(path).status()


def test_an_event_that_comes_byte_by_byte_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "STREAM_TIMEOUT_S", 0.1)
    path = tmp_path / "slow.sock"
    head = b"HTTP/1.1 200 OK\r\nBertd-Api-Version: 1\r\n\r\n"
    with (
        trickling(path, head=head),
        Client(path).events() as stream,
        pytest.raises(DaemonUnreachableError, match=r"no answer in 0\.1 s"),
    ):
        next(stream)


# ---- Another user ----------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_who_listens_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "stolen.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        # The kernel reports who called listen().
        done = subprocess.run(
            ["python3", "-c", f"import socket; socket.socket(fileno={listener.fileno()}).listen()"],
            user=65534,
            group=65534,
            extra_groups=[],
            pass_fds=[listener.fileno()],
            check=False,
            cwd="/",
        )
        assert done.returncode == 0
        for call in (Client(path).status, Client(path).events):
            with pytest.raises(ClientError, match=r"stolen\.sock: user nobody listens there, not you or root"):
                call()
            connection, _ = listener.accept()
            assert connection.recv(10) == b""
            connection.close()


# ---- No daemon -------------------------------------------------------------------------------------


def test_no_socket_says_how_to_start_a_daemon(tmp_path: Path) -> None:
    with pytest.raises(
        DaemonUnreachableError, match=r"absent\.sock: no daemon listens there; start one with `bertd st"
    ):
        Client(tmp_path / "absent.sock").status()


def test_a_socket_nobody_listens_on_says_the_same(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    for call in (Client(tmp_path / "dead.sock").status, Client(tmp_path / "dead.sock").events):
        with pytest.raises(DaemonUnreachableError, match=r"dead\.sock: no daemon listens there; start one"):
            call()


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachableError, match="cannot connect: AF_UNIX path too long; name the daemon.s socket"):
        Client(tmp_path / ("x" * 200)).status()


def test_a_closed_socket_says_which_group_to_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "closed.sock"
    path.touch()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(http.socket.socket, "connect", refuse)  # type: ignore[attr-defined]  # not re-exported
    with pytest.raises(DaemonUnreachableError, match=r"closed\.sock: permission denied; you are not in group '\w+'"):
        Client(path).status()
    with pytest.raises(DaemonUnreachableError, match="you have no access to its folder"):
        Client(tmp_path / "gone.sock").status()


# ---- Refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BertdError)],
    ids=lambda kind: str(kind.__name__),
)
def test_a_refusal_arrives_as_the_class_the_daemon_raised(
    kind: type[BertdError], client: Client, daemon: FakeDaemon
) -> None:
    daemon.refusal = (409, ErrorView(code=kind.__name__, message="place: value; remedy"))
    with pytest.raises(kind) as caught:
        client.pause(7)
    assert type(caught.value) is kind
    assert str(caught.value) == "place: value; remedy"


@pytest.mark.parametrize("code", ["ErrorOfANewerDaemon", "annotations", "__doc__", "BaseException", ""])
def test_a_refusal_of_a_class_unknown_here_is_a_client_error(code: str, client: Client, daemon: FakeDaemon) -> None:
    daemon.refusal = (418, ErrorView(code=code, message="no tea"))
    with pytest.raises(ClientError, match="^no tea$") as caught:
        client.status()
    assert type(caught.value) is ClientError


def test_a_refusal_before_the_daemon_looked_at_the_request_is_understood(client: Client, daemon: FakeDaemon) -> None:
    body = ErrorView(code="DaemonError", message="too many connections; close some").model_dump_json().encode()
    daemon.raw_answer = b"HTTP/1.1 503 x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with pytest.raises(errors.DaemonError, match="too many connections"):
        client.status()


def test_another_api_version_says_which_side_to_upgrade(client: Client, daemon: FakeDaemon) -> None:
    daemon.api_version = "2"
    with pytest.raises(ClientError, match="the daemon speaks API 2, this bertd API 1; upgrade this command"):
        client.status()
    daemon.api_version = "0"
    with pytest.raises(ClientError, match="the daemon speaks API 0, this bertd API 1; upgrade the daemon"):
        client.events()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n<html>..x",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ],
    ids=["another web server", "its error page", "ssh", "noise"],
)
def test_whoever_else_listens_there_is_not_taken_for_a_daemon(
    answer: bytes, client: Client, daemon: FakeDaemon
) -> None:
    daemon.raw_answer = answer
    for call in (client.status, client.events):
        with pytest.raises(ClientError, match=r"not a bertd daemon: "):
            call()


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"null", b"{", b'{"version": "\xff"}'])
def test_an_answer_of_another_shape_is_a_client_error_in_one_line(
    body: bytes, client: Client, daemon: FakeDaemon
) -> None:
    daemon.raw_answer = b"HTTP/1.1 200 OK\r\nBertd-Api-Version: 1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    for call in (client.status, client.jobs):
        with pytest.raises(ClientError, match="unexpected answer from the daemon") as caught:
            call()
        assert "\n" not in str(caught.value)


# ---- Events ----------------------------------------------------------------------------------------


def test_events_and_ticks_arrive_in_order_and_typed(client: Client, daemon: FakeDaemon) -> None:
    first, second, tick = samples.event(5), samples.event(6, text="a\nb"), samples.status()
    daemon.stream.put(b": heartbeat\n\n" + frame(first) + frame(tick))
    daemon.stream.put(frame(second))
    with client.events(since=4) as stream:
        assert stream.last_id == 4
        assert [next(stream), next(stream), next(stream)] == [first, tick, second]
        assert stream.last_id == 6
    assert daemon.requests[-1].query == {"since": ["4"]}


def test_a_tick_says_how_far_the_daemon_has_looked_and_an_earlier_one_says_nothing(
    client: Client, daemon: FakeDaemon
) -> None:
    tick = samples.status()
    daemon.stream.put(frame(tick) + frame(samples.event(5)) + frame(tick) + b"id: 9\n" + frame(tick))
    with client.events(types=["alert"], kinds=[JobKind.PRETRAIN], job_id=7, run="7-first", user="ada") as stream:
        known = [(next(stream), stream.last_id)[1] for _ in range(4)]
    assert known == [None, 5, 5, 9]
    assert daemon.requests[-1].query == {
        "type": ["alert"], "kind": ["pretrain"], "job": ["7"], "run": ["7-first"], "user": ["ada"]
    }  # fmt: skip


def test_an_event_cut_into_pieces_arrives_whole(client: Client, daemon: FakeDaemon) -> None:
    content = frame(samples.event(5))
    for begin in range(0, len(content), 7):
        daemon.stream.put(content[begin : begin + 7])
    with client.events() as stream:
        assert next(stream) == samples.event(5)


def test_kinds_of_events_of_a_newer_daemon_are_skipped(client: Client, daemon: FakeDaemon) -> None:
    daemon.stream.put(b"event: mood\ndata: {}\n\nretry: 5\n\n" + frame(samples.event(5)))
    with client.events() as stream:
        assert next(stream) == samples.event(5)


def test_the_end_of_the_daemon_ends_the_stream_with_an_error_and_the_last_id(
    client: Client, daemon: FakeDaemon
) -> None:
    daemon.stream.put(frame(samples.event(5)) + b"id: 6\nevent: event\ndata: {")
    daemon.stream.put(None)
    stream = client.events()
    assert isinstance(next(stream), EventView)
    with pytest.raises(DaemonUnreachableError, match="closed the connection"):
        next(stream)
    assert stream.last_id == 5
    with pytest.raises(DaemonUnreachableError):
        next(stream)


def test_a_stream_that_falls_silent_is_given_up(
    client: Client, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "STREAM_TIMEOUT_S", 0.05)
    with client.events() as stream, pytest.raises(DaemonUnreachableError, match="the event stream: no answer in 0.05"):
        next(stream)


def test_an_event_that_cannot_be_read_is_a_client_error(client: Client, daemon: FakeDaemon) -> None:
    daemon.stream.put(b"event: event\ndata: {}\n\n")
    with client.events() as stream, pytest.raises(ClientError, match="unexpected answer from the daemon"):
        next(stream)


def test_closing_from_another_thread_ends_a_waiting_iteration(client: Client, daemon: FakeDaemon) -> None:
    daemon.stream.put(frame(samples.event(5)))
    stream = client.events()
    has_first = threading.Event()
    seen: list[EventView | StatusView] = []

    def follow() -> None:
        for item in stream:
            seen.append(item)
            has_first.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert has_first.wait(PATIENCE_S)
    stream.close()
    stream.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert seen == [samples.event(5)]
    assert list(stream) == []


def test_a_refused_stream_is_the_daemons_error(client: Client, daemon: FakeDaemon) -> None:
    daemon.refusal = (409, ErrorView(code="TransitionError", message="not now"))
    with pytest.raises(TransitionError, match="not now"):
        client.events()


def test_an_unknown_job_is_known_as_one(client: Client) -> None:
    with pytest.raises(UnknownJobError, match="job 99: no such job"):
        client.job(99)


def test_many_threads_share_one_client(client: Client, daemon: FakeDaemon) -> None:
    states: list[JobState] = []
    threads = [threading.Thread(target=lambda: states.append(client.job(7).state)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert states == [JobState.RUNNING] * 20


@pytest.mark.parametrize("id", ["", ".", "..", "../../etc", "a/b"])
def test_an_id_that_would_be_another_path_is_no_job(tmp_path: Path, id: str) -> None:
    client = Client(tmp_path / "nobody.sock")
    for ask in (client.job, client.run, client.log, client.pause):
        with pytest.raises(UnknownJobError, match="no such job or run"):
            ask(id)
