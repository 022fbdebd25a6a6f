"""Read a page of a job's log without cutting a character in two."""

from __future__ import annotations

import os
from pathlib import Path

from bertd.api.models import LogView
from bertd.errors import RunFolderError

MAX_PAGE_BYTES = 1 << 20


def read_log_page(path: Path, *, offset: int, limit: int) -> LogView:
    """At most `limit` bytes from `offset`; a negative offset counts from the end.

    Raises:
        RunFolderError: the log cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = min(size, offset) if offset >= 0 else max(0, size + offset)
            file.seek(start)
            content = file.read(min(limit, MAX_PAGE_BYTES))
    except FileNotFoundError:
        return LogView(text="", offset=0, next_offset=0, size=0)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read the log: {error.strerror}") from error
    content = _drop_partial_character(content)
    return LogView(
        text=content.decode("utf-8", errors="replace"), offset=start, next_offset=start + len(content), size=size
    )


def _drop_partial_character(content: bytes) -> bytes:
    """Drop an incomplete character at the end, which the next page has complete."""
    for back in range(1, min(4, len(content)) + 1):
        byte = content[-back]
        if byte < 0x80:
            return content
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            # If it is the whole page, return it as it is: otherwise its reader would wait for the rest forever.
            return content if length <= back or back == len(content) else content[:-back]
    return content
