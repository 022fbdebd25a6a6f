"""Wait for the answer of a run's ranks to a command: they apply it between two steps, after the daemon has taken it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from bertd.api.client import Client, EventStream
from bertd.api.models import EventView, JobView, RunView
from bertd.records import CommandKind, CommandRecord, JobState

_V = TypeVar("_V", JobView, RunView)
_WITH_RANKS = frozenset({JobState.STARTING, JobState.RUNNING, JobState.PAUSING, JobState.STOPPING, JobState.PAUSED})
"""States in which a command may still be answered."""


@dataclass(frozen=True)
class Answered(Generic[_V]):
    """What the daemon answered, then the ranks."""

    view: _V
    """The job or run as the daemon took the command."""
    record: CommandRecord | None
    """The ranks' answer; None if there was none in time, or the job has no ranks any more."""


def request_and_wait(
    client: Client, act: Callable[[], _V], *, verb: CommandKind, timeout_s: float | None, is_done: Callable[[_V], bool]
) -> Answered[_V]:
    """Request a change, and wait for the ranks' answer.

    Args:
        act: sends the request.
        verb: of the command that the ranks answer.
        timeout_s: None to wait for any time.
        is_done: whether the daemon did it by itself, so that no ranks will answer.

    Raises:
        BertdError: the daemon refused, or is gone.
    """
    with client.events() as stream:
        view = act()
        if is_done(view):
            return Answered(view, None)
        job_id = view.id if isinstance(view, JobView) else view.job_id
        timer = threading.Timer(min(timeout_s or 0.0, threading.TIMEOUT_MAX), stream.close)
        timer.daemon = True
        if timeout_s is not None:
            timer.start()
        try:
            return Answered(view, _read_answer(stream, job_id=job_id, verb=verb))
        finally:
            timer.cancel()


def _read_answer(stream: EventStream, *, job_id: int, verb: CommandKind) -> CommandRecord | None:
    for item in stream:
        if isinstance(item, EventView):
            record = _command_record(item) if (item.type, item.job_id) == ("command", job_id) else None
            if record is not None and record.verb is verb:
                return record
        elif any(job.id == job_id and job.state not in _WITH_RANKS for job in item.jobs):
            return None
    return None


def _command_record(event: EventView) -> CommandRecord | None:
    try:
        return CommandRecord.model_validate(event.data)
    except ValidationError:
        # Of another bertd: the state of the job is still shown.
        return None
