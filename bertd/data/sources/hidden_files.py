"""Files that a person did not put into a folder: hidden ones, and what systems leave."""

from __future__ import annotations

from pathlib import PurePath

_LEFT_BY_SYSTEMS = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
"""What the file managers of macOS and Windows leave in folders and archives."""


def is_hidden(name: str) -> bool:
    """Whether a path below a folder, or in an archive, has a part that begins with a dot or that a system left."""
    # A tar that was made with `../a.txt` keeps the dots.
    parts = [part for part in PurePath(name).parts if part != ".."]
    return any(part.startswith(".") or part in _LEFT_BY_SYSTEMS for part in parts)
