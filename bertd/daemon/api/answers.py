"""The answers of the routes, and what OpenAPI says of them.

JSON is made by the records themselves, because a loss may be NaN, which FastAPI's own encoder refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi import Request
from starlette.responses import Response

from bertd.api.problem import PROBLEM_MEDIA_TYPE, ProblemView, build_problem
from bertd.jobs.store.audit import Answer
from bertd.records import Record
from bertd.terminal_text import shorten

_SLICE_ROWS = 10
_R = TypeVar("_R", bound=Record)

_REFUSAL: dict[str, Any] = {
    "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemView.__name__}"}}}
}
_MEANINGS = {
    400: "The request is not HTTP or not JSON.",
    403: "The peer may read but not change.",
    404: "There is no such job, run, device, hook or path.",
    409: "The job's state does not allow it, or its log has no times.",
    413: "The body is larger than any of this API.",
    415: "The body is not declared as application/json.",
    422: "A parameter, or what the body asks for, is wrong.",
    429: "The user has as many event streams open as one may.",
    503: "The daemon cannot do it at the moment: it ends, or it is still reading.",
    507: "The disk refused.",
}


def json_response(value: Record, *, status: int = 200) -> Response:
    """One record."""
    return Response(value.model_dump_json(), status_code=status, media_type="application/json")


async def json_list_response(values: Iterable[Record]) -> Response:
    """A list that may be long: other requests are served between its slices."""
    rows: list[str] = []
    for value in values:
        rows.append(value.model_dump_json())
        if len(rows) % _SLICE_ROWS == 0:
            await asyncio.sleep(0)
    return Response(f"[{','.join(rows)}]", media_type="application/json")


async def page_response(request: Request, values: Iterable[_R], *, limit: int, number: Callable[[_R], int]) -> Response:
    """A page of a list, with a Link to the next one (RFC 8288) if there may be more.

    Args:
        number: of a row: what `after` is in the next request.
    """
    rows = []
    for value in values:
        rows.append(value)
        if len(rows) % _SLICE_ROWS == 0:
            await asyncio.sleep(0)
    response = await json_list_response(rows)
    if len(rows) >= limit:
        query = [(key, value) for key, value in request.query_params.multi_items() if key not in ("after", "before")]
        target = f"{request.scope['path']}?{urlencode([*query, ('after', str(number(rows[-1])))])}"
        response.headers["Link"] = f'<{target}>; rel="next"'
    return response


def answer_response(answer: Answer) -> Response:
    """The answer to a change, which may be that of the first time it was asked for."""
    return Response(answer.body, status_code=answer.status, media_type="application/json")


def problem_response(status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal."""
    problem = build_problem(status, code=code, detail=shorten(message))
    return Response(problem.model_dump_json(), status_code=status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def request_place(request: Request) -> str:
    """Method and path; not of request.url, into which the Host header goes."""
    return f"{request.method} {request.scope['path']}"


# ---- For OpenAPI ---------------------------------------------------------------------------------------


def error_statuses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a refusal with one of these statuses means and looks like."""
    return {status: _REFUSAL | {"description": _MEANINGS[status]} for status in statuses}


def text_responses(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """A text of one of these types, or what was wrong with the request."""
    text: dict[str, Any] = {"content": {media_type: {"schema": {"type": "string"}} for media_type in media_types}}
    return {200: text} | error_statuses(400, 422)


READ, FIND = error_statuses(400, 422), error_statuses(400, 404, 422)
"""Of a route that reads all, or one."""
CHANGE = error_statuses(400, 403, 409, 413, 415, 422, 503, 507)
CHANGE_ONE = error_statuses(404) | CHANGE
