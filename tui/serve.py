"""`bert-tui --serve`: the dashboard, read-only, in a browser on this machine, through textual-serve.

Each visitor gets a process. textual-serve asks for no password, so it listens on loopback alone, and answers only pages
that it has sent itself: without that check any web page that a user of this machine opens could connect, by a name of
its own for 127.0.0.1 or from its script.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from bertd.errors import ClientError

ADDRESS = "127.0.0.1"
DEFAULT_PORT = 8200
MAX_VISITORS = 8
"""At the same time: each is a process of 50 MB."""
_NAMES = (ADDRESS, "localhost")
_HEADERS = {
    # The page names a font of another site, which would learn of each visit.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:; connect-src 'self' ws:;"
    " frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def dashboard_command(args: argparse.Namespace) -> str:
    """The command of a visitor's dashboard: read-only, with this one's options, for a shell."""
    command = [sys.executable, "-m", "tui", "--readonly", "--palette", args.palette]
    command += ["--socket", str(args.socket)] if args.socket is not None else []
    command += [word for host in args.host for word in ("--host", host.text)]
    command += [] if args.replay is None else ["--replay", str(args.replay), "--speed", str(args.speed)]
    flags = {"--demo": args.demo, "--ascii": args.ascii, "--low-bandwidth": args.low_bandwidth}
    return shlex.join([*command, *(flag for flag, is_set in flags.items() if is_set)])


def is_own_page(host: str, origin: str | None, *, port: int) -> bool:
    """Whether a request is for this server by one of its names, and from a page of it if it is from a page."""
    own = [f"{name}:{port}" for name in _NAMES]
    return host in own and (origin is None or (urlsplit(origin).scheme == "http" and urlsplit(origin).netloc in own))


def serve(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C.

    Raises:
        ClientError: textual-serve is not installed, or the port is in use.
    """
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError as error:
        raise ClientError("--serve: needs textual-serve; install it with `pip install 'bertd[serve]'`") from error
    port: int = args.serve

    class ReadOnlyServer(Server):  # type: ignore[misc]  # textual-serve has no types.
        num_visitors = 0

        def initialize_logging(self) -> None:
            logging.basicConfig(level=logging.WARNING)

        async def _make_app(self) -> Any:
            app = await super()._make_app()
            app.middlewares.append(web.middleware(_guard(web, port=port)))
            return app

        async def on_startup(self, app: object) -> None:
            print(f"bert-tui: read-only at http://{ADDRESS}:{port} for all users of this machine; Ctrl-C ends it")
            sys.stdout.flush()

        async def handle_websocket(self, request: Any) -> Any:
            if self.num_visitors >= MAX_VISITORS:
                raise web.HTTPServiceUnavailable(text=f"{MAX_VISITORS} visitors are here already; close a page")
            self.num_visitors += 1
            try:
                return await super().handle_websocket(request)
            finally:
                self.num_visitors -= 1

    try:
        ReadOnlyServer(dashboard_command(args), host=ADDRESS, port=port, title="bertd").serve()
    except OSError as error:
        raise ClientError(f"--serve: port {port}: {error.strerror or error}; give another with --serve PORT") from error
    return 0


def _guard(web: Any, *, port: int) -> Callable[[Any, Callable[[Any], Awaitable[Any]]], Awaitable[Any]]:
    async def guard(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        if not is_own_page(request.host, request.headers.get("Origin"), port=port):
            raise web.HTTPForbidden(text=f"open http://{ADDRESS}:{port}")
        response = await handler(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    return guard
