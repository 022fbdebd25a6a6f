"""Answers of a daemon of the same version, read without pydantic, which takes longer to import than all else together.

Only to print them. An answer of another version is refused here: the caller reads it with the client, which checks it
against the models and says what is wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bertd
from bertd.api.http import DISCONNECT_ERRORS, send_request


class UncheckedAnswer(dict[str, Any]):
    """A JSON object with its keys as attributes, as the model has its fields; enums are their values."""

    def __getattr__(self, name: str) -> Any:
        """A field.

        Raises:
            AttributeError: there is no such field.
        """
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the answer has no {name!r}") from None


def request_unchecked(socket: Path, path: str, *, timeout_s: float | None = None) -> bytes | None:
    """The content of an answer; None if the client must ask: another version, or a connection that broke.

    Raises:
        BertdError: as the client's calls.
    """
    try:
        response = send_request(socket, "GET", path, body=None, headers={}, timeout_s=timeout_s)
    except DISCONNECT_ERRORS:
        return None
    return response.content if response.bertd_version == bertd.__version__ else None


def parse_unchecked(content: bytes) -> Any:
    """The JSON, with each object in it as an UncheckedAnswer."""
    return json.loads(content, object_hook=UncheckedAnswer)
