"""A private daemon for the demo: own socket and state folder; it ends with the demo."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bertd.api.client import Client
from bertd.errors import DaemonError, DaemonUnreachableError, StorageError
from bertd.run.machine.child_processes import start_child

_MAX_SOCKET_BYTES = 107
"""Length of sockaddr_un.sun_path without the terminating zero. Source: unix(7)."""
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 20.0
_POLL_S = 0.1


class PrivateDaemon:
    """`bertd start` on a private socket; a context manager that ends it."""

    def __init__(self, folder: Path) -> None:
        """Choose the paths; starts nothing.

        Args:
            folder: absolute; gets `state/` (an existing one is removed), `bertd.sock` and `daemon.log`.
        """
        self.state_dir = folder / "state"
        self.log = folder / "daemon.log"
        self.socket, self._socket_folder = _choose_socket_path(folder)
        self.client = Client(self.socket)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        """Start the daemon and wait until it answers.

        Raises:
            DaemonError: it exited or does not answer; the message has its last output.
            StorageError: the state folder cannot be created.
        """
        try:
            shutil.rmtree(self.state_dir, ignore_errors=True)
            self.state_dir.mkdir(parents=True)
            self.socket.unlink(missing_ok=True)
            with self.log.open("wb") as log:
                self._process = start_child(
                    [
                        sys.executable,
                        *("-m", "bertd", "start"),
                        *("--state-dir", str(self.state_dir)),
                        *("--socket", str(self.socket)),
                    ],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches only the demo, which ends its daemon.
                    # If the demo is killed, the daemon pauses its run and exits.
                    death_signal=signal.SIGTERM,
                )
        except OSError as error:
            raise StorageError(f"{self.state_dir}: {error.strerror}; free space or check the permissions") from error
        try:
            self._wait_for_answer()
        except BaseException:
            # Ctrl-C too: it is not entered yet, so nobody else would end it.
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)

    def check_alive(self) -> None:
        """Check that the daemon is running.

        Raises:
            DaemonError: it has exited.
        """
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise DaemonError(f"the daemon exited with status {code}: {last_line(self.log)}; its log is {self.log}")

    def shut_down(self) -> None:
        """Shut the daemon down and wait until it exits.

        Raises:
            DaemonError: it does not exit in time.
        """
        assert self._process is not None
        self.client.shutdown()
        try:
            self._process.wait(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise DaemonError(
                f"the daemon (pid {self.pid}) did not exit within {_STOP_TIMEOUT_S:g} s; see {self.log}"
            ) from error

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            self.check_alive()
            try:
                self.client.version()
                return
            except DaemonUnreachableError as error:
                if time.monotonic() > deadline:
                    raise DaemonError(f"the daemon does not answer: {error}; its log is {self.log}") from error
            time.sleep(_POLL_S)


def _choose_socket_path(folder: Path) -> tuple[Path, Path | None]:
    """The socket's path, and the temporary folder to remove at the end if the demo's path is too long for a socket."""
    path = folder / "bertd.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_BYTES:
        return path, None
    shorter = Path(tempfile.mkdtemp(prefix="bertd-demo-"))
    return shorter / "bertd.sock", shorter


def last_line(log: Path) -> str:
    """The last non-empty line, for messages."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError as error:
        return str(error)
    return lines[-1].strip() if lines else "no output"
