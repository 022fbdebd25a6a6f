"""Report the daemon's state to systemd, and take the socket that it may pass: sd_notify(3), sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket

from bertd.errors import DaemonError

_LISTEN_FDS_START = 3
"""Source: sd_listen_fds(3)."""


class SystemdNotifier:
    """Sends state lines to $NOTIFY_SOCKET; does nothing if that is not set."""

    def __init__(self, address: str | None) -> None:
        """`address` is a path, or an abstract name that begins with @."""
        self._address = address
        self._last_sent: dict[str, str] = {}

    def send(self, *, only_if_changed: bool = False, **state: str) -> None:
        """Send `READY="1"`, `STATUS="..."` and the like in one datagram; `only_if_changed` skips what was sent last.

        A manager that no longer listens is not an error: it is not a reason to stop training.
        """
        if self._address is None or (
            only_if_changed and all(self._last_sent.get(key) == text for key, text in state.items())
        ):
            return
        self._last_sent |= state
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        lines = "\n".join(f"{key}={text.splitlines()[0] if text else ''}" for key, text in state.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            try:
                channel.sendto(lines.encode(), address)
            except OSError:
                pass


def watchdog_interval_s() -> float | None:
    """Seconds between two WATCHDOG=1: a third of the manager's timeout; None if it does not watch this process."""
    timeout_us = os.environ.get("WATCHDOG_USEC")
    if not timeout_us or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(timeout_us) / 3e6


def take_passed_socket() -> socket.socket | None:
    """The listening Unix socket that systemd's socket unit passed; None if none was.

    Raises:
        DaemonError: something else was passed.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if os.environ.get("LISTEN_FDS") != "1":
        raise DaemonError(
            f"LISTEN_FDS={os.environ.get('LISTEN_FDS')}: bertd takes one socket; give the socket unit one ListenStream="
        )
    try:
        passed = socket.socket(fileno=_LISTEN_FDS_START)
    except OSError as error:
        raise DaemonError(f"LISTEN_FDS=1, but descriptor 3 is not a socket: {error.strerror}; fix the unit") from error
    if passed.family != socket.AF_UNIX or passed.type != socket.SOCK_STREAM:
        raise DaemonError(
            "the socket unit did not pass a Unix stream socket; give it ListenStream=/run/bertd/bertd.sock"
        )
    os.set_inheritable(_LISTEN_FDS_START, False)
    return passed
