"""Machines on this one: network namespaces at a switch, each with an address and a name of its own. Needs root."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psutil

from tests.jobs.runner_box import with_tests_on_path
from tests.train.distributed.nodes.slow_switch import DEVICE, SlowSwitch
from tests.waiting import PATIENCE_S

PORT = 29_400
_NUMBERS = itertools.count(1)


def missing_for_namespaces() -> str:
    """Why there can be none here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "no /dev/net/tun"
    absent = [name for name in ("ip", "unshare", "taskset") if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install iproute2 util-linux"
    probe = f"bertd-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:
        return "the kernel makes no network namespaces"
    subprocess.run(["ip", "netns", "delete", probe], check=True)
    return ""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert not done.returncode, f"{' '.join(command)}: {done.stderr}"


class Machine:
    """One namespace."""

    def __init__(self, number: int, *, tag: str) -> None:
        self._number = number
        self.name = f"machine-{number}"
        self.namespace = f"{tag}-{number}"
        self.address, self.address6 = f"10.77.0.{number}", f"fd77::{number}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str | Path, cwd: Path, log: Path) -> subprocess.Popen[bytes]:
        """Start `bertd` there."""
        program = [sys.executable, "-m", "bertd", *map(str, arguments)]
        # A core each, where there are as many: a machine's ranks use all of its cores.
        cores = sorted(os.sched_getaffinity(0))
        program = ["taskset", "--cpu-list", str(cores[(self._number - 1) % len(cores)]), *program]
        named = ["unshare", "--uts", "sh", "-c", f'hostname {self.name}; exec "$@"', "sh", *program]
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *named],
                cwd=cwd,
                env=with_tests_on_path(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)
        return process

    def kill_one(self, word: str) -> None:
        """Kill the process there that has this word in its command."""
        (pid,) = [pid for pid in self._pids() if word in psutil.Process(pid).cmdline()]
        os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill every process there."""
        for pid in self._pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in self.processes:
            process.wait(PATIENCE_S)

    def _pids(self) -> list[int]:
        found = subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        return [int(pid) for pid in found.stdout.split()]


class Machines:
    """Several machines while the context is open, and the switch between them."""

    def __init__(self, number: int) -> None:
        tag = f"bertd{os.getpid()}-{next(_NUMBERS)}"
        self.all = [Machine(each, tag=tag) for each in range(1, number + 1)]
        self.switch = SlowSwitch()
        self._stack = ExitStack()

    def __getitem__(self, index: int) -> Machine:
        return self.all[index]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for machine in self.all:
                self._connect(machine, stack)
            self.switch.start()
            stack.callback(self.switch.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.all:
            machine.kill_all()
        self._stack.close()

    def cut(self, machine: Machine) -> None:
        """Take its cable away: packets are dropped, and nobody is told."""
        self.switch.cut.add(machine.namespace)

    def heal(self, machine: Machine) -> None:
        """Put it back."""
        self.switch.cut.discard(machine.namespace)

    def _connect(self, machine: Machine, stack: ExitStack) -> None:
        _run("ip", "netns", "add", machine.namespace)
        stack.callback(_run, "ip", "netns", "delete", machine.namespace)
        self.switch.connect(machine.namespace)
        there = ("ip", "-n", machine.namespace)
        _run(*there, "addr", "add", f"{machine.address}/24", "dev", DEVICE)
        _run(*there, "addr", "add", f"{machine.address6}/64", "dev", DEVICE, "nodad")
        for device in ("lo", DEVICE):
            _run(*there, "link", "set", device, "up")


def tail(logs: Sequence[Path]) -> str:
    """The ends of logs, for a test that fails."""
    return "\n".join(f"--- {log}\n{log.read_text()[-3000:]}" for log in logs if log.exists())
