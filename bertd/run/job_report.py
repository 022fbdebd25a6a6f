"""What a program of bertd says of itself to its job: how far it is, and what came of it.

The runner names the job's folder in REPORT_VARIABLE; a program that a person starts has none, and writes nothing.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.run.paths import JobPaths

REPORT_VARIABLE = "BERTD_REPORT_TO"
"""The job's folder."""
_EVERY_S = 1.0


class JobReport:
    """Writes the progress and the result of the job that this process is."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        folder = environment.get(REPORT_VARIABLE)
        self._paths = None if not folder else JobPaths(Path(folder))
        self._written_s = -math.inf

    @property
    def is_job(self) -> bool:
        """Whether this process is a job of the daemon."""
        return self._paths is not None

    def progress(self, share: float) -> None:
        """Note how far the work is, 0..1; at most once a second.

        Raises:
            StorageError: the disk refused.
        """
        now_s = time.monotonic()
        if self._paths is not None and now_s - self._written_s >= _EVERY_S:
            self._written_s = now_s
            atomic_write(self._paths.progress, json.dumps({"share": min(1.0, max(0.0, share))}))

    def result(self, text: str, content: str = "") -> None:
        """Note what came of it.

        Args:
            text: one line, which becomes the reason of the job that is done.
            content: of `result.json`, for programs; nothing for none.

        Raises:
            StorageError: the disk refused.
        """
        if self._paths is not None:
            if content:
                atomic_write(self._paths.result, content)
            atomic_write(self._paths.result_text, text)


def read_progress_share(paths: JobPaths) -> float | None:
    """How far a job is; None where it has not said."""
    try:
        share = json.loads(read_bounded(paths.progress))["share"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(share) if isinstance(share, int | float) and 0 <= share <= 1 else None


def read_result_text(paths: JobPaths) -> str:
    """What came of a job, in a line; empty where it has not said."""
    try:
        return read_bounded(paths.result_text).decode("utf-8", "replace").strip()
    except OSError:
        return ""
