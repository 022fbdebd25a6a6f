"""Start `bertd join` on the machines that the recipe names, by the system's ssh, with the user's keys."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bertd.run.machine.child_processes import start_child

_END_S = 5.0


@contextmanager
def joining_hosts(hosts: Sequence[str], *, port: int) -> Iterator[None]:
    """Have these hosts join this machine while the context is open; what they print goes to this process' output."""
    clients = [start_child(ssh_command(host, port=port)) for host in hosts]
    try:
        yield
    finally:
        for client in clients:
            try:
                client.wait(_END_S)
            except subprocess.TimeoutExpired:
                client.kill()
                client.wait()


def ssh_command(host: str, *, port: int) -> list[str]:
    """The command that joins there. Pure."""
    program = str(Path(sys.executable).with_name("bertd"))
    quoted = shlex.quote(program)
    # ssh's first word is the address of this machine as that one reaches it.
    join = f'join "${{SSH_CONNECTION%% *}}" --port {port} --once'
    there = f"if [ -x {quoted} ]; then exec {quoted} {join}; else exec bertd {join}; fi"
    return ["ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=2", host, there]
