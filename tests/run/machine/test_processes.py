"""A process with a parent-death signal dies with its parent; a child started amid signals ends without a word."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from bertd.run.machine.processes import peak_memory_bytes
from tests.waiting import PATIENCE_S

_PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(3600)
"""
_CHILD = """
import sys, time
from bertd.run.machine.child_processes import die_with_parent
die_with_parent({parent})
print("bound", flush=True)
time.sleep(3600)
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


_SIGNALLED_BETWEEN_FORK_AND_PROGRAM = """
import os, signal, subprocess, sys
from bertd.run.machine.child_processes import start_child
number = signal.Signals(int(sys.argv[1]))
signal.signal(number, signal.SIG_IGN if sys.argv[2] == "ignored" else lambda *_: print("handler of the parent"))
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), number))
child = start_child(["echo", "child ran"])
print(child.wait(), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("handled", ["handled", "ignored"])
def test_a_signal_before_the_childs_program_runs_ends_it_without_a_word(number: signal.Signals, handled: str) -> None:
    command = [sys.executable, "-c", _SIGNALLED_BETWEEN_FORK_AND_PROGRAM, str(number.value), handled]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    expected = "child ran\n0 set()\n" if handled == "ignored" else f"-{number.value} set()\n"
    assert (ended.stdout, ended.stderr) == (expected, "")


def test_a_child_of_a_process_with_a_blocked_signal_keeps_it_blocked() -> None:
    script = """
import signal, sys
from bertd.run.machine.child_processes import start_child
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
start_child([sys.executable, "-c", "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"]).wait()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "SIGINT" in ended.stdout and "SIGTERM" not in ended.stdout


def test_peak_memory_is_not_that_of_the_parent() -> None:
    held = b"x" * (300 << 20)
    script = "from bertd.run.machine.processes import peak_memory_bytes; print(peak_memory_bytes())"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 1 << 20 < int(child.stdout) < len(held)
    assert peak_memory_bytes() > len(held)
