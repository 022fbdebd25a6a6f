"""CPU time of a real process tree and of the machine, and of a stand-in /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertd.run.machine.cpu_time import read_busy_s, read_tree_s
from tests.run.machine.stand_in_proc import put_process, put_stat


def test_a_tree_has_the_time_of_living_and_of_exited_descendants() -> None:
    # It burns CPU time, so does a child that it waits for, and so does a grandchild that lives on.
    code = """
import subprocess, sys, time
def burn():
    while time.process_time() < 0.3: pass
depth = int(sys.argv[2])
burn()
if depth == 2:
    subprocess.run([sys.executable, "-c", sys.argv[1], sys.argv[1], "9"])
if depth < 3:
    subprocess.run([sys.executable, "-c", sys.argv[1], sys.argv[1], str(depth + 1)])
elif depth == 3:
    print("burnt", flush=True)
    input()
"""
    process = subprocess.Popen([sys.executable, "-c", code, code, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    with process:
        assert process.stdout.readline() == b"burnt\n"
        used_s = read_tree_s([process.pid])[process.pid]
        process.stdin.write(b"\n")
    # Each of the four used 0.3 s; the kernel counts whole ticks.
    assert 1.1 <= used_s <= read_busy_s()


def test_a_process_that_is_gone_is_left_out() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert read_tree_s([process.pid, os.getpid()]).keys() == {os.getpid()}


def test_idle_time_and_waiting_for_disks_is_not_busy(tmp_path: Path) -> None:
    put_stat(tmp_path, busy_s=2.5)
    assert read_busy_s(tmp_path) == 2.5


@pytest.mark.parametrize("name", ["python", "a b) R 1 (", "((", ""])
def test_a_name_of_a_process_does_not_confuse(tmp_path: Path, name: str) -> None:
    put_process(tmp_path, 5, parent=1, cpu_s=1.0, name=name)
    put_process(tmp_path, 6, parent=5, cpu_s=0.25, name=name)
    assert read_tree_s([5, 6], tmp_path) == {5: 1.25, 6: 0.25}
