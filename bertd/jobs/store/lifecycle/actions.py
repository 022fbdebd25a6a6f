"""What a person's action does in each sub-state of a job, or why it is refused."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from bertd.errors import TransitionError
from bertd.jobs.store.lifecycle.states import JobAction, JobChange, JobStatus, SubState
from bertd.jobs.store.lifecycle.transitions import REMEDY
from bertd.records import PROGRAM_KINDS, CommandKind, JobKind, JobState


class _Request(StrEnum):
    """A person's action, split by what it depends on besides the sub-state: a column of the table."""

    PAUSE = "pause"
    SUSPEND = "pause --hot"
    RESUME = "resume"
    RESUME_ON = "resume --devices"
    CHECKPOINT = "checkpoint"
    STOP = "stop"
    """Of a job that has trained, and so has something to export."""
    STOP_UNTRAINED = "stop of what never trained"
    HOLD = "hold"
    RELEASE = "release"


_STOP_PENDING = "validates and exports as soon as it has devices; stop again to skip that, or resume it"
STOP_PENDING_REASON = f"stopped: {_STOP_PENDING}"
"""Of a job that waits to stop, whoever stopped it: a person, or the sweep that it won."""
_PAUSE = JobChange(
    JobState.PAUSING, "paused by a person; saves at the next step", wants_resume=False, command=CommandKind.PAUSE
)
_PAUSE_AT_START = replace(_PAUSE, reason="paused by a person; ends without a step if its ranks have not begun")
_SUSPEND = replace(
    _PAUSE, reason="paused hot by a person; waits at the next step, keeps its memory", command=CommandKind.SUSPEND
)
_REQUEUE = JobChange(
    JobState.QUEUED,
    "resumed by a person; waits for its turn",
    wants_resume=False,
    stop_asked=False,
    forgets_losses=True,
)
_UNSTOP = JobChange(
    reason="resumed by a person instead of stopped; waits for its turn", stop_asked=False, forgets_losses=True
)
"""It keeps its place in the queue; the stop in its mailbox is void when it starts."""
_RESUME_AFTER_PAUSE = JobChange(
    reason="paused and resumed by a person; saves, then resumes", wants_resume=True, stop_asked=False
)
_WAKE = JobChange(
    reason="resumed by a person; trains at once", wants_resume=True, stop_asked=False, command=CommandKind.RESUME
)
"""The wish stays until it trains, so it resumes even if its ranks die or the daemon ends before they read it."""
_SAVE = JobChange(command=CommandKind.CHECKPOINT)
_STOP = JobChange(
    JobState.STOPPING,
    "stopped by a person; saves, validates and exports",
    wants_resume=False,
    stop_asked=True,
    command=CommandKind.STOP,
)
_QUEUE_TO_STOP = replace(_STOP, state=JobState.QUEUED, reason=f"stopped by a person: {_STOP_PENDING}")
_CANCEL = JobChange(JobState.CANCELLED, "stopped by a person before it began")
_CANCEL_STOP = JobChange(JobState.CANCELLED, "stopped by a person instead of validated and exported at its end")
_CANCEL_REASONS = {
    JobKind.PREPARE: "stopped by a person before it was complete",
    JobKind.PRETRAIN: "stopped by a person; it had no checkpoint, so nothing was exported",
    JobKind.FINETUNE: "stopped by a person; it has no score",
    JobKind.GRID: "stopped by a person; its trials without a score have none",
    JobKind.EVALUATE: "stopped by a person; it measured nothing",
    JobKind.EXPORT: "stopped by a person; it wrote no export",
    JobKind.COMMAND: "stopped by a person; it does not run again",
}
"""Of a job that had begun, and waits."""
_HOLD = JobChange(JobState.HELD, "held by a person; `bertd release` lets it start")
_RELEASE = JobChange(JobState.QUEUED, "released by a person; waits for its turn")

_STOP_OF_LIVE = dict.fromkeys(
    (
        *(SubState.STARTING, SubState.RUNNING, SubState.PAUSING, SubState.PAUSING_TO_RESUME),
        *(SubState.SUSPENDED, SubState.SUSPENDED_TO_RESUME),
    ),
    _STOP,
)
_SECOND_STOP = dict.fromkeys((SubState.QUEUED_TO_STOP, SubState.HELD_TO_STOP, SubState.PAUSED_TO_STOP), _CANCEL_STOP)
_REQUEUE_OF_IDLE = dict.fromkeys(
    (
        *(SubState.PAUSED, SubState.PAUSED_TO_RESUME, SubState.PAUSED_TO_STOP),
        *(SubState.FAILED, SubState.LOST),
    ),
    _REQUEUE,
)

