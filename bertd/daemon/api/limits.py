"""Refuse request bodies that are too large or not JSON, before they are read."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bertd.daemon.api.answers import problem_response

MAX_BODY_BYTES = 1 << 20


class BodyLimit:
    """Refuses a body that is larger than any of this API, or that is not declared as JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        received_bytes = 0

        async def limited_receive() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > MAX_BODY_BYTES:
                raise HTTPException(413, f"body larger than {MAX_BODY_BYTES} bytes")
            return message

        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            message = f"body larger than {MAX_BODY_BYTES} bytes; a recipe is a page of TOML"
            await problem_response(413, "ClientError", message)(scope, receive, send)
            return
        has_body = int(length) > 0 or b"transfer-encoding" in headers
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if scope["method"] == "POST" and (has_body or media_type) and media_type != b"application/json":
            await problem_response(415, "ClientError", "send Content-Type: application/json")(scope, receive, send)
            return
        await self._app(scope, limited_receive, send)
