"""The command line against the real daemon, and the fake daemon held to the real one's shapes.

The daemon, its queue, its runners and the run folders are the real ones; only the ranks are stand-ins, so that a
run of a hundred steps takes a second.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.api.client import Client
from bertd.api.http import SocketConnection
from bertd.api.models import EventView, StatusView, SubmitPretrain
from bertd.errors import ShardError, TransitionError, UnknownJobError
from bertd.records import JobState
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon
from tests.jobs.fake_ranks import Plan
from tests.run.data_sets import write_manifest
from tests.waiting import PATIENCE_S, wait_for

_STEPS = 40


class RealDaemon:
    """`bertd start` in its own process, from READY to its end."""

    def __init__(self, command: list[str], *, folder: Path) -> None:
        self.socket = folder / "bertd.sock"
        self._ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ready.bind(str(folder / "notify.sock"))
        self._ready.settimeout(PATIENCE_S)
        environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify.sock")}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        while b"READY=1" not in self._ready.recv(4096):
            pass

    def end(self) -> None:
        """End it with SIGTERM."""
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE_S)
        self._ready.close()


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealDaemon]:
    """The real daemon at tmp_path/bertd.sock, a data set by the name of the demo's."""
    (tmp_path / "data" / "docstrings").mkdir(parents=True)
    write_manifest(tmp_path / "data" / "docstrings")
    monkeypatch.setenv("BERTD_DATA", str(tmp_path / "data"))
    (tmp_path / "plan.json").write_text("{}")
    state, listening, plan = (str(tmp_path / name) for name in ("state", "bertd.sock", "plan.json"))
    daemon = RealDaemon([sys.executable, "-m", "tests.daemon.fake_daemon", state, listening, plan], folder=tmp_path)
    yield daemon
    daemon.end()


def test_a_run_goes_through_its_life_at_the_command_line(bertd: Bertd, real: RealDaemon) -> None:
    settings = ["--set", f"budget.steps={_STEPS}", "--set", "devices.count=1", "--name", "first"]
    assert "No run yet" in bertd("status").out

    said = bertd("submit", "demo", *settings, "--hold")
    assert said.out.startswith("job 1 (first) is held: ")
    assert "held" in bertd("jobs").out
    assert bertd("resume", "1").code == 5
    assert bertd("release", "1").code == 0

    said = bertd("wait", "1", "--timeout", f"{PATIENCE_S:.0f}s")
    assert (said.code, said.out.startswith("job 1 (first) is done: ")) == (0, True)
    shown = bertd("show", "1-first").out
    assert f"100.0% of {_STEPS} steps" in shown
    assert "MegatronBertForMaskedLM" in shown
    status = StatusView.model_validate_json(bertd("status", "--json").out)
    assert [run.id for run in status.runs] == ["1-first"]
    assert "1-first" in bertd("status").out
    [job] = json.loads(bertd("jobs", "--json").out)
    assert (job["state"], job["run_id"]) == ("done", "1-first")
    assert bertd("scores").out.startswith("No score yet")


def test_a_running_run_is_acted_on_by_its_name_and_the_ranks_answer(
    bertd: Bertd, real: RealDaemon, tmp_path: Path
) -> None:
    (tmp_path / "plan.json").write_text(Plan(hold_at=5).model_dump_json())
    settings = ["--set", "devices.count=1", "--budget", f"{_STEPS}steps"]
    assert json.loads(bertd("submit", "demo", *settings, "--name", "first", "--json").out)["id"] == 1
    assert bertd("submit", "demo", *settings, "--name", "second", "--hold").code == 0
    wait_for(lambda: Client(real.socket).job(1).state is JobState.RUNNING, what="the first run to train")

    assert bertd("checkpoint", "first", "--wait", "--timeout", "60s").out.endswith("; the checkpoint is saved\n")
    assert bertd("budget", "@", "+10steps").out.startswith("run 1-first has a budget of 50 steps, ")
    assert bertd("budget", "second", "-10steps").out.startswith("run 2-second has a budget of 30 steps, ")
    said = bertd("budget", "first", "2steps")
    assert (said.code, "is too little" in said.err) == (2, True)
    said = bertd("show", "frist")
    assert (said.code, "did you mean 1-first?" in said.err) == (4, True)
    assert bertd("priority", "second", "-3").out.endswith("; its priority is -3\n")
    (tmp_path / "go").touch()
    assert bertd("wait", "first", "--timeout", "60s").code == 0
    assert bertd("stop", "first", "second").code == 5
    assert bertd("wait", "second").code == 11


