"""Whether two machines reach each other at any port, as gloo and NCCL need it; else a firewall would hang the ranks."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager, suppress
from typing import Self

import psutil

PROBE_S = 5.0


class ProbePort(AbstractContextManager["ProbePort"]):
    """A port of the kernel's choice that accepts connections, on all addresses; nothing is read from them."""

    def __init__(self) -> None:
        self._server = (
            socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
            if (socket.has_dualstack_ipv6())
            else socket.create_server(("", 0), backlog=64)
        )
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no longer."""
        self._server.close()


def can_reach(address: str, port: int) -> bool:
    """Whether a connection to this port is accepted within PROBE_S; the kernel does that for a port that listens."""
    with suppress(OSError), socket.create_connection((address, port), timeout=PROBE_S):
        return True
    return False


def find_addresses(host: str, port: int) -> tuple[str, str]:
    """Addresses of this machine and of the other, as a connection between them has them.

    Raises:
        OSError: there is no connection.
    """
    with socket.create_connection((host, port), timeout=PROBE_S) as connection:
        own, other = connection.getsockname()[0], connection.getpeername()[0]
    return _plain(own), _plain(other)


def find_interface(address: str) -> str | None:
    """Name of the network interface that has this address; None if none has, as behind a translation of addresses."""
    for name, entries in psutil.net_if_addrs().items():
        if any(_plain(entry.address.partition("%")[0]) == address for entry in entries):
            return name
    return None


def _plain(address: str) -> str:
    """An IPv4 address that a socket for both gives as IPv6."""
    return address.removeprefix("::ffff:")
