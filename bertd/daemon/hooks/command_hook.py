"""Deliver an event to a program: JSON on its standard input, a small environment, a bounded output, a time limit."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from bertd.daemon.hooks.hook_events import Delivery
from bertd.errors import DeliveryError
from bertd.terminal_text import terminal_line

_PASSED = ("HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
"""Of the daemon's own environment: who it is, and the session bus that desktop notifications go to."""
_PASSED_PREFIX = "LC_"
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_KEPT_OUTPUT_BYTES = 2_000
"""The last ones are kept, for the reason of a failure; the rest is read and dropped."""
_POLL_INTERVAL_S = 0.1


def hook_environment(own: Mapping[str, str], delivery: Delivery) -> dict[str, str]:
    """The whole environment of a hook's program. Pure.

    Args:
        own: the daemon's, which may hold secrets; only what _PASSED names is passed.
    """
    passed = {name: text for name, text in own.items() if name in _PASSED or name.startswith(_PASSED_PREFIX)}
    of_event = {"BERTD_EVENT": str(delivery.event), "BERTD_RUN": delivery.run, "BERTD_JOB": delivery.job}
    return {"PATH": own.get("PATH", _DEFAULT_PATH), **passed, **of_event}


def run_command(command: Sequence[str], delivery: Delivery, *, timeout_s: float, is_cancelled: threading.Event) -> str:
    """Run the program to its end, in a session of its own; then kill what is left of its process group.

    Args:
        is_cancelled: kill it at once.

    Raises:
        DeliveryError: it cannot be started, failed, or took too long.
    """
    started = time.monotonic()
    # From memory, not from a pipe: a program that does not read must not block this thread.
    with os.fdopen(os.memfd_create("bertd-hook-event"), "wb+") as payload:
        payload.write(delivery.body)
        payload.seek(0)
        try:
            # Not start_child: code between fork and exec is only safe in a process without threads.
            process = subprocess.Popen(
                command,
                stdin=payload,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=hook_environment(os.environ, delivery),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"{command[0]}: cannot be started: {error.strerror}", may_retry=False) from error
    output = _Output(process.stdout)
    try:
        has_ended = _wait(process.pid, output, deadline=started + timeout_s, is_cancelled=is_cancelled)
    finally:
        # Before the exit status is read: until then no other process can get its number.
        os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        output.close()
    said = f": {output.last_line()}" if output.last_line() else ""
    if not has_ended:
        why = "the daemon or this hook ends" if is_cancelled.is_set() else f"it took more than {timeout_s:g} s"
        raise DeliveryError(f"{command[0]}: killed, because {why}{said}", may_retry=not is_cancelled.is_set())
    if status != 0:
        raise DeliveryError(f"{command[0]}: exit status {status}{said}", may_retry=True)
    return f"exit status 0 after {time.monotonic() - started:.1f} s"


class _Output:
    """The end of what the program writes."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None
        self._stream = stream
        os.set_blocking(stream.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(stream, selectors.EVENT_READ)
        self._kept = b""
        self._is_open = True

    def read(self, *, timeout_s: float) -> None:
        """Wait for output, at most so long, and take what there is."""
        if not self._is_open:
            time.sleep(timeout_s)
        elif self._selector.select(timeout_s):
            self._take()

    def _take(self) -> None:
        try:
            piece = os.read(self._stream.fileno(), 1 << 16)
        except BlockingIOError:
            return
        if not piece:
            self._is_open = False
            self._selector.unregister(self._stream)
        self._kept = (self._kept + piece)[-_KEPT_OUTPUT_BYTES:]

    def close(self) -> None:
        """Take one last piece, and close."""
        if self._is_open:
            self._take()
        self._selector.close()
        self._stream.close()

    def last_line(self) -> str:
        """As it can be shown on a terminal."""
        lines = self._kept.decode(errors="replace").strip().splitlines()
        return terminal_line(lines[-1])[:300] if lines else ""


def _wait(pid: int, output: _Output, *, deadline: float, is_cancelled: threading.Event) -> bool:
    """Whether the process ended in time; it is not reaped."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0 or is_cancelled.is_set():
            return False
        output.read(timeout_s=min(remaining_s, _POLL_INTERVAL_S))
    return True
