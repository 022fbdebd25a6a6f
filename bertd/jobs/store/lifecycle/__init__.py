"""The state machine of a job: which state may follow which, who moves it, what a person's action does. Pure.

held <-> queued -> starting <-> running -> done | failed | cancelled
           ^            |          |                 ^
           |            v          v                 |
           |       pausing, stopping ----------------+
           |            |                            |
           +-- paused <-+ . . (hot) . . . . . . . . .+   failed and lost go back to queued too, when a person
                                                         resumes them

transitions.py says which moves there are and who makes them, actions.py what each action of a person does in each
sub-state, scheduler_changes.py and runner_changes.py what the scheduler, a runner's outcome and its journal do,
lend_changes.py what a lend does. All of them return a JobChange, which Queue.apply makes in one transaction; no other
module decides about a state or a wish.
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

from bertd.jobs.store.lifecycle.actions import budget_refusal, change_by_action
from bertd.jobs.store.lifecycle.lend_changes import change_at_lending, change_at_recall, change_at_return
from bertd.jobs.store.lifecycle.runner_changes import change_by_record, changes_by_outcome
from bertd.jobs.store.lifecycle.scheduler_changes import (
    change_at_closing,
    change_at_recovery,
    change_at_shutdown,
    change_at_start,
    change_by_broken_dependency,
    change_by_dropping,
    change_by_failure_on_lost_device,
    change_by_lost_device,
    change_by_lost_runner,
    change_by_other_software,
    change_by_passing_rung,
    change_by_retry,
    change_by_unusable_data,
    change_by_winning,
    reason_to_wait,
)
from bertd.jobs.store.lifecycle.states import (
    ENDED,
    FINAL,
    LIVE,
    MOVABLE,
    Actor,
    JobAction,
    JobChange,
    JobStatus,
    SubState,
)
from bertd.jobs.store.lifecycle.transitions import TRANSITIONS, check_transition

__all__ = [
    "budget_refusal",
    "change_by_action",
    "change_by_record",
    "changes_by_outcome",
    "change_at_closing",
    "change_at_lending",
    "change_at_recall",
    "change_at_recovery",
    "change_at_return",
    "change_at_shutdown",
    "change_at_start",
    "change_by_broken_dependency",
    "change_by_dropping",
    "change_by_failure_on_lost_device",
    "change_by_lost_device",
    "change_by_lost_runner",
    "change_by_passing_rung",
    "change_by_retry",
    "change_by_other_software",
    "change_by_unusable_data",
    "change_by_winning",
    "reason_to_wait",
    "ENDED",
    "MOVABLE",
    "FINAL",
    "LIVE",
    "Actor",
    "JobAction",
    "JobChange",
    "JobStatus",
    "SubState",
    "TRANSITIONS",
    "check_transition",
]
