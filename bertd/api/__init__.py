"""The client side of the socket API: its models, HTTP and events over the socket, and the clients.

    from bertd.api import Client, AsyncClient

docs/api.md has an example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertd.api.async_client import AsyncClient
    from bertd.api.client import Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> object:
    """Import a client when it is asked for: `bertd status` must not wait for asyncio.

    Raises:
        AttributeError: there is no such name.
    """
    if name == "Client":
        from bertd.api.client import Client

        return Client
    if name == "AsyncClient":
        from bertd.api.async_client import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
