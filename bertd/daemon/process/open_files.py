"""The limit on open files of the daemon's process."""

from __future__ import annotations

import resource

from bertd.errors import DaemonError

_MIN_OPEN_FILES = 64
"""The daemon's own two dozen, a few clients, and those of a runner that starts."""
_WANTED_OPEN_FILES = 1_024
"""The usual limit: 384 connections, and the files of several runs."""


def raise_open_file_limit() -> None:
    """Raise this process's limit, which its children inherit, as far as it is allowed and wanted.

    Raises:
        DaemonError: too few are allowed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = hard if hard != resource.RLIM_INFINITY else _WANTED_OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < _WANTED_OPEN_FILES:
        soft = max(soft, min(allowed, _WANTED_OPEN_FILES))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < _MIN_OPEN_FILES:
        raise DaemonError(
            f"at most {soft} files may be open, and the daemon needs {_MIN_OPEN_FILES}; raise the limit (ulimit -n)"
        )
