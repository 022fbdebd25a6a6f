"""A real run trains while 300 clients stall and one reads its events byte by byte: it takes no step from the run."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from bertd.api.client import Client
from bertd.api.models import SubmitPretrain
from bertd.records import CheckpointRecord, EndRecord, JobState, ValidationRecord
from bertd.run.journal import read_journal
from tests.faults.real_daemon import RealDaemonBox
from tests.faults.real_run import recipe
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.long

NUM_STEPS = 60
NUM_STALLED = 300
MOST_GROWN_BYTES = 60e6
"""Of the daemon: what 300 connections with their buffers, and a run's curves, may take."""
BEGINNINGS = (b"GET /v1/st", b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 9\r\n", b"")


def read_slowly(connection: socket.socket, stop: threading.Event) -> None:
    """Take a byte of the stream at a time, until it ends."""
    while not stop.wait(0.01):
        try:
            if not connection.recv(1):
                return
        except OSError:
            return


def train(box: RealDaemonBox, dataset: Path) -> tuple[list[float], EndRecord]:
    """The validation losses of a run, and its end."""
    text = recipe(dataset, steps=NUM_STEPS, count=1)
    run = box.client.submit(SubmitPretrain(recipe_toml=text, recipe_name="tiny.toml"))
    ended = box.wait_for_state(run.id, JobState.DONE, JobState.FAILED, JobState.LOST)
    assert ended.state is JobState.DONE, ended
    view = box.client.run(run.id)
    assert (view.steps_lost, view.restarts) == (0, 0)
    records = read_journal(box.state.run(run.run_id).journal)
    assert [record for record in records if isinstance(record, CheckpointRecord)]
    (end,) = [record for record in records if isinstance(record, EndRecord)]
    return [record.loss for record in records if isinstance(record, ValidationRecord)], end


def test_stalled_clients_and_a_slow_reader_take_no_step_from_a_real_run(real_box: RealDaemonBox, dataset: Path) -> None:
    undisturbed, _ = train(real_box, dataset)
    assert real_box.process is not None
    daemon, stop = psutil.Process(real_box.process.pid), threading.Event()
    before_bytes = daemon.memory_info().rss
    with ExitStack() as connections:
        for number in range(NUM_STALLED + 1):
            connection = connections.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.settimeout(PATIENCE_S)
            connection.connect(str(real_box.socket))
            connection.sendall(
                BEGINNINGS[number % 3]
                if number < NUM_STALLED
                else b"GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\n\r\n"
            )
        slow = threading.Thread(target=read_slowly, args=(connection, stop), daemon=True)
        slow.start()
        losses, end = train(real_box, dataset)
        grown_bytes = daemon.memory_info().rss - before_bytes
        stop.set()
        slow.join()
    assert end.step == NUM_STEPS and end.sequences > 0
    assert undisturbed and losses == undisturbed, "the same steps, bit for bit"
    assert grown_bytes < MOST_GROWN_BYTES
    assert "Traceback" not in real_box.log
    wait_for(lambda: Client(real_box.socket).status().runs != [], what="an answer afterwards")
