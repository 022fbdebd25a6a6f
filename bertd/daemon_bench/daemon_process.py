"""A daemon of the bench, and a stand-in for a run that trains: processes of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bertd.errors import DaemonError
from bertd.run.machine.child_processes import start_child

_PATIENCE_S = 300.0


class DaemonProcess:
    """`bertd start` on a state folder, until READY; a context manager that kills it."""

    def __init__(self, folder: Path) -> None:
        """`folder` has, or gets, `state/`; its path is short enough for a socket."""
        self.state, self.socket, self._log = folder / "state", folder / "bertd.sock", folder / "daemon.log"
        self.ready_s = 0.0
        """Wall time from the start of the process to READY; the processor time in it is `ready_cpu_s`."""
        self.ready_cpu_s = 0.0

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            DaemonError: it ended, or is not ready in time; the message has its last output.
        """
        notify = self.socket.with_name("notify.sock")
        notify.unlink(missing_ok=True)
        options = ["--state-dir", str(self.state), "--socket", str(self.socket)]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, self._log.open("wb") as log:
            ready.bind(str(notify))
            ready.settimeout(0.2)
            began = time.monotonic()
            self._child = start_child(
                [sys.executable, "-m", "bertd", "start", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "NOTIFY_SOCKET": str(notify)},
                death_signal=signal.SIGKILL,
            )
            while not self._has_sent_ready(ready):
                if self._child.poll() is not None or time.monotonic() - began > _PATIENCE_S:
                    self._child.kill()
                    raise DaemonError(
                        f"the daemon did not become ready: {self._log.read_text(errors='replace')[-2000:]}"
                    )
            self.ready_s = time.monotonic() - began
        self._process = psutil.Process(self._child.pid)
        self.ready_cpu_s = self.cpu_s()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.wait()
        self.socket.unlink(missing_ok=True)

    def cpu_s(self) -> float:
        """Processor time so far, of all its threads."""
        times = self._process.cpu_times()
        return times.user + times.system

    def resident_bytes(self) -> int:
        """Resident memory, shared pages included."""
        return int(self._process.memory_info().rss)

    @staticmethod
    def _has_sent_ready(ready: socket.socket) -> bool:
        try:
            return b"READY=1" in ready.recv(4096)
        except TimeoutError:
            return False


class StandInRun:
    """A process that is to the daemon the runner of a run which writes a step a second; a context manager."""

    def __init__(self, run_folder: Path, *, first_step: int = 1) -> None:
        self._folder = run_folder
        self._first_step = first_step

    def __enter__(self) -> Self:
        """Start it, and wait until it has the job.

        Raises:
            DaemonError: it ended.
        """
        command = [sys.executable, "-m", "bertd.daemon_bench.stand_in_run", str(self._folder), str(self._first_step)]
        self._child = start_child(command, stdout=subprocess.PIPE, death_signal=signal.SIGKILL)
        assert self._child.stdout is not None
        if not self._child.stdout.readline():
            raise DaemonError("the stand-in for a run ended; its traceback is above")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.communicate()
