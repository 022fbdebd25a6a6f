"""Attempt a delivery a few times, with longer and longer waits between. Pure but for what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bertd.daemon.hooks.hook_events import Delivery, HookEvent
from bertd.errors import DeliveryError

RETRY_DELAYS_S = (1.0, 5.0, 25.0, 125.0)
"""Between the attempts, of which there is one more."""


@dataclass(frozen=True)
class Outcome:
    """What became of a delivery."""

    event: HookEvent
    event_id: int
    is_delivered: bool
    detail: str
    """The answer, or why it failed."""
    num_attempts: int


def attempt_delivery(
    delivery: Delivery, attempt: Callable[[Delivery], str], *, wait: Callable[[float], bool]
) -> Outcome:
    """Attempt until it is delivered, cannot be, or was attempted often enough. A test is attempted once.

    Args:
        attempt: delivers and returns the answer in words, or raises DeliveryError.
        wait: waits so many seconds, or returns True at once if the attempts are to end.
    """
    delays_s = () if delivery.event is HookEvent.TEST else RETRY_DELAYS_S
    num_attempts = 0
    while True:
        num_attempts += 1
        try:
            detail = attempt(delivery)
        except DeliveryError as error:
            if error.may_retry and num_attempts <= len(delays_s):
                if not wait(delays_s[num_attempts - 1]):
                    continue
                detail = f"{error}; not attempted again, because the daemon or this hook ends"
            else:
                detail = str(error)
            return Outcome(delivery.event, delivery.event_id, False, detail, num_attempts)
        return Outcome(delivery.event, delivery.event_id, True, detail, num_attempts)
