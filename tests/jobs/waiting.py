"""Waiting for another process without a fixed sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE_S = 40.0
"""Far above what anything takes, so that a loaded machine fails no test."""


def wait_for(condition: Callable[[], bool], *, what: str) -> None:
    """Look until it holds; fails the test where it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        threading.Event().wait(0.03)
