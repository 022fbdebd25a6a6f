"""The real runner over real programs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from bertd.errors import RunFolderError, SubmissionError
from bertd.jobs.runner.command_guard import CANNOT_START
from bertd.jobs.runner.command_job_runner import read_command_job_spec, require_program
from bertd.jobs.runner.exit_analysis import exit_text
from bertd.records import CommandJobSpec, CommandKind, JobKind, JobState
from tests.jobs.fake_ranks import Plan
from tests.jobs.runner_box import RunnerBox
from tests.waiting import still_alive, wait_for

FAMILY = """
import pathlib, signal, subprocess, sys, time
{ignore}
others = [subprocess.Popen(["sleep", "3600"], start_new_session=own) for own in (False, True)]
# Reparented to the guard: its own parent is gone.
subprocess.run([sys.executable, "-c", "import subprocess; subprocess.Popen(['sleep', '3600'], start_new_session=True)"])
pathlib.Path("ready").touch()
time.sleep(3600)
"""
"""A program with a child in its group, one in a session of its own, and one whose parent has ended."""


def start(box: RunnerBox, *argv: str, time_limit_s: float | None = None, plan: Plan | None = None) -> None:
    spec = CommandJobSpec(
        argv=list(argv),
        cwd=str(box.paths.root.parent),
        environment={"PATH": os.environ["PATH"], "GREETING": "good morning"},
        job_id=4,
        run_id="1-first",
        run_folder="/state/runs/1-first",
        num_cpus=2,
        time_limit_s=time_limit_s,
    )
    box.paths.command_spec.write_text(spec.model_dump_json())
    box.start(plan, kind=JobKind.COMMAND)


def start_family(box: RunnerBox, *, ignores_term: bool = False, plan: Plan | None = None) -> list[psutil.Process]:
    """Start FAMILY; all processes below the runner, once they are there."""
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if ignores_term else ""
    start(box, sys.executable, "-c", FAMILY.format(ignore=ignore), plan=plan)
    assert box.process is not None
    ready = box.paths.root.parent / "ready"
    wait_for(ready.exists, what=f"the program to be ready\n{box.log}")
    family = psutil.Process(box.process.pid).children(recursive=True)
    assert len(family) == 5  # the guard, the program and three others
    return family


def test_a_program_gets_its_arguments_its_folder_and_its_environment_as_they_are(box: RunnerBox) -> None:
    script = "import os, sys, json; print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)])); sys.exit(0)"
    start(box, sys.executable, "-c", script, "$HOME", "a; b", "", "*", time_limit_s=3600)
    outcome = box.outcome()
    assert (outcome.state, outcome.exit_code) == (JobState.DONE, 0)
    assert outcome.reason.startswith("exit status 0 after ")
    argv, cwd, environment = json.loads(next(line for line in box.log.splitlines() if line.startswith("[[")))
    assert (argv, cwd) == (["$HOME", "a; b", "", "*"], str(box.paths.root.parent))
    assert environment["GREETING"] == "good morning"
    assert environment["BERTD_JOB"] == str(box.paths.root)
    assert environment["BERTD_REMAINING_S"] == "3600"
    assert (environment["BERTD_JOB_ID"], environment["BERTD_RUN"]) == ("4", "1-first")
    assert "PYTEST_CURRENT_TEST" in os.environ and "PYTEST_CURRENT_TEST" not in environment
    assert [record["state"] for record in box.records("state")] == [JobState.RUNNING]
    assert [record["reason"] for record in box.records("end")] == ["finished"]


def test_a_stop_ends_the_program_with_sigterm_and_all_its_processes(box: RunnerBox) -> None:
    family = start_family(box)
    box.post(CommandKind.STOP)
    outcome = box.outcome()
    assert (outcome.state, outcome.reason) == (
        JobState.CANCELLED,
        "stopped by a person; ended by signal 15 (SIGTERM)",
    )
    assert still_alive(family) == []
    assert [record["outcome"] for record in box.records("command")] == ["done"]


def test_a_program_that_ignores_sigterm_at_its_time_limit_is_killed(box: RunnerBox) -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
    start(box, sys.executable, "-c", script, time_limit_s=0.1, plan=Plan(grace_s=0.1))
    outcome = box.outcome()
    assert outcome.state is JobState.FAILED
    assert outcome.reason.startswith("its time limit of 0s is over; ended by signal ")


def test_no_process_is_left_of_a_runner_that_is_killed(box: RunnerBox) -> None:
    family = start_family(box, ignores_term=True)
    box.kill()
    assert still_alive(family) == []


def test_a_program_that_is_not_there_fails_with_the_remedy(box: RunnerBox) -> None:
    start(box, "no-such-program")
    outcome = box.outcome()
    assert (outcome.state, outcome.exit_code) == (JobState.FAILED, SubmissionError.exit_code)
    assert outcome.reason.startswith("no-such-program: no such program in the PATH")


def test_a_program_is_looked_for_where_it_will_run(tmp_path: Path) -> None:
    program = tmp_path / "run.sh"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(SubmissionError, match="no such program there"):
        require_program("./run.sh", cwd=tmp_path, search_path=None)
    program.chmod(0o755)
    require_program("./run.sh", cwd=tmp_path, search_path=None)
    require_program("run.sh", cwd=tmp_path, search_path=str(tmp_path))
    with pytest.raises(SubmissionError, match="gone: the command's folder is not there"):
        require_program("/bin/sh", cwd=tmp_path / "gone", search_path=None)


def test_a_damaged_spec_is_named_without_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "command.json"
    path.write_text('{"argv": ["x"], "cwd": "/", "environment": {"A": ["s3cret"]}}')
    with pytest.raises(RunFolderError, match="is damaged") as caught:
        read_command_job_spec(path)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(RunFolderError, match="cannot read"):
        read_command_job_spec(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("exit_code", "oom_kills", "text"),
    [
        (3, 0, "exit status 3"),
        (CANNOT_START, 0, "exit status 126"),
        (-11, 0, "ended by signal 11 (SIGSEGV)"),
        (-9, 1, "the kernel killed it, since the machine's memory ran out"),
        (137, 1, "the kernel killed it, since the machine's memory ran out"),
        (1, 1, "exit status 1"),
    ],
)
def test_how_a_program_ended_is_said_in_words(exit_code: int, oom_kills: int, text: str) -> None:
    assert exit_text(exit_code, oom_kills=oom_kills) == text
