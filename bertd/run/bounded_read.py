"""Read a small file whatever is in its place: without waiting for a FIFO, following a link, or reading without end."""

from __future__ import annotations

import os
from pathlib import Path

MAX_BYTES = 16 << 20
"""Many times what the largest of a run's small files has."""
_CHUNK_BYTES = 1 << 20


def read_bounded(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The first `max_bytes` of a file.

    Raises:
        OSError: it cannot be read, or is a link.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    content = bytearray()
    try:
        while chunk := os.read(fd, min(_CHUNK_BYTES, max_bytes - len(content))):
            content += chunk
    finally:
        os.close(fd)
    return bytes(content)
