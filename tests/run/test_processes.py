"""A process with a parent-death signal dies with its parent, even if the parent dies before the request."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from tests.waiting import PATIENCE_S

_PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
_CHILD = """
import sys, time
from bertd.run.processes import die_with_parent
die_with_parent({parent})
print("bound", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("parent", ["", "int(sys.argv[1])"], ids=["whoever it is", "by its pid"])
def test_a_process_is_killed_when_its_parent_dies(parent: str) -> None:
    command = [sys.executable, "-c", _PARENT, _CHILD.format(parent=parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        child = psutil.Process(int(running.stdout.readline()))
        assert child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        running.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs([child], timeout=PATIENCE_S)
    assert not alive


def test_a_process_whose_parent_has_died_before_it_asked_ends_at_once() -> None:
    # Process 1 stands for a parent that has died already.
    child = _CHILD.format(parent="1")
    ended = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
