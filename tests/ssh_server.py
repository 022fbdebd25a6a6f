"""Another machine: OpenSSH's server on a loopback port with keys of its own, and an `ssh` that knows it as `box`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.waiting import wait_for

_SSHD = "/usr/sbin/sshd"


@dataclass
class SshServer:
    """A context manager. Its `bin` comes first on PATH, and has an ssh with the configuration of a user."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    def __enter__(self) -> Self:
        require_openssh()
        self.folder.mkdir(mode=0o700)
        for key in ("host_key", "user_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        shutil.copy(self.folder / "user_key.pub", self.folder / "authorized_keys")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it for its unprivileged part.
        self.port = _free_port()
        self._write_configurations()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        command = [_SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with (self.folder / "sshd.log").open("a") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.process.poll() is not None or self._listens(), what="sshd")
        if self.process.poll() is not None:
            pytest.skip(f"sshd does not start here: {self.log.strip()}")

    def stop(self) -> None:
        """End the server; connections that it has made go on."""
        self.process.terminate()
        self.process.wait()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def _write_configurations(self) -> None:
        folder, ssh = self.folder, shutil.which("ssh")
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nLogLevel VERBOSE\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nPidFile none\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        )
        (folder / "ssh_config").write_text(
            f"Host inner\n  ProxyJump box\nHost stranger\n  IdentityFile {folder}/host_key\n"
            f"Host box inner\n  IdentityFile {folder}/user_key\n"
            f"Host *\n  HostName 127.0.0.1\n  Port {self.port}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  StrictHostKeyChecking no\n  UserKnownHostsFile {folder}/known_hosts\n"
        )
        self.bin.mkdir()
        write_program(self.bin / "ssh", f'exec {ssh} -F {folder}/ssh_config "$@"')


def write_program(path: Path, script: str) -> None:
    """A shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def require_openssh() -> None:
    """Skip the test where a program is missing."""
    missing = [name for name in (_SSHD, "ssh", "ssh-keygen") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian: openssh-server, openssh-client)")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
