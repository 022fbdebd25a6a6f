"""Which rows of the event log call hooks, and what a hook gets: the payload. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from bertd.api.models import EventView
from bertd.records import JobState

OUTCOME_TYPE = "hook"
"""Type of the events that say what became of a delivery; they call no hook, or each would cause the next."""
TEST_TYPE = "hook_test"
"""Type of the event that calls one hook, whatever it is on."""
_MAX_BODY_BYTES = 64 << 10
_PAYLOAD_FORMAT = 1


class HookEvent(StrEnum):
    """What can call a hook."""

    BUDGET_50 = "budget_50"
    """Half of a run's budget is spent; once in a run's life, as BUDGET_90."""
    BUDGET_90 = "budget_90"
    LOSS_SPIKE = "loss_spike"
    """The loss rose suddenly, or the run went back to a checkpoint because of that."""
    FAILED = "failed"
    """A job failed, or is lost: its folder cannot be used."""
    DONE = "done"
    PAUSED = "paused"
    """The daemon pauses a job by itself, for the end of its hours or of the daemon."""
    DEVICE_LOST = "device_lost"
    """The driver reports a GPU as lost."""
    TEST = "test"
    """`bertd hooks test`."""


MILESTONES = {0.5: HookEvent.BUDGET_50, 0.9: HookEvent.BUDGET_90}
"""By the share of the budget."""
_BY_JOB_STATE = {
    JobState.FAILED: HookEvent.FAILED,
    JobState.LOST: HookEvent.FAILED,
    JobState.DONE: HookEvent.DONE,
}


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one hook."""

    event: HookEvent
    event_id: int
    """Of the row in the event log."""
    run: str
    """Empty for an event of no run."""
    job: str
    body: bytes
    """JSON, the same in each attempt."""


def hook_event(row: EventView) -> HookEvent | None:
    """What a row of the event log is for hooks; None if it calls none."""
    match row.type:
        case "job":
            if row.data.get("state") == JobState.PAUSING:
                return HookEvent.PAUSED if row.data.get("actor") == "scheduler" else None
            return next((event for state, event in _BY_JOB_STATE.items() if row.data.get("state") == state), None)
        case "alert":
            return HookEvent.LOSS_SPIKE if row.data.get("code") == "loss_spike" else None
        case "rollback":
            return HookEvent.LOSS_SPIKE
        case "device":
            return HookEvent.DEVICE_LOST if row.data.get("state") == "lost" else None
        case "milestone":
            return next((event for share, event in MILESTONES.items() if row.data.get("share") == share), None)
        case "hook_test":
            return HookEvent.TEST
    return None


def delivery(row: EventView, event: HookEvent, *, hook: str) -> Delivery:
    """What the hook of that name gets; the data of a row are left out where they are too long."""
    payload = {
        "format": _PAYLOAD_FORMAT,
        "hook": hook,
        "event": event,
        "id": row.id,
        "t": row.t,
        "text": row.text,
        "job": row.job_id,
        "run": row.run_id,
    }
    body = json.dumps({**payload, "data": row.data}).encode()
    if len(body) > _MAX_BODY_BYTES:
        body = json.dumps({**payload, "data": {}}).encode()
    job = "" if row.job_id is None else str(row.job_id)
    return Delivery(event=event, event_id=row.id, run=row.run_id or "", job=job, body=body)
