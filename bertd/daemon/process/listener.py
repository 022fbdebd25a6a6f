"""Create the daemon's Unix socket: with mode 0660 before it is visible, and never over one that is in use."""

from __future__ import annotations

import logging
import os
import socket
import stat
from pathlib import Path

from bertd.errors import BertdError, DaemonBusyError, DaemonError, StorageError
from bertd.run.machine.trusted_folders import find_intruder_risk
from bertd.run.paths import TEMPORARY_PREFIX

logger = logging.getLogger(__name__)

_UMASK = 0o117
"""Leaves 0660: the owner and the group connect, others do not."""
_BACKLOG = 256
_MAX_PATH_BYTES = 107
"""Bytes of sockaddr_un.sun_path without its terminator. Source: unix(7)."""


def bind_socket(path: Path) -> socket.socket:
    """Listen on `path`, replacing a socket on which no process listens any more.

    Raises:
        DaemonError: the path is too long, something other than a socket is there, or another user could replace it.
        DaemonBusyError: another process listens there.
        StorageError: the folder cannot be made or written.
    """
    path = path.absolute()
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}")
    for name in (path, temporary):
        if len(os.fsencode(name)) > _MAX_PATH_BYTES:
            raise DaemonError(
                f"{path}: {len(os.fsencode(name))} bytes, but a socket's path has at most {_MAX_PATH_BYTES}; "
                "give a shorter one with --socket"
            )
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if (risk := find_intruder_risk(path.parent)) is not None:
            raise DaemonError(
                f"{path.parent}: is not a safe folder for the socket: {risk}, or choose another socket with --socket"
            )
        _check_path_is_free(path)
        return _bind(path, temporary=temporary)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot listen there: {error.strerror}; choose another path with --socket"
        ) from error


class SocketWatch:
    """The path on which this daemon listens, which others may remove: cleaners of old files, or a person."""

    def __init__(self, path: Path) -> None:
        """Watch a path that `bind_socket` has just made."""
        self._path = path
        self._inode = path.lstat().st_ino
        self._problem = ""

    def bind_if_removed(self) -> socket.socket | None:
        """A new socket at the path if nothing is there any more; connections of the old one go on.

        A failure is logged once, and the next call tries again.
        """
        if os.path.lexists(self._path):
            return None
        try:
            listener = bind_socket(self._path)
            self._inode = self._path.lstat().st_ino
        except (BertdError, OSError) as error:
            if str(error) != self._problem:
                logger.error("the socket was removed, so no new client can connect: %s", error)
            self._problem = str(error)
            return None
        self._problem = ""
        logger.warning("%s: was removed; listening there again", self._path)
        return listener

    def remove(self) -> None:
        """Remove the path if it is still this daemon's socket."""
        try:
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()
        except FileNotFoundError:
            pass


def _bind(path: Path, *, temporary: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # Created with the right mode: a chmod afterwards leaves a gap in which every user may connect.
    old_umask = os.umask(_UMASK)
    try:
        temporary.unlink(missing_ok=True)
        listener.bind(str(temporary))
        listener.listen(_BACKLOG)
        temporary.rename(path)
    except OSError:
        listener.close()
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.umask(old_umask)
    return listener


def _check_path_is_free(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise DaemonError(f"{path}: exists and is not a socket; move it away, or choose another with --socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
        except FileNotFoundError:
            return
        except TimeoutError:
            pass
        except BlockingIOError:
            pass
    raise DaemonBusyError(
        f"{path}: another process is already listening; use that daemon, or choose another with --socket"
    )
