"""One hook's thread: it delivers one event after the other; a slow hook delays neither the daemon nor others."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from bertd.daemon.hooks.hook_events import Delivery
from bertd.daemon.hooks.retries import Outcome, attempt_delivery
from bertd.errors import DeliveryError

logger = logging.getLogger(__name__)

MAX_WAITING = 100
"""Events that wait for one hook; more are dropped."""
_MAX_OUTCOMES = 200
"""Kept until they are collected; only a disk that refuses the event log lets them pile up."""

Attempt: TypeAlias = Callable[[Delivery, threading.Event], str]
"""Delivers once and returns the answer in words, or raises DeliveryError; ends soon once the event is set."""


class HookWorker:
    """Takes deliveries and gives outcomes; its methods never wait, except `stop`."""

    def __init__(self, name: str, attempt: Attempt) -> None:
        """Start the thread; it ends with `finish`."""
        self._attempt = attempt
        self._condition = threading.Condition()
        self._waiting: deque[Delivery] = deque()
        self._outcomes: deque[Outcome] = deque(maxlen=_MAX_OUTCOMES)
        self._is_finishing = threading.Event()
        self._is_cancelled = threading.Event()
        self._name = name
        self._thread = threading.Thread(target=self._run, name=f"hook {name}", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def offer(self, delivery: Delivery) -> bool:
        """Queue a delivery; False if it is dropped, because too many wait."""
        with self._condition:
            if len(self._waiting) >= MAX_WAITING:
                return False
            self._waiting.append(delivery)
            self._condition.notify()
        return True

    def collect(self) -> list[Outcome]:
        """The outcomes since the last call, oldest first."""
        collected = []
        while self._outcomes:
            collected.append(self._outcomes.popleft())
        return collected

    def finish(self) -> None:
        """Deliver what waits, each with one attempt, and end."""
        with self._condition:
            self._is_finishing.set()
            self._condition.notify()

    def cancel(self) -> int:
        """Drop what waits, end the delivery in progress, and end; returns how many were dropped."""
        with self._condition:
            num_dropped = len(self._waiting)
            self._waiting.clear()
            self._is_cancelled.set()
        self.finish()
        return num_dropped

    def join(self, *, timeout_s: float) -> bool:
        """Wait for the thread's end; whether it ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (delivery := self._next()) is not None:
            self._outcomes.append(
                attempt_delivery(delivery, self._attempt_safely, wait=lambda delay_s: self._is_finishing.wait(delay_s))
            )

    def _next(self) -> Delivery | None:
        with self._condition:
            while not self._waiting:
                if self._is_finishing.is_set():
                    return None
                self._condition.wait()
            return self._waiting.popleft()

    def _attempt_safely(self, delivery: Delivery) -> str:
        try:
            return self._attempt(delivery, self._is_cancelled)
        except DeliveryError:
            raise
        except Exception as error:
            # The edge of the thread: if it ended, its hook would be silent for good.
            logger.exception("hook %s: a delivery failed", self._name)
            message = f"the daemon failed ({type(error).__name__}); its log says more"
            raise DeliveryError(message, may_retry=False) from error
