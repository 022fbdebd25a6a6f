"""A job that a proof starts ends with the proof, and says what went wrong where it ends too soon."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bertd.prove import run_probe
from bertd.prove.run_probe import ProbeFailedError, make_run
from bertd.prove.sizes import choose_recipe
from bertd.records import JobState, Outcome
from bertd.run.paths import JobPaths
from tests.waiting import PATIENCE_S, still_alive, wait_for


def test_a_job_ends_with_the_step_that_started_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import pathlib, time\n"
        "from bertd.prove import run_probe, sizes\n"
        "run_probe.runner_command = lambda *_: ['sleep', '600']\n"
        "recipe = sizes.choose_recipe(is_cuda=False, is_tiny=True)\n"
        f"probe = run_probe.make_run(pathlib.Path({str(tmp_path / 'run')!r}), recipe)\n"
        "probe.start()\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(probe._process.pid))\n"
        "time.sleep(600)"
    )
    step = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        wait_for(lambda: pid.is_file() and pid.read_text() != "", what="the job")
        job = psutil.Process(int(pid.read_text()))
    finally:
        step.kill()
        step.wait()
    assert not still_alive([job])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo no GPU here; exit 3", "the run ended before first step: the log ends: no GPU here"),
        ("sleep 600", "no first step in time"),
    ],
)
def test_what_was_waited_for_and_did_not_come_is_said_with_the_end_of_the_log(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_probe, "runner_command", lambda *_: ["sh", "-c", command])
    probe = make_run(tmp_path / "run", choose_recipe(is_cuda=False, is_tiny=True))
    probe.start()
    until_s = 0.0 if command.startswith("sleep") else time.monotonic() + PATIENCE_S
    try:
        with pytest.raises(ProbeFailedError, match=message):
            probe.wait_for(lambda: False, what="first step", until_s=until_s)
    finally:
        probe.kill()


def test_the_outcome_is_what_the_runner_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome(state=JobState.FAILED, reason="no GPU", exit_code=69)

    def command(paths: JobPaths, _: object) -> list[str]:
        return ["sh", "-c", f"echo '{outcome.model_dump_json()}' > {paths.outcome}"]

    monkeypatch.setattr(run_probe, "runner_command", command)
    probe = make_run(tmp_path / "run", choose_recipe(is_cuda=False, is_tiny=True))
    probe.start()
    assert probe.wait(until_s=time.monotonic() + PATIENCE_S) == outcome and probe.describe_end() == "no GPU"
