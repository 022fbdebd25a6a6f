"""A daemon on another machine: its socket, forwarded to a local one by the system's `ssh`.

`ssh -N -L` with the user's own configuration, keys, agent and jump hosts. It runs without a terminal, so that it can
ask for nothing behind a screen; what it would ask for is refused, in its own words. Nothing is started on the other
side: the paths where a daemon usually listens are all forwarded, and the first on which one answers is taken.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bertd.api.client import Client
from bertd.api.http import DISCONNECT_ERRORS, send_request
from bertd.errors import BertdError, DaemonUnreachableError
from bertd.run.machine.child_processes import start_child
from bertd.terminal_text import terminal_line

CONNECT_TIMEOUT_S = 30.0
"""For ssh to log in, jump hosts included, and to listen on the local sockets."""
_SSH_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ControlMaster=no",  # An existing master is used; none is made that would outlive this process.
    "ExitOnForwardFailure=no",  # A port that the user's configuration forwards may be in use by another session.
    "ForkAfterAuthentication=no",
    "RemoteCommand=none",
    "ServerAliveCountMax=3",
    "ServerAliveInterval=5",
)
_MAX_WORDS_LINES = 20
_SYSTEM_SOCKET = "/run/bertd/bertd.sock"
_FIRST_LOGIN_UID = 1000
"""Source: UID_MIN in login.defs(5)."""
_POLL_S = 0.02


@dataclass(frozen=True)
class RemoteHost:
    """Where a daemon runs."""

    destination: str
    """As ssh takes it: a name of its configuration, user@box, or ssh://user@box:2222."""
    socket: str | None = None
    """The daemon's socket there; None: where a daemon usually listens."""

    @property
    def text(self) -> str:
        """As `parse_host` reads it."""
        separator = "" if self.destination.startswith("ssh://") else ":"
        return self.destination + (f"{separator}{self.socket}" if self.socket is not None else "")

    @property
    def name(self) -> str:
        """Short, for a screen."""
        return self.destination.removeprefix("ssh://")


def parse_host(text: str) -> RemoteHost:
    """`user@box`, `user@box:/path/of/the.sock`, or `ssh://user@box:2222/path`.

    Raises:
        ValueError: it is none of these, with the remedy.
    """
    prefix = "ssh://" if text.startswith("ssh://") else ""
    rest = text.removeprefix("ssh://")
    destination, slash, path = rest.partition("/" if prefix else ":/")
    if not re.fullmatch(r"[^-\s/'\"\\][^\s/'\"\\]*", destination) or not destination.isprintable():
        raise ValueError(f"{text!r} names no host; give user@box, a name of ~/.ssh/config, or user@box:/run/bertd.sock")
    socket = f"/{path}" if slash and path else None
    if socket is not None and not re.fullmatch(r"[\w/.,+@=-]+", socket):
        raise ValueError(f"{socket!r}: a forwarded path may have letters, digits and /._,+@=- alone")
    return RemoteHost(prefix + destination, socket)


