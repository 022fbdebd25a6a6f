"""The state machine of a job: which state may follow which, who moves it, what a person's action does. Pure.

held <-> queued -> starting <-> running -> done | failed | cancelled
           ^            |          |                 ^
           |            v          v                 |
           |       pausing, stopping ----------------+
           |            |                            |
           +-- paused <-+ . . (hot) . . . . . . . . .+   failed and lost go back to queued too, when a person
                                                         resumes them

TRANSITIONS says which moves there are and who makes them. _CHANGES says what each action of a person does in each
sub-state. The functions below say what the scheduler, a runner's outcome and its journal do. All of them return a
JobChange, which Queue.apply makes in one transaction; no other module decides about a state or a wish.
"""

# Theory of operation
#
# Four things move a job, all on the daemon's one thread:
#   - a person's action (change_by_action): pause, resume, checkpoint, stop, hold, release. Where ranks have the job,
#     the action only posts a command and notes what is wanted; the job moves on when the ranks have applied it.
#   - the scheduler: starts it, pauses it when the daemon ends (change_at_shutdown), puts it back into the queue when
#     the daemon is back (change_at_recovery) or its runner died without an outcome (change_by_lost_runner).
#   - the runner's outcome, the last file it writes (changes_by_outcome).
#   - the journal, which says what the ranks did meanwhile: train, suspend, restart, refuse a command
#     (change_by_record).
#
# A state alone does not say what comes next. Three facts beside it do:
#   - is_hot, not a column but a lease that a paused job still has: its ranks are alive and wait between two steps.
#     Such a job is `suspended`. It applies commands and may end like a running one, so its row of actions differs from
#     that of a job that is paused cold.
#   - wants_resume, the wish to resume: without it a resume that comes while the job still pauses, or whose ranks die
#     before they read it, would be forgotten, and the daemon would not know which jobs its own end paused.
#   - stop_asked, the wish to stop: a run without ranks that is stopped must first get devices, because only ranks can
#     validate and export. It waits in the queue, and a second stop gives the export up.
# SubState names the combinations that an action treats differently. Elsewhere a wish changes no action: a starting or
# running job with stop_asked has the command in its mailbox, and a running one with wants_resume has just resumed.
# Both wishes at once are possible if the daemon ended while a job that was to stop started: the stop names the
# sub-state, and the wish to resume brings it back to the queue, where it waits to stop as before.
#
# A person's newest action counts: a pause and a stop clear the wish to resume, a resume clears the wish to stop.

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from bertd.errors import TransitionError
from bertd.records import (
    CommandKind,
    CommandRecord,
    GridRecord,
    JobKind,
    JobState,
    JournalRecord,
    RestartRecord,
    StartRecord,
    StateRecord,
)


class Actor(StrEnum):
    """Who moves a job."""

    PERSON = "person"
    SCHEDULER = "scheduler"
    RUNNER = "runner"


class JobAction(StrEnum):
    """What a person may do with a job."""

    PAUSE = "pause"
    RESUME = "resume"
    CHECKPOINT = "checkpoint"
    STOP = "stop"
    HOLD = "hold"
    RELEASE = "release"


LIVE = frozenset({JobState.STARTING, JobState.RUNNING, JobState.PAUSING, JobState.STOPPING})
"""A runner has the job."""
ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST})
"""Nothing more happens by itself."""


class SubState(StrEnum):
    """A state with the facts beside it that decide what an action does; see the theory of operation."""

    QUEUED = "queued"
    QUEUED_TO_STOP = "queued to stop"
    """Waits for devices only to validate and export."""
    HELD = "held"
    HELD_TO_STOP = "held to stop"
    """As queued to stop, and held since."""
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSING_TO_RESUME = "pausing to resume"
    """Goes back into the queue as soon as it is paused."""
    PAUSED = "paused"
    PAUSED_TO_RESUME = "paused to resume"
    """Paused by the end of the daemon; the next one puts it back into the queue."""
    PAUSED_TO_STOP = "paused to stop"
    """Paused while it was starting in order to stop."""
    SUSPENDED = "suspended"
    """Paused hot: the ranks wait, and keep memory and devices."""
    SUSPENDED_TO_RESUME = "suspended to resume"
    """Resumed, but its ranks have not reported yet that they train."""
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


_TO_STOP = {
    JobState.QUEUED: SubState.QUEUED_TO_STOP,
    JobState.HELD: SubState.HELD_TO_STOP,
    JobState.PAUSED: SubState.PAUSED_TO_STOP,
}
_TO_RESUME = {JobState.PAUSING: SubState.PAUSING_TO_RESUME, JobState.PAUSED: SubState.PAUSED_TO_RESUME}


