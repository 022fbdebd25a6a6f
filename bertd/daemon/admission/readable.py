"""Read small files of a folder that a person named: a path may be anything, and must not block or fill the daemon."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

_MAX_JSON_BYTES = 1 << 20


def unreadable_message(path: Path | str, error: OSError) -> str:
    """Why the daemon cannot look at a path, and the remedy."""
    return f"{path}: cannot be read by the daemon: {error.strerror}; check the permissions, or put it elsewhere"


def kind_of(path: Path) -> str:
    """What is at a path, in words: a folder, a file, a pipe, a device; nothing where there is nothing.

    Raises:
        OSError: it cannot be found out, as in a loop of links.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, ValueError):  # the latter of a name with a NUL
        return "nothing"
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISREG(mode):
        return "a file"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object from a regular file of bounded size.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a regular file, too large, or not a JSON object.
    """
    if kind_of(path) != "a file":
        raise ValueError(f"{path.name} is {kind_of(path)}")
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise ValueError(f"{path.name} is larger than {_MAX_JSON_BYTES >> 20} MiB")
    try:
        tree = json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    return tree
