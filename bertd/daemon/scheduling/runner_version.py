"""Word the warnings about a runner that another version of bertd started. Pure.

A runner outlives its daemon, and starts ranks by the name of their module. After an upgrade that name may be gone:
what trains is unaffected, but the next restart of its ranks fails.
"""

from __future__ import annotations

import bertd
from bertd.jobs.store.lifecycle import SubState
from bertd.jobs.store.queue import Job
from bertd.records import AlertRecord, JobKind, RunnerIdentity

_WITH_RANKS = frozenset(
    (SubState.STARTING, SubState.RUNNING, SubState.SUSPENDED, SubState.SUSPENDED_TO_RESUME),
)
"""Sub-states in which a pause, which is the remedy, is accepted."""


def is_of_other_version(job: Job, identity: RunnerIdentity) -> bool:
    """Whether a runner may fail to restart its ranks; a finetuning is never restarted, so its version is ignored."""
    return job.kind is JobKind.PRETRAIN and identity.version != bertd.__version__


def adoption_alert(job: Job, identity: RunnerIdentity, *, step: int, now: float) -> AlertRecord:
    """The event when such a runner is adopted."""
    return AlertRecord(
        t=now, step=step, level="warning", code="runner_version", message=f"job {job.id}: {_warning(job, identity)}"
    )


def reason_with_warning(job: Job, identity: RunnerIdentity) -> str:
    """The job's reason with the remedy, if it is possible and the reason does not have it yet."""
    warning = _warning(job, identity)
    if job.status.sub_state not in _WITH_RANKS or warning in job.reason:
        return job.reason
    return f"{job.reason}; {warning}"


def failure_with_remedy(job: Job, identity: RunnerIdentity, reason: str) -> str:
    """The reason of a job that failed under such a runner, perhaps only because its ranks could not start."""
    return (
        f"{reason}; its runner was of {_version(identity)}, which cannot start the ranks of {bertd.__version__}: if "
        f"that is the cause, `bertd resume {job.id}` is enough"
    )


def _warning(job: Job, identity: RunnerIdentity) -> str:
    return (
        f"its runner is of {_version(identity)} and this daemon of {bertd.__version__}, so its ranks cannot be "
        f"restarted when they die: `bertd pause {job.id}`, then `bertd resume {job.id}`"
    )


def _version(identity: RunnerIdentity) -> str:
    return f"bertd {identity.version}" if identity.version is not None else "an earlier bertd"
