"""Requests of the socket API with typed responses, pages and idempotency keys: what every call of the client shares."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter, ValidationError

from bertd.api.http import DISCONNECT_ERRORS, bad_response_message, disconnect_message, send_request
from bertd.api.models import JobView
from bertd.errors import ClientError, DaemonUnreachableError, UnknownJobError
from bertd.records import Record

ABOVE_ALL_JOBS = 2**63 - 1
PAGE_ROWS = 1_000
"""Rows of a page that is not the last one."""
KEY_HEADER = "Idempotency-Key"

JobId = int | str
"""A job's number, a run id such as 7-first, a unique name, or @ for what runs, else the newest."""
_R = TypeVar("_R", bound=Record)


class TypedRequests:
    """Sends requests to the daemon at one socket. A change has a key, and is repeated once if the connection breaks."""

    def __init__(self, socket: Path, *, timeout_s: float | None) -> None:
        self.socket = socket
        self._timeout_s = timeout_s

    def _get(self, model: type[_R], path: str) -> _R:
        return self._parse(model, self._request("GET", path, None, {}))

    def _get_list(self, model: type[_R], path: str) -> list[_R]:
        content = self._request("GET", path, None, {})
        try:
            return _list_adapter(model).validate_json(content)
        except ValueError as error:
            raise ClientError(bad_response_message(self.socket, error)) from error

    def _get_pages(
        self,
        model: type[_R],
        path: str,
        *,
        job_id: Callable[[_R], int],
        query: Sequence[tuple[str, str]] = (),
        before: int | None = None,
        limit: int | None = None,
    ) -> list[_R]:
        """All rows of a list that the daemon sends in pages, or the newest `limit`; see `job_id` of a row."""
        rows: list[_R] = []
        page_rows = PAGE_ROWS if limit is None else min(limit, PAGE_ROWS)
        while True:
            arguments = [*query] + ([] if before is None else [("before", str(before))])
            arguments += [] if page_rows == PAGE_ROWS else [("limit", str(page_rows))]
            page = self._get_list(model, path + (f"?{urlencode(arguments)}" if arguments else ""))
            # A daemon of an earlier bertd sends its one page again.
            new = [row for row in page if before is None or job_id(row) < before]
            rows += new
            if len(page) < page_rows or not new or (limit is not None and len(rows) >= limit):
                return rows
            before = min(job_id(row) for row in new)

    def _post_job(self, path: str, body: str | None = None) -> JobView:
        return self._parse(JobView, self._post(path, body))

    def _post(self, path: str, body: str | None) -> bytes:
        headers = {KEY_HEADER: str(uuid.uuid4()), "Content-Type": "application/json"}
        return self._request("POST", path, None if body is None else body.encode(), headers)

    def _parse(self, model: type[_R], content: bytes) -> _R:
        try:
            return model.model_validate_json(content)
        except ValidationError as error:
            raise ClientError(bad_response_message(self.socket, error)) from error

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        try:
            return self._send(method, path, body, headers)
        except DISCONNECT_ERRORS:
            pass
        try:
            return self._send(method, path, body, headers)
        except DISCONNECT_ERRORS as error:
            raise DaemonUnreachableError(disconnect_message(self.socket)) from error

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        timeout_s = self._timeout_s
        return send_request(self.socket, method, path, body=body, headers=headers, timeout_s=timeout_s).content


@cache
def _list_adapter(model: type[_R]) -> TypeAdapter[list[_R]]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]  # a type that is known when it is called


def record_body(order: Record) -> str:
    """The record as JSON.

    Raises:
        ClientError: a text in it is not Unicode.
    """
    try:
        return order.model_dump_json()
    except ValueError as error:
        raise ClientError(f"a name or a path is not Unicode text; rename it: {error}") from error


def path_segment(id: JobId) -> str:
    """The id as a part of a path.

    Raises:
        UnknownJobError: it would change the path.
    """
    text = str(id)
    if "/" in text or not text.strip("."):
        raise UnknownJobError(f"{text!r}: no such job or run; `bertd jobs` lists them")
    return quote(text, safe="@")
