"""Which events call hooks, and what is sent."""

from __future__ import annotations

import json

import pytest

from bertd.api.models import EventView
from bertd.daemon.hooks.hook_events import HookEvent, delivery, hook_event
from bertd.daemon.metrics.budget_milestones import SHARES


def row(type: str, data: dict[str, object] | None = None) -> EventView:
    return EventView(id=31, t=5.0, type=type, job_id=7, run_id="7-demo", text="what happened", data=data or {})


@pytest.mark.parametrize(
    ("type", "data", "event"),
    [
        ("job", {"state": "failed"}, HookEvent.FAILED),
        ("job", {"state": "lost"}, HookEvent.FAILED),
        ("job", {"state": "done"}, HookEvent.DONE),
        ("job", {"state": "pausing", "actor": "scheduler"}, HookEvent.PAUSED),
        ("job", {"state": "pausing", "actor": "person"}, None),
        ("job", {"state": "running"}, None),
        ("job", {"state": "cancelled"}, None),
        ("alert", {"code": "loss_spike"}, HookEvent.LOSS_SPIKE),
        ("alert", {"code": "disk_full"}, None),
        ("rollback", {}, HookEvent.LOSS_SPIKE),
        ("device", {"state": "lost"}, HookEvent.DEVICE_LOST),
        ("device", {"device": "cpu"}, None),
        ("milestone", {"share": SHARES[0]}, HookEvent.BUDGET_50),
        ("milestone", {"share": SHARES[1]}, HookEvent.BUDGET_90),
        ("hook_test", {"hook": "mail"}, HookEvent.TEST),
        ("hook", {"hook": "mail"}, None),
        ("job", {"damaged": "\x00"}, None),
    ],
)
def test_a_row_of_the_event_log_is_one_event_for_hooks_or_none(
    type: str, data: dict[str, object], event: HookEvent | None
) -> None:
    assert hook_event(row(type, data)) is event


def test_a_hook_gets_the_row_with_its_own_name() -> None:
    sent = delivery(row("job", {"state": "failed"}), HookEvent.FAILED, hook="mail")
    assert (sent.event_id, sent.run, sent.job) == (31, "7-demo", "7")
    assert json.loads(sent.body) == {
        "format": 1,
        "hook": "mail",
        "event": "failed",
        "id": 31,
        "t": 5.0,
        "text": "what happened",
        "job": 7,
        "run": "7-demo",
        "data": {"state": "failed"},
    }


def test_data_that_are_too_long_are_left_out() -> None:
    sent = delivery(row("job", {"state": "failed", "reason": "x" * 100_000}), HookEvent.FAILED, hook="mail")
    assert json.loads(sent.body)["data"] == {}
    assert json.loads(sent.body)["text"] == "what happened"
