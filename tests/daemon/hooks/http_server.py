"""A webhook's other side: HTTP over a Unix socket or TCP, with the answer that the test wants."""

from __future__ import annotations

import socket
import socketserver
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Self


@dataclass
class HookServer:
    """Records what it gets; use it in a `with`."""

    path: Path | None = None
    """Of the Unix socket; None for TCP."""
    status: int = 200
    trickles: bool = False
    """Sends a byte of its answer now and then, until the other side gives up."""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def address_string(self) -> str:
                return ""

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

            def do_POST(self) -> None:
                owner.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                owner.headers.append(dict(self.headers))
                owner.targets.append(self.path)
                if owner.trickles:
                    owner.trickle(self.connection)
                    return
                self.send_response(owner.status)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

        if self.path is None:
            of_tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
            self.port = of_tcp.server_address[1]
            server: socketserver.BaseServer = of_tcp
        else:
            server = socketserver.ThreadingUnixStreamServer(str(self.path), Handler)
        self._server, self._ends = server, threading.Event()
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def trickle(self, connection: socket.socket) -> None:
        """Send a header that never ends."""
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not self._ends.wait(0.05):
                connection.sendall(b"y")
        except OSError:
            pass

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._server.shutdown()
        self._server.server_close()