@dataclass(frozen=True)
class JobStatus:
    """The state of a job, with everything that decides what comes next."""

    state: JobState
    is_hot: bool = False
    """Paused with its lease: the ranks are suspended and keep their memory."""
    wants_resume: bool = False
    """Resumes by itself once it is paused."""
    stop_asked: bool = False
    """A stop is in its mailbox, or was when it ended."""

    @property
    def sub_state(self) -> SubState:
        """The row of the table of actions."""
        if self.is_hot:
            return SubState.SUSPENDED_TO_RESUME if self.wants_resume else SubState.SUSPENDED
        if self.stop_asked and self.state in _TO_STOP:
            return _TO_STOP[self.state]
        if self.wants_resume and self.state in _TO_RESUME:
            return _TO_RESUME[self.state]
        return SubState(self.state.value)


@dataclass(frozen=True)
class JobChange:
    """A change of a job; None leaves a value as it is."""

    state: JobState | None = None
    """The state to move it to, with an event; None to stay, without an event."""
    reason: str | None = None
    """Shown to a person; each move has one."""
    wants_resume: bool | None = None
    stop_asked: bool | None = None
    forgets_losses: bool = False
    """Reset the count of runners that died without an outcome."""
    command: CommandKind | None = None
    """Posted into its mailbox, in the transaction of the change."""


_P, _S, _R = Actor.PERSON, Actor.SCHEDULER, Actor.RUNNER

