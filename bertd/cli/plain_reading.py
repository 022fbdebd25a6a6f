"""The commonest commands that only read, without Typer and pydantic, which take longer to import than all else.

It takes a command line only as far as it is one of these forms, and only an answer that needs no check. Everything else
is left to the subcommand itself: help, other options, wrong arguments, and answers of another version of bertd. What is
printed comes from the same functions; tests/cli/test_plain_reading.py compares the two.

    bertd status|jobs|devices [--socket PATH]
    bertd show [ID] [--socket PATH]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertd.api.unchecked import parse_unchecked, request_unchecked
from bertd.cli.output.pages import devices_page, job_page, jobs_page, status_page
from bertd.run.paths import client_socket

MAX_ROWS = 1_000
"""Lists of so many rows come in pages, which the client puts together."""
_PLAIN_ID = re.compile(r"@|\w[\w.-]*", re.ASCII)
"""An ID that is the same as a part of a path."""


@dataclass(frozen=True)
class PlainCall:
    """A command line of one of the forms."""

    verb: str
    id: str | None = None
    socket: Path | None = None


def recognize(arguments: Sequence[str]) -> PlainCall | None:
    """The call that a command line without the program's name is; None if it is left to the subcommand."""
    if not arguments or arguments[0] not in _PAGES:
        return None
    verb, *rest = arguments
    id: str | None = None
    socket: Path | None = None
    while rest:
        word = rest.pop(0)
        if word == "--socket" and rest and rest[0] and not rest[0].startswith("-"):
            socket = Path(rest.pop(0))
        elif verb == "show" and id is None and _PLAIN_ID.fullmatch(word):
            id = word
        else:
            return None
    return PlainCall(verb, id=id, socket=socket)


def print_answer(call: PlainCall) -> bool:
    """Print what the subcommand would; False, with nothing printed, if it has to do it.

    Raises:
        BertdError: the daemon refused, or did not answer, as in the subcommand.
    """
    socket = call.socket or client_socket()
    try:
        text = _PAGES[call.verb](socket, call)
    except (ValueError, LookupError, TypeError, AttributeError):
        # Not an answer of that model: the client says what is wrong with it.
        return False
    if text is not None:
        print(text)
    return text is not None


def _status(socket: Path, call: PlainCall) -> str | None:
    answer = _read(socket, "/v1/status")
    return None if answer is None else status_page(answer)


def _devices(socket: Path, call: PlainCall) -> str | None:
    answer = _read(socket, "/v1/status")
    return None if answer is None else devices_page(answer)


def _jobs(socket: Path, call: PlainCall) -> str | None:
    answer = _read_list(socket, "/v1/jobs")
    return None if answer is None else jobs_page(answer)


def _show(socket: Path, call: PlainCall) -> str | None:
    job = _read(socket, f"/v1/jobs/{call.id or '@'}")
    if job is None:
        return None
    run = _read(socket, f"/v1/runs/{job.run_id}") if job.kind == "pretrain" else None
    scores = _read_list(socket, "/v1/scores")
    if scores is None or (run is None and job.kind == "pretrain"):
        return None
    return job_page(job, run, scores)


def _read(socket: Path, path: str) -> Any:
    content = request_unchecked(socket, path)
    return None if content is None else parse_unchecked(content)


def _read_list(socket: Path, path: str) -> list[Any] | None:
    """Rows of a list; None if it may have more.

    Raises:
        TypeError: it is not a list.
    """
    rows = _read(socket, path)
    if rows is not None and not isinstance(rows, list):
        raise TypeError(f"{path} is not a list")
    return None if rows is None or len(rows) >= MAX_ROWS else rows


_PAGES: dict[str, Callable[[Path, PlainCall], str | None]] = {
    "status": _status,
    "devices": _devices,
    "jobs": _jobs,
    "show": _show,
}
