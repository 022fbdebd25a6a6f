"""Clients that send noise, stall or do not read, over the socket of a real daemon in which a run trains."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertd.api.problem import ProblemView
from bertd.errors import BertdError, DaemonUnreachableError
from bertd.records import JobState
from tests.daemon.api.fuzz_cases import IS_RANDOM, NUM_CASES
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan
from tests.waiting import PATIENCE_S, wait_for

_MOST_GROWN_BYTES = 40e6
"""What 300 connections with their buffers, and a page of frames, may take."""


@pytest.fixture(scope="module")
def box(_shared: DaemonBox) -> Iterator[DaemonBox]:
    """One daemon for all, with a job to change."""
    _shared.client.submit(_shared.pretraining(hold=True))
    yield _shared
    _shared.clear()


def _connect(box: DaemonBox) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(PATIENCE_S)
    connection.connect(str(box.socket))
    return connection


_TOKENS = st.sampled_from(
    [b"GET ", b"POST ", b"/v1/jobs", b"/v1/jobs/1/pause", b"/v1/series?run=@", b"/v1/event-log?limit=", b"/metrics"]
    + [b" HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"{}", b"\x00"]
    + [b"Transfer-Encoding: chunked\r\n", b'5\r\n{"a":\r\n', b"0\r\n\r\n", b"Content-Type: application/json\r\n"]
    + [b"Idempotency-Key: \xff\r\n", b"%00", b"%ff%fe", b"?x=\xc3\x28", b"Expect: 100-continue\r\n", b"9" * 40]
)
_NOISE = st.lists(st.one_of(_TOKENS, st.binary(max_size=40)), max_size=12).map(b"".join)


@settings(
    max_examples=NUM_CASES,
    deadline=None,
    derandomize=not IS_RANDOM,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(_NOISE)
def test_no_bytes_are_a_fault_of_the_daemon(box: DaemonBox, noise: bytes) -> None:
    before = len(box.log)
    with _connect(box) as connection:
        answer = b""
        try:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(1 << 16):
                answer += piece
        except ConnectionError:
            pass  # It closed while the noise was sent.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 "), answer[:200]
    assert b" 500 " not in answer.partition(b"\r\n")[0]
    status, _, body = answer.partition(b"\r\n\r\n")
    if status.startswith(b"HTTP/1.1 4") and status.count(b"HTTP/1.1") == 1 and body.startswith(b"{"):
        assert ProblemView.model_validate_json(body.split(b"HTTP/1.1 ")[0])
    assert "Traceback" not in box.log[before:]
    assert box.answers()


def test_stalled_clients_and_a_deaf_one_take_no_step_from_a_run_and_little_memory(box: DaemonBox) -> None:
    assert box.process is not None
    process = psutil.Process(box.process.pid)
    before = process.memory_info().rss
    with ExitStack() as connections:
        for number in range(300):
            stalled = connections.enter_context(_connect(box))
            stalled.sendall((b"GET /v1/st", b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 9\r\n", b"")[number % 3])
        deaf = connections.enter_context(_connect(box))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.sendall(b"GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\n\r\n")
        box.release()
        job = box.submit(steps=20)
        assert box.wait_for_state(job.id, JobState.DONE, JobState.FAILED, JobState.LOST).state is JobState.DONE
        assert box.steps(job.id) == list(range(1, 21))
        assert box.client.past_events(types=["end"], job_id=job.id), "its events were not held up"
        assert process.memory_info().rss - before < _MOST_GROWN_BYTES
    assert box.answers()


@pytest.mark.parametrize("name", ["journal", "log", "recipe", "control"])
def test_a_pipe_in_place_of_a_run_s_file_does_not_hold_the_daemon(box: DaemonBox, name: str) -> None:
    box.plan(Plan(hold_at=3))
    job = box.submit(steps=20)
    box.wait_for_step(job.id, 3)
    path = getattr(box.run_paths(job.id), name)
    path.rename(path.with_name("away"))
    os.mkfifo(path)
    for ask in (lambda: box.client.run(job.id), lambda: box.client.series(job.id), lambda: box.client.log(job.id)):
        try:
            ask()
        except BertdError as error:
            assert not isinstance(error, DaemonUnreachableError), error
    try:
        box.client.checkpoint(job.id)
    except BertdError as error:
        assert not isinstance(error, DaemonUnreachableError), error
    assert box.client.submit(box.pretraining(hold=True)).state is JobState.HELD, "others are served"
    path.unlink()
    path.with_name("away").rename(path)
    box.release()
    assert box.wait_for_state(job.id, JobState.DONE, JobState.FAILED).state is JobState.DONE


def test_a_run_goes_on_while_its_journal_cannot_be_read(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=3))
    job = box.submit(steps=20)
    box.wait_for_step(job.id, 3)
    paths = box.run_paths(job.id)
    away = paths.journal.with_name("away")
    paths.journal.rename(away)
    paths.journal.mkdir()
    wait_for(lambda: "the ranks go on, and it is read once that works" in paths.log.read_text(), what="the runner")
    paths.journal.rmdir()
    away.rename(paths.journal)
    box.release()
    assert box.wait_for_state(job.id, JobState.DONE, JobState.FAILED, JobState.LOST).state is JobState.DONE
    assert box.steps(job.id) == list(range(1, 21))
