"""Attempts and the waits between them, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable

from bertd.daemon.hooks.hook_events import Delivery, HookEvent
from bertd.daemon.hooks.retries import RETRY_DELAYS_S, attempt_delivery
from bertd.errors import DeliveryError

FAILED = Delivery(event=HookEvent.FAILED, event_id=31, run="", job="", body=b"{}")
TEST = Delivery(event=HookEvent.TEST, event_id=32, run="", job="", body=b"{}")


def failing(times: int, *, may_retry: bool = True) -> Callable[[Delivery], str]:
    left = [times]

    def attempt(_: Delivery) -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise DeliveryError("no route", may_retry=may_retry)
        return "answered 200"

    return attempt


def recorded_waits() -> tuple[list[float], Callable[[float], bool]]:
    """A clock that passes at once, and what it was asked for."""
    waits: list[float] = []

    def wait(delay_s: float) -> bool:
        waits.append(delay_s)
        return False

    return waits, wait


def test_a_failure_is_attempted_again_after_longer_and_longer_waits() -> None:
    waits, wait = recorded_waits()
    outcome = attempt_delivery(FAILED, failing(3), wait=wait)
    assert (outcome.is_delivered, outcome.num_attempts, outcome.detail) == (True, 4, "answered 200")
    assert waits == list(RETRY_DELAYS_S[:3]) == sorted(waits)


def test_the_attempts_are_bounded() -> None:
    waits, wait = recorded_waits()
    outcome = attempt_delivery(FAILED, failing(100), wait=wait)
    assert (outcome.is_delivered, outcome.num_attempts, outcome.detail) == (False, len(RETRY_DELAYS_S) + 1, "no route")
    assert waits == list(RETRY_DELAYS_S)


def test_what_would_fail_again_and_a_test_are_attempted_once() -> None:
    for sent, attempt in ((FAILED, failing(1, may_retry=False)), (TEST, failing(1))):
        outcome = attempt_delivery(sent, attempt, wait=lambda _: False)
        assert (outcome.is_delivered, outcome.num_attempts) == (False, 1)


def test_the_end_of_the_daemon_ends_the_attempts() -> None:
    outcome = attempt_delivery(FAILED, failing(9), wait=lambda _: True)
    assert not outcome.is_delivered and outcome.num_attempts == 1
    assert outcome.detail == "no route; not attempted again, because the daemon or this hook ends"