_CHANGES: dict[_Request, dict[SubState, JobChange]] = {
    _Request.PAUSE: {
        SubState.STARTING: _PAUSE_AT_START,
        SubState.RUNNING: _PAUSE,
        # From hot to cold.
        SubState.SUSPENDED: _PAUSE,
        SubState.SUSPENDED_TO_RESUME: _PAUSE,
    },
    _Request.SUSPEND: {
        SubState.STARTING: _SUSPEND,
        SubState.RUNNING: _SUSPEND,
        # It may train already, so it can be suspended again.
        SubState.SUSPENDED_TO_RESUME: _SUSPEND,
    },
    _Request.RESUME: {
        SubState.QUEUED_TO_STOP: _UNSTOP,
        SubState.PAUSING: _RESUME_AFTER_PAUSE,
        SubState.PAUSING_TO_RESUME: _RESUME_AFTER_PAUSE,
        SubState.SUSPENDED: _WAKE,
        SubState.SUSPENDED_TO_RESUME: _WAKE,
        **_REQUEUE_OF_IDLE,
    },
    _Request.RESUME_ON: {
        # It waits already, and shall wait for another number of devices.
        SubState.QUEUED: _UNSTOP,
        SubState.QUEUED_TO_STOP: _UNSTOP,
        **_REQUEUE_OF_IDLE,
    },
    _Request.CHECKPOINT: {
        SubState.RUNNING: _SAVE,
        SubState.SUSPENDED: _SAVE,
        SubState.SUSPENDED_TO_RESUME: _SAVE,
    },
    _Request.STOP: {
        # It keeps its place in the queue.
        SubState.QUEUED: replace(_QUEUE_TO_STOP, state=None),
        SubState.HELD: _QUEUE_TO_STOP,
        SubState.PAUSED: _QUEUE_TO_STOP,
        SubState.PAUSED_TO_RESUME: _QUEUE_TO_STOP,
        **_SECOND_STOP,
        **_STOP_OF_LIVE,
    },
    _Request.STOP_UNTRAINED: {
        SubState.QUEUED: _CANCEL,
        SubState.HELD: _CANCEL,
        SubState.PAUSED: _CANCEL,
        SubState.PAUSED_TO_RESUME: _CANCEL,
        **_SECOND_STOP,
        **_STOP_OF_LIVE,
    },
    _Request.HOLD: {SubState.QUEUED: _HOLD, SubState.QUEUED_TO_STOP: _HOLD},
    _Request.RELEASE: {SubState.HELD: _RELEASE, SubState.HELD_TO_STOP: _RELEASE},
}
"""What a person's action does, by sub-state; it is refused if there is no entry."""

_PRETRAIN_ONLY = {
    JobAction.PAUSE: "only a pretraining has checkpoints to resume from; stop it, or let it finish",
    JobAction.CHECKPOINT: "only a pretraining has checkpoints",
}


def change_by_action(
    action: JobAction,
    status: JobStatus,
    *,
    job_id: int,
    kind: JobKind,
    hot: bool = False,
    on_other_devices: bool = False,
    has_begun: bool = False,
    has_trained: bool = False,
) -> JobChange:
    """What a person's action does.

    Args:
        hot: for a pause: suspend the ranks and keep their memory.
        on_other_devices: for a resume: on another number of devices.
        has_begun: for a stop: it has had devices before.
        has_trained: for a stop: there is a checkpoint to export.

    Raises:
        TransitionError: the job's kind or sub-state does not allow it.
    """
    if kind is not JobKind.PRETRAIN and action in _PRETRAIN_ONLY:
        raise TransitionError(f"job {job_id}: cannot {action} a {kind}: {_PRETRAIN_ONLY[action]}")
    request = _Request(action.value)
    if action is JobAction.PAUSE and hot:
        request = _Request.SUSPEND
    elif action is JobAction.RESUME and on_other_devices:
        request = _Request.RESUME_ON
    elif action is JobAction.STOP and not has_trained:
        request = _Request.STOP_UNTRAINED
    change = _CHANGES[request].get(status.sub_state)
    if change is not None and change.state is JobState.STOPPING and kind is not JobKind.PRETRAIN:
        ended = "are ended" if kind in PROGRAM_KINDS else "are killed"
        return replace(change, reason=f"stopped by a person; its processes {ended}")
    if change is _CANCEL and has_begun:
        return replace(change, reason=_CANCEL_REASONS[kind])
    if change is not None:
        return change
    if request is _Request.SUSPEND and status.is_hot:
        raise TransitionError(f"job {job_id}: is paused hot already; resume it, or pause it without --hot")
    raise TransitionError(f"job {job_id}: cannot {action} while it is {status.state}; {REMEDY[status.state]}")


def budget_refusal(status: JobStatus) -> str | None:
    """Why a job's budget cannot be changed, as the end of a sentence about the job; None if it can."""
    if status.state in (JobState.STOPPING, JobState.DONE, JobState.CANCELLED):
        return f"is {status.state}"
    return "is going to stop" if status.stop_asked else None
