"""Ask disks for what the daemon is about to read between two requests, so that one that hangs stops nothing else.

A submission is looked at in a thread before it is admitted; see paths_of_requests.py. What is admitted later, without a
request, is asked for here: the event loop waits a moment for the answer, once, and who asks tries again later.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from bertd.daemon.admission.paths_of_requests import ask_disk
from bertd.errors import SilentDiskError

WAIT_S = 0.25
"""How long the event loop waits for a path of which nobody waits for an answer yet."""
MAX_UNANSWERED = 8
"""Paths of which answers are waited for at the same time: each has a thread."""


class AnsweringDisks:
    """Knows which paths wait for an answer."""

    def __init__(self) -> None:
        self._looks: dict[str, threading.Thread] = {}

    def require(self, paths: Iterable[str]) -> None:
        """Refuse what names a path of a disk that does not answer.

        Raises:
            SilentDiskError: it does not; it was asked, and may have answered when somebody asks again.
        """
        for path in paths:
            if not self._has_answered(path):
                raise SilentDiskError(f"{path}: the disk does not answer; see whether it hangs with `ls`")

    def _has_answered(self, path: str) -> bool:
        look = self._looks.get(path)
        if look is None:
            self._looks = {other: each for other, each in self._looks.items() if each.is_alive()}
            if len(self._looks) >= MAX_UNANSWERED:
                return False
            # A daemon thread: one that hangs does not keep the process from ending.
            look = threading.Thread(target=ask_disk, args=(path,), name="asks a disk", daemon=True)
            self._looks[path] = look
            look.start()
            look.join(WAIT_S)
        if look.is_alive():
            return False
        del self._looks[path]
        return True