class SshForward:
    """One machine's daemon at a local `socket`; a context manager. `open` in one thread, the rest in any."""

    def __init__(self, host: RemoteHost) -> None:
        self.host = host
        self._folder = tempfile.TemporaryDirectory(prefix="bertd-ssh-", dir=_runtime_folder())
        self.socket = Path(self._folder.name) / "bertd.sock"
        """Leads to the daemon while ssh is connected."""
        self._candidates = [host.socket] if host.socket is not None else _usual_sockets(host)
        self._process: subprocess.Popen[bytes] | None = None
        self._words: deque[str] = deque(maxlen=_MAX_WORDS_LINES)
        self._reader: threading.Thread | None = None
        self._failure = ""
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Have ssh connect if it is not connected, and find the daemon's socket there; blocks.

        Raises:
            DaemonUnreachableError: ssh failed, with its words; or no daemon answers there.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
            self._wait_until_connected()
        self._choose_socket()
        self._failure = ""

    def close(self) -> None:
        """End ssh and delete the local sockets; a second call does nothing."""
        self._is_closed = True
        self._end_process()
        self._folder.cleanup()

    def describe(self, message: str) -> str:
        """An error's message about `socket`, for a person: with the machine's name, or why ssh is not connected."""
        process = self._process
        if process is None:
            return self._failure or f"{self.host.name}: ssh is not connected yet; try again"
        if process.poll() is not None:
            return self._failure or f"{self.host.name}: {self._explain_end(process)}"
        return message.replace(str(self.socket), self.host.name)

    def make_client(self) -> Client:
        """A client of the daemon there, whose errors name the other machine."""
        return _ForwardedClient(self)

    def _local(self, number: int) -> Path:
        return self.socket.with_name(f"{number}.sock")

    def _start(self) -> None:
        self._end_process()
        self._words.clear()
        command = ["ssh", "-N", "-T", "-x"]
        for option in _SSH_OPTIONS:
            command += ["-o", option]
        for number, remote in enumerate(self._candidates):
            self._local(number).unlink(missing_ok=True)
            command += ["-L", f"{self._local(number)}:{remote}"]
        command += ["--", self.host.destination]
        try:
            # Without a controlling terminal no ssh, of a jump host neither, can ask for a password behind the screen.
            self._process = start_child(
                command,
                death_signal=signal.SIGTERM,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self._process = None
            raise self._fail(f"cannot start ssh: {error.strerror}; install OpenSSH's client") from error
        self._reader = threading.Thread(target=self._keep_words, args=(self._process,), name="ssh", daemon=True)
        self._reader.start()
        if self._is_closed:
            self._end_process()

    def _keep_words(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as words:
            for word in words:
                text = terminal_line(word.decode(errors="replace").strip())
                if text and not text.startswith("Warning: Permanently added"):
                    self._words.append(text)

    def _wait_until_connected(self) -> None:
        """The local sockets are there once ssh has logged in.

        Raises:
            DaemonUnreachableError: ssh ended, or took too long.
        """
        process, end = self._process, time.monotonic() + CONNECT_TIMEOUT_S
        assert process is not None
        while not all(self._local(number).exists() for number in range(len(self._candidates))):
            if process.poll() is not None:
                raise self._fail(self._explain_end(process))
            if time.monotonic() > end:
                self._end_process()
                raise self._fail(f"ssh did not connect in {CONNECT_TIMEOUT_S:g} s; try `ssh {self.host.destination}`")
            time.sleep(_POLL_S)

    def _explain_end(self, process: subprocess.Popen[bytes]) -> str:
        if self._reader is not None:
            self._reader.join(1.0)
        words = " ".join(list(self._words)[-2:]) or f"it ended with status {process.returncode} and said nothing"
        asks = any(part in words for part in ("Permission denied", "verification failed"))
        remedy = "it may not ask for anything here: log in once with" if asks else "try"
        key = ", or give it a key with `ssh-add`" if "Permission denied" in words else ""
        return f"ssh: {words.rstrip('.')}; {remedy} `ssh {self.host.destination}`{key}"

    def _fail(self, what: str) -> DaemonUnreachableError:
        self._failure = f"{self.host.name}: {what}"
        return DaemonUnreachableError(self._failure)

    def _choose_socket(self) -> None:
        """Let `socket` lead to the first path on which a daemon answers.

        Raises:
            DaemonUnreachableError: none does.
        """
        problem = ""
        for number in range(len(self._candidates)):
            try:
                send_request(self._local(number), "GET", "/v1/version", body=None, headers={})
            except DISCONNECT_ERRORS:
                continue
            except BertdError as error:
                problem = str(error).replace(str(self._local(number)), self._candidates[number])
                continue
            self._lead_to(number)
            return
        process = self._process
        if process is not None and process.poll() is not None:
            raise self._fail(self._explain_end(process))
        places = " or ".join(self._candidates)
        forbidden = next((f"; ssh: {words}" for words in self._words if "prohibited" in words), "")
        what = problem or f"no daemon answers on {places}"
        remedy = f"start one there with `bertd start`, or name its socket: --host {self.host.destination}:/PATH"
        raise self._fail(f"{what}{forbidden}; {remedy}")

    def _lead_to(self, number: int) -> None:
        link = self.socket.with_name("next")
        link.unlink(missing_ok=True)
        link.symlink_to(self._local(number).name)
        link.replace(self.socket)

    def _end_process(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _ForwardedClient(Client):
    """Errors name the other machine, not the local end of the forwarding."""

    def __init__(self, forward: SshForward) -> None:
        super().__init__(forward.socket)
        self._forward = forward

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        try:
            return super()._request(method, path, body, headers)
        except BertdError as error:
            raise type(error)(self._forward.describe(str(error))) from error


def _runtime_folder() -> str | None:
    """A folder of this user in memory, or None for the system's folder of temporary files: socket paths are short."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return folder if folder and os.access(folder, os.W_OK) else None


def _usual_sockets(host: RemoteHost) -> list[str]:
    """The user's own daemon first, as on one machine; by this machine's number of the user, and the usual first one."""
    login = host.destination.removeprefix("ssh://").rpartition("@")[0]
    uids = [0] if login == "root" else list(dict.fromkeys([os.getuid(), _FIRST_LOGIN_UID]))
    return [*(f"/run/user/{uid}/bertd/bertd.sock" for uid in uids), _SYSTEM_SOCKET]
