"""A session of requests over a Unix socket: schemathesis sends its cases through one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

from tests.waiting import PATIENCE_S

BASE_URL = "http://bertd"


class _Connection(HTTPConnection):
    path: Path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(self.path))


class _Adapter(HTTPAdapter):
    def __init__(self, path: Path) -> None:
        super().__init__()
        connection = type("_ConnectionTo", (_Connection,), {"path": path})
        self._pool = HTTPConnectionPool("bertd", maxsize=1)
        self._pool.ConnectionCls = connection

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        return self._pool

    def close(self) -> None:
        super().close()
        self._pool.close()


def unix_session(path: Path) -> requests.Session:
    """A session whose requests to BASE_URL go to the socket at `path`."""
    session = requests.Session()
    session.trust_env = False
    session.mount(BASE_URL, _Adapter(path))
    return session
