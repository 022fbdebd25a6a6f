"""Send the daemon's log to systemd's journal with fields: `journalctl -u bertd JOB=7` finds what concerns a job.

This is the journal's native protocol: a datagram of lines `KEY=value`, and for a value of several lines the key, its
length in eight bytes and the value. It is used only if standard error is connected to the journal, which systemd says
in JOURNAL_STREAM; see systemd.exec(5) and https://systemd.io/JOURNAL_NATIVE_PROTOCOL.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""syslog(3)'s number of a level, and of all above it."""
_DEBUG_PRIORITY = 7


def log_fields(job_id: int, run_id: str = "") -> dict[str, object]:
    """`extra` of a log record that concerns a job, and a run if it has one."""
    return {"bertd_job": job_id, "bertd_run": run_id}


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether what is written to the stream arrives in systemd's journal."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class JournalHandler(logging.StreamHandler[TextIO]):
    """Sends records to the journal's socket, and writes those to the stream that it does not accept at once."""

    def __init__(self, stream: TextIO, *, path: Path = JOURNAL_SOCKET) -> None:
        super().__init__(stream)
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # A journal that is stuck must not stop the daemon's event loop.
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        try:
            self._socket.sendto(encode_entry(_build_fields(record, self.format(record))), self._path)
        except OSError:
            super().emit(record)
        except Exception:  # noqa: BLE001 - as in every handler: a record that cannot be formatted ends nothing
            self.handleError(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def encode_entry(fields: Mapping[str, str]) -> bytes:
    """One entry in the native protocol."""
    return b"".join(_encode_field(key, value.encode(errors="replace")) for key, value in fields.items())


def _encode_field(key: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return key.encode() + b"=" + value + b"\n"
    return key.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"


def _build_fields(record: logging.LogRecord, message: str) -> dict[str, str]:
    priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG_PRIORITY)
    fields = {
        "MESSAGE": message,
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": "bertd",
        "LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
        "JOB": str(getattr(record, "bertd_job", "")),
        "RUN": str(getattr(record, "bertd_run", "")),
    }
    return {key: value for key, value in fields.items() if value}
