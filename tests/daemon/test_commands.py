"""Jobs of kind command, over the socket of a real daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bertd.api.http import SocketConnection
from bertd.api.models import SubmitCommand
from bertd.errors import DeviceError, SubmissionError, TransitionError, UnknownJobError
from bertd.records import JobKind, JobState
from tests.daemon.daemon_box import DaemonBox
from tests.waiting import PATIENCE_S

WAITS = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)\nsys.exit(7)"


def command(box: DaemonBox, *argv: str, **changes: object) -> SubmitCommand:
    order = SubmitCommand(
        argv=list(argv), cwd=str(box.folder), environment={"PATH": os.environ["PATH"], "MOOD": "s3cret"}
    )
    return order.model_copy(update=changes)


def test_a_command_outlives_the_kill_and_the_end_of_its_daemon(box: DaemonBox) -> None:
    go = box.folder / "go-on"
    job = box.client.submit(command(box, sys.executable, "-c", WAITS, str(go)))
    assert (job.kind, job.name, job.run_id) == (JobKind.COMMAND, Path(sys.executable).name, "")
    running = box.wait_for_state(job.id, JobState.RUNNING)
    assert (running.reason, running.devices, running.argv[-1]) == ("runs", ["cpu"], str(go))
    with pytest.raises(TransitionError, match="cannot pause a command"):
        box.client.pause(job.id)
    box.kill()
    box.start()
    assert box.stop() == 0
    box.start()
    assert box.client.job(job.id).state is JobState.RUNNING
    go.touch()
    ended = box.wait_for_state(job.id, JobState.FAILED)
    assert (ended.exit_status, ended.devices) == (7, [])
    assert ended.reason.startswith("exit status 7; last log lines in")
    assert box.client.resume(job.id).state is JobState.QUEUED
    assert box.wait_for_state(job.id, JobState.FAILED).exit_status == 7


def test_nobody_is_shown_the_environment_of_a_command(shared: DaemonBox) -> None:
    box = shared
    job = box.client.submit(command(box, "sleep", "3600", name="sleeper", hold=True))
    spec = Path(job.folder) / "command.json"
    assert "s3cret" in spec.read_text()
    assert spec.stat().st_mode & 0o077 == 0
    for path in (f"/v1/jobs/{job.id}", "/v1/jobs", "/v1/status", f"/v1/jobs/{job.id}/log", "/metrics"):
        assert b"s3cret" not in read(box, path)
    assert all("s3cret" not in event.model_dump_json() for event in box.events())
    assert "s3cret" not in box.log


def read(box: DaemonBox, path: str) -> bytes:
    connection = SocketConnection(box.socket, timeout_s=PATIENCE_S)
    connection.request("GET", path, None, {})
    content = bytes(connection.getresponse().read())
    connection.close()
    return content


def test_a_command_that_cannot_run_here_is_refused_before_it_is_a_job(shared: DaemonBox) -> None:
    box, before = shared, len(shared.client.jobs())
    for wrong, error, words in (
        (command(box, "no-such-program"), SubmissionError, "no-such-program: no such program"),
        (command(box, "true", cwd="/nowhere"), SubmissionError, "/nowhere: the command's folder"),
        (command(box, "true", cwd="here"), SubmissionError, "here: the command's folder is not absolute"),
        (command(box, "true", environment={"HF_TOKEN": "s3cret"}), SubmissionError, "--env HF_TOKEN: names a secret"),
        (command(box, "true", "a\0b"), SubmissionError, "NUL"),
        (command(box, "true", devices=512), DeviceError, r"--devices 512: this machine has \d+ GPU"),
        (command(box, "true", memory_bytes=1 << 30), DeviceError, "--memory: is a part of one GPU, not of 0"),
        (command(box, "true", cpus=5_000), DeviceError, r"--cpus 5000: this machine has \d+ core"),
        (command(box, "true", run="nothing"), UnknownJobError, "no such run"),
    ):
        with pytest.raises(error, match=words) as caught:
            box.client.submit(wrong)
        assert "s3cret" not in str(caught.value)
    assert len(box.client.jobs()) == before