def test_logs_are_those_of_the_jobs_folder(bertd: Bertd, real: RealDaemon) -> None:
    assert bertd("submit", "demo", "--hold").code == 0
    assert bertd("logs", "1").out == ""
    log = Path(Client(real.socket).job(1).folder) / "logs" / "job.log"
    log.write_text("größe \x1b[31mred\n" * 40_000)
    assert bertd("logs", "1").out == "größe \\x1b[31mred\n" * 40_000


def test_a_command_to_a_job_that_is_over_ends_with_5_and_to_none_with_4(bertd: Bertd, real: RealDaemon) -> None:
    assert bertd("submit", "demo", "--hold").code == 0
    assert bertd("stop", "1").code == 0
    assert bertd("wait", "1").code == 11
    assert bertd("pause", "1").code == 5
    assert bertd("pause", "99").code == 4
    assert bertd("show", "7-absent").code == 4


def test_shutdown_ends_the_daemon(bertd: Bertd, real: RealDaemon) -> None:
    assert f"pid {real.process.pid}" in bertd("shutdown").out
    assert real.process.wait(PATIENCE_S) == 0
    assert bertd("status").code == 69


def test_refusals_and_events_of_the_real_daemon_are_the_classes_and_records(real: RealDaemon, tmp_path: Path) -> None:
    client = Client(real.socket)
    recipe = '[run]\nname = "x"\n[budget]\nsteps = 5\n[data]\nshards = "/absent"\n'
    with pytest.raises(ShardError, match="/absent"):
        client.submit(SubmitPretrain(recipe_toml=recipe, recipe_name="x.toml", overrides=["devices.kind=cpu"]))
    with pytest.raises(UnknownJobError):
        client.job(99)
    data = str(tmp_path / "data" / "docstrings")
    overrides = [f"data.shards={data}", "devices.kind=cpu", "devices.count=1"]
    with client.events(since=0) as stream:
        job = client.submit(SubmitPretrain(recipe_toml=recipe, recipe_name="x.toml", overrides=overrides, hold=True))
        assert job.state is JobState.HELD
        items = [next(stream) for _ in range(2)]
        while not any(isinstance(item, EventView) and item.job_id == job.id for item in items):
            items.append(next(stream))
    with pytest.raises(TransitionError):
        client.hold(job.id)
    assert client.priority(job.id, 5).priority == 5


def test_the_fake_daemon_answers_as_the_real_one_does(bertd: Bertd, real: RealDaemon, tmp_path: Path) -> None:
    assert bertd("submit", "demo", "--hold").code == 0
    questions = [
        *("version", "status", "devices", "scores", "jobs", "jobs/@", "jobs/99", "jobs/@/log?offset=0&limit=10"),
        *("runs", "runs/@", "runs/@/series?x=step&points=10&columns=loss"),
    ]
    with FakeDaemon(tmp_path / "fake.sock") as fake:
        for question in questions:
            assert _outline(fake.socket, "GET", question) == _outline(real.socket, "GET", question), question
        for order in ("jobs/@/stop", "shutdown"):
            assert _outline(fake.socket, "POST", order) == _outline(real.socket, "POST", order), order


def _outline(address: Path, method: str, path: str) -> tuple[int, str | None, str | None, list[str]]:
    """Status, version, media type and the names of an answer."""
    connection = SocketConnection(address, timeout_s=PATIENCE_S)
    connection.request(method, f"/v1/{path}")
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    names = sorted(body) if isinstance(body, dict) else [type(body).__name__]
    return response.status, response.getheader("Bertd-Api-Version"), response.getheader("Content-Type"), names
