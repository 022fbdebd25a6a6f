"""One call at a time in a thread, for what is done in rounds: a round starts it, and a later one takes what came of it.

The event loop must not make calls that read much of a disk, nor can a round of the scheduler wait for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class BackgroundCall:
    """Runs a call in a daemon thread, which does not keep the process from ending."""

    def __init__(self, name: str) -> None:
        """`name`: of the thread."""
        self._name = name
        self._thread: threading.Thread | None = None
        self._then: Callable[[], None] | None = None
        self._error: BaseException | None = None

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, call: Callable[[], _T], *, then: Callable[[_T], None]) -> None:
        """Begin; the last call must have been finished.

        Args:
            call: runs in the thread.
            then: gets its result, in the thread that calls `finish`.
        """
        assert self._thread is None

        def work() -> None:
            try:
                result = call()
                self._then = lambda: then(result)
            except BaseException as error:
                # The edge of a thread: it is raised where the call is finished.
                self._error = error

        self._thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._thread.start()

    def finish(self) -> bool:
        """Hand on the result of a call that has ended; False while one runs. It raises what the call has raised."""
        if self.is_running:
            return False
        self._thread, then, error = None, self._then, self._error
        self._then = self._error = None
        if error is not None:
            raise error
        if then is not None:
            then()
        return True
