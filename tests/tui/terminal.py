"""`bert-tui` on a pseudo-terminal that answers Textual's queries."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import threading
import time
from types import TracebackType
from typing import Self

from tests.waiting import PATIENCE_S

_QUERIES = {
    b"\x1b[?2026$p": b"\x1b[?2026;2$y",  # Synchronized output: known, off.
    b"\x1b[?2048$p": b"\x1b[?2048;0$y",  # In-band resize notifications: unknown.
}
ENVIRONMENT = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}


class Terminal:
    """A process of the dashboard; a context manager."""

    def __init__(
        self, arguments: list[str], *, columns: int, rows: int, environment: dict[str, str] | None = None
    ) -> None:
        inherited = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        self.started = time.monotonic()
        self._has_ended = False
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            command = [sys.executable, "-m", "tui", *arguments]
            os.execvpe(sys.executable, command, inherited | ENVIRONMENT | (environment or {}))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, timeout_s: float) -> bytes:
        """Output that arrives within the timeout; answers terminal queries."""
        if not select.select([self._fd], [], [], max(0.0, timeout_s))[0]:
            return b""
        try:
            output = os.read(self._fd, 1 << 16)
        except OSError:
            self._has_ended = True
            return b""
        for query, answer in _QUERIES.items():
            if query in output:
                os.write(self._fd, answer)
        return output

    def read_until(self, text: str) -> str:
        """All output up to the read that contains `text`; fails at the end of the process or of PATIENCE_S."""
        output, end = b"", time.monotonic() + PATIENCE_S
        while text.encode() not in output and not self._has_ended and time.monotonic() < end:
            output += self.read(end - time.monotonic())
        assert text.encode() in output, f"{text!r} was not drawn: {output[-2000:]!r}"
        return output.decode(errors="replace")

    def read_for(self, seconds: float) -> bytes:
        """All output during `seconds`."""
        output, end = b"", time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            output += self.read(left)
        return output

    def press(self, keys: str) -> None:
        """Send keys."""
        os.write(self._fd, keys.encode())

    def close(self) -> int:
        """Quit with `q`, or kill the process after PATIENCE_S; returns the exit status."""
        if self._fd < 0:
            return 0
        self.press("q")
        end = time.monotonic() + PATIENCE_S
        status = None
        while status is None and time.monotonic() < end:
            if not self.read(0.05):
                threading.Event().wait(0.01)
            pid, raw = os.waitpid(self.pid, os.WNOHANG)
            status = os.waitstatus_to_exitcode(raw) if pid else None
        if status is None:
            os.kill(self.pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._fd)
        self._fd = -1
        return status