TRANSITIONS: dict[JobState, dict[JobState, frozenset[Actor]]] = {
    JobState.QUEUED: {
        JobState.HELD: frozenset({_P}),
        JobState.STARTING: frozenset({_S}),
        # By the scheduler: its sweep has dropped it.
        JobState.CANCELLED: frozenset({_P, _S}),
        # Its runner could not be started.
        JobState.FAILED: frozenset({_S}),
        # Its folder is gone.
        JobState.LOST: frozenset({_S}),
    },
    JobState.HELD: {
        # Released; or stopped with something to export, for which it must get devices.
        JobState.QUEUED: frozenset({_P}),
        JobState.CANCELLED: frozenset({_P, _S}),
    },
    JobState.STARTING: {
        JobState.RUNNING: frozenset({_R}),
        # The scheduler pauses when the daemon ends.
        JobState.PAUSING: frozenset({_P, _S}),
        JobState.STOPPING: frozenset({_P}),
        # Its runner died, or found the folder locked.
        JobState.QUEUED: frozenset({_S}),
        # Not requested: its runner got a SIGTERM, or suspended ranks are suspended again after a restart.
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.RUNNING: {
        # The ranks died and the same runner starts them again: it does not train until their start record is there.
        JobState.STARTING: frozenset({_R}),
        JobState.PAUSING: frozenset({_P, _S}),
        JobState.STOPPING: frozenset({_P}),
        JobState.QUEUED: frozenset({_S}),
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.PAUSING: {
        # The disk refused the checkpoint, so the ranks continue to train.
        JobState.RUNNING: frozenset({_R}),
        JobState.STOPPING: frozenset({_P}),
        # Its runner died, and a person had resumed it while it was pausing.
        JobState.QUEUED: frozenset({_S}),
        JobState.PAUSED: frozenset({_R, _S}),
        # The end of the budget came before the pause.
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.PAUSED: {
        # By the scheduler: one with the wish to resume, kept since a pause, one that was hot and whose runner died, or
        # one that its sweep lets continue.
        JobState.QUEUED: frozenset({_P, _S}),
        JobState.CANCELLED: frozenset({_P, _R, _S}),
        # The following only for one that is hot, whose ranks read commands like those of a running one.
        JobState.RUNNING: frozenset({_R}),
        JobState.PAUSING: frozenset({_P, _S}),
        JobState.STOPPING: frozenset({_P}),
        # From hot to cold: its ranks saved and exited by themselves, or died. The lease is released too.
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.STOPPING: {
        # Its runner died, or an earlier pause was applied first: it gets devices again, only to export.
        JobState.QUEUED: frozenset({_S}),
        # The ranks applied a pause that was posted before the stop; the scheduler queues it in the same transaction.
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    # A failure is not final: its cause can be fixed, and its checkpoints are still there.
    JobState.FAILED: {JobState.QUEUED: frozenset({_P})},
    JobState.LOST: {JobState.QUEUED: frozenset({_P})},
    JobState.DONE: {},
    JobState.CANCELLED: {},
}


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


_STOP_PENDING_REASON = (
    "stopped by a person: validates and exports as soon as it has devices; stop again to skip that, or resume it"
)
_PAUSE = JobChange(
    JobState.PAUSING, "paused by a person; saves at the next step", wants_resume=False, command=CommandKind.PAUSE
)
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
_QUEUE_TO_STOP = replace(_STOP, state=JobState.QUEUED, reason=_STOP_PENDING_REASON)
_CANCEL = JobChange(JobState.CANCELLED, "stopped by a person before it began")
_CANCEL_STOP = JobChange(JobState.CANCELLED, "stopped twice by a person; nothing was exported")
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
        SubState.STARTING: _PAUSE,
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

_REMEDY = {
    JobState.QUEUED: "it waits for devices; hold or stop it",
    JobState.HELD: "release or stop it",
    JobState.STARTING: "wait until it runs; pause or stop it",
    JobState.RUNNING: "pause, checkpoint or stop it",
    JobState.PAUSING: "wait until it is paused",
    JobState.PAUSED: "resume or stop it",
    JobState.STOPPING: "wait until it is over",
    JobState.DONE: "it is over; submit another",
    JobState.FAILED: "it is over; fix the cause and resume it",
    JobState.CANCELLED: "it is over; submit another",
    JobState.LOST: "its runner is gone; resume it",
}


def check_transition(job_id: int, *, before: JobState, after: JobState, actor: Actor) -> None:
    """Check a move against the table.

    Raises:
        TransitionError: the table has no such move for that actor.
    """
    if actor not in TRANSITIONS[before].get(after, frozenset()):
        raise TransitionError(f"job {job_id}: {before} cannot become {after} by the {actor}; {_REMEDY[before]}")


# ---- A person's action -----------------------------------------------------------------------------


def change_by_action(
    action: JobAction,
    status: JobStatus,
    *,
    job_id: int,
    kind: JobKind,
    hot: bool = False,
    on_other_devices: bool = False,
    has_trained: bool = False,
) -> JobChange:
    """What a person's action does.

    Args:
        hot: for a pause: suspend the ranks and keep their memory.
        on_other_devices: for a resume: on another number of devices.
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
    if change is not None:
        return change
    if request is _Request.SUSPEND and status.is_hot:
        raise TransitionError(f"job {job_id}: is paused hot already; resume it, or pause it without --hot")
    raise TransitionError(f"job {job_id}: cannot {action} while it is {status.state}; {_REMEDY[status.state]}")


def budget_refusal(status: JobStatus) -> str | None:
    """Why a job's budget cannot be changed, as the end of a sentence about the job; None if it can."""
    if status.state in (JobState.STOPPING, JobState.DONE, JobState.CANCELLED):
        return f"is {status.state}"
    return "is going to stop" if status.stop_asked else None


# ---- The scheduler ---------------------------------------------------------------------------------


def reason_to_wait(status: JobStatus, reason: str) -> str:
    """The reason of a queued job for which there are no devices yet."""
    return f"{_STOP_PENDING_REASON}; {reason}" if status.stop_asked else reason


def change_at_start(reason: str) -> JobChange:
    """A queued job got its devices, which fulfils the wish to resume."""
    return JobChange(JobState.STARTING, reason, wants_resume=False)


def change_at_shutdown(status: JobStatus) -> JobChange | None:
    """The daemon ends, and has each job save; None for one that is about to end, or that has no runner."""
    if status.state in (JobState.STARTING, JobState.RUNNING):
        reason = "the daemon is shutting down; resumes by itself when the daemon starts"
        return JobChange(JobState.PAUSING, reason, wants_resume=True, command=CommandKind.PAUSE)
    if status.is_hot:
        # Set no wish: a person paused it, and it stays paused unless they have resumed it since.
        reason = "was paused hot; saves, because the daemon is shutting down"
        return JobChange(JobState.PAUSING, reason, command=CommandKind.PAUSE)
    # One that is pausing gets the command too: its pause may be a hot one.
    return JobChange(command=CommandKind.PAUSE) if status.state is JobState.PAUSING else None


def change_at_recovery(status: JobStatus) -> JobChange | None:
    """The daemon is back: a job that its end paused resumes; None if a person paused it."""
    if status.state is not JobState.PAUSED or status.is_hot or not status.wants_resume:
        return None
    return JobChange(JobState.QUEUED, "the daemon is back; resumes from its checkpoint", wants_resume=False)


def change_by_lost_runner(status: JobStatus, *, job_id: int, kind: JobKind, reason_to_give_up: str | None) -> JobChange:
    """Its runner died without an outcome: it was killed, or the machine went down.

    Args:
        reason_to_give_up: if that happened too often; None if it may be tried again.
    """
    if status.sub_state is SubState.SUSPENDED:
        reason = "its suspended processes died; resumes from its newest checkpoint on `bertd resume`"
        return JobChange(JobState.PAUSED, reason)
    if status.state is JobState.PAUSING and not status.wants_resume:
        return JobChange(JobState.PAUSED, f"its runner died while it saved; `bertd resume {job_id}` continues")
    if status.state is JobState.STOPPING and kind is not JobKind.PRETRAIN:
        return JobChange(JobState.CANCELLED, "stopped by a person")
    if reason_to_give_up is not None:
        return JobChange(JobState.FAILED, reason_to_give_up)
    # A wish to stop stays: it gets devices again, only to validate and export.
    continues = {
        JobKind.PREPARE: "begins again",
        JobKind.PRETRAIN: "resumes from its newest checkpoint",
        JobKind.FINETUNE: "continues after its last saved epoch",
        JobKind.GRID: "continues with the trials that have no score",
    }
    return JobChange(JobState.QUEUED, f"its runner died (killed, or the machine went down); {continues[kind]}")


# ---- A sweep, by the scheduler; only of jobs without ranks -----------------------------------------


def change_by_passing_rung(reason: str) -> JobChange:
    """A paused setting continues to its next rung."""
    return JobChange(JobState.QUEUED, reason, wants_resume=False, stop_asked=False, forgets_losses=True)


def change_by_dropping(reason: str) -> JobChange:
    """A setting is over; it is not exported, but its checkpoints stay."""
    return JobChange(JobState.CANCELLED, reason, wants_resume=False)


def change_by_winning(status: JobStatus, reason: str) -> JobChange:
    """The best setting gets devices once more, to validate and export; one that a person holds waits for that."""
    state = JobState.QUEUED if status.state is JobState.PAUSED else None
    return JobChange(state, reason, wants_resume=False, stop_asked=True, command=CommandKind.STOP)


# ---- The runner ------------------------------------------------------------------------------------


def changes_by_outcome(
    status: JobStatus, state: JobState, reason: str, *, job_id: int, is_stopping: bool
) -> tuple[JobChange, ...]:
    """The runner's outcome and, after a pause with a later resume or stop, the move back into the queue.

    Args:
        state: of the outcome.
        reason: of the outcome.
        is_stopping: the daemon ends, so nothing goes back into the queue.
    """
    if state is not JobState.PAUSED:
        return (JobChange(state, reason),)
    if status.wants_resume and is_stopping:
        reason = "the daemon was shut down; resumes by itself when the daemon starts again"
    elif "bertd resume" not in reason:
        reason = f"{reason}; `bertd resume {job_id}` continues"
    paused = JobChange(JobState.PAUSED, reason)
    if status.state is JobState.STOPPING:
        reason = "stopped by a person after its pause: validates and exports as soon as it has devices"
        return paused, JobChange(JobState.QUEUED, reason)
    if status.wants_resume and not is_stopping:
        reason = "resumed by a person while it was pausing"
        return paused, JobChange(JobState.QUEUED, reason, wants_resume=False)
    return (paused,)


def change_by_record(status: JobStatus, record: JournalRecord) -> JobChange | None:
    """The change that a record of its journal causes; None for no change."""
    match record:
        case StartRecord() if status.state is JobState.STARTING:
            return JobChange(JobState.RUNNING, f"trains since step {record.step}" if record.step else "trains")
        case RestartRecord():
            return _change_by_restart(status, f"restarts from step {record.from_step}: {record.cause}")
        case GridRecord():
            return _change_by_grid(status, f"finetunes: {record.step} of {record.num_trials} trials are over")
        case StateRecord():
            return _change_by_suspension(status, record)
        case CommandRecord():
            return _change_by_answer(status, record)
    return None


def _change_by_restart(status: JobStatus, reason: str) -> JobChange | None:
    if status.state is JobState.STARTING:
        return JobChange(reason=reason)
    if status.state is JobState.RUNNING:
        return JobChange(JobState.STARTING, reason, wants_resume=False)
    return None


def _change_by_grid(status: JobStatus, reason: str) -> JobChange | None:
    if status.state is JobState.STARTING:
        return JobChange(JobState.RUNNING, reason)
    return JobChange(reason=reason) if status.state is JobState.RUNNING else None


def _change_by_suspension(status: JobStatus, record: StateRecord) -> JobChange | None:
    if record.is_hot and status.state in (JobState.STARTING, JobState.RUNNING, JobState.PAUSING):
        # If a person resumed it before its ranks were suspended, they read the command only from here on.
        command = CommandKind.RESUME if status.wants_resume else None
        return JobChange(JobState.PAUSED, f"hot: {record.reason}", command=command)
    if record.state is JobState.RUNNING and status.is_hot:
        # The wish stays until the answer to the command: the ranks may die in between.
        return JobChange(JobState.RUNNING, record.reason)
    return None


def _change_by_answer(status: JobStatus, record: CommandRecord) -> JobChange | None:
    if record.verb is CommandKind.RESUME and status.state is JobState.RUNNING:
        return JobChange(wants_resume=False)
    if record.verb is CommandKind.PAUSE and record.outcome != "done" and status.state is JobState.PAUSING:
        # The disk refused: a person can pause it again.
        reason = f"continues to train, since it cannot be paused: {record.detail}"
        return JobChange(JobState.RUNNING, reason, wants_resume=False)
    return None
