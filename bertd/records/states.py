"""Enums that several records share: states and kinds of jobs, what they wait for, budget units."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """The state of a job. Only `bertd.jobs.store.lifecycle` decides which state may follow which."""

    QUEUED = "queued"
    HELD = "held"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class JobKind(StrEnum):
    PREPARE = "prepare"
    PRETRAIN = "pretrain"
    FINETUNE = "finetune"
    GRID = "grid"
    """Many finetunings as one job."""
    EVALUATE = "evaluate"
    """Loss and accuracy of a checkpoint or an export."""
    EXPORT = "export"
    COMMAND = "command"
    """Any program, with devices of its own."""


PROGRAM_KINDS = frozenset({JobKind.PREPARE, JobKind.EVALUATE, JobKind.EXPORT, JobKind.COMMAND})
"""Jobs that run one program to its end: it keeps running when the daemon ends, and cannot be paused."""


class PauseKind(StrEnum):
    """What a paused job keeps."""

    HOT = "hot"
    """Its processes and all their memory; resumes in under a second."""
    COLD = "cold"
    """A checkpoint; its devices are free."""


class ExitClass(StrEnum):
    """Why the ranks died; decides whether they are restarted, and how often."""

    TRANSIENT = "transient"
    """A signal, a hang, an exception, a lost peer: may not happen again."""
    RESOURCE = "resource"
    """Memory or disk ran out: may be free again soon."""
    CONFIGURATION = "configuration"
    """The recipe or the devices."""
    NUMERIC = "numeric"
    """The loss is not finite."""
    DATA = "data"
    """The data set or every checkpoint is unusable."""


class BudgetUnit(StrEnum):
    """What a budget counts."""

    HOURS = "hours"
    GPU_HOURS = "gpu_hours"
    STEPS = "steps"
    SEQUENCES = "sequences"


class DependencyCondition(StrEnum):
    """What the other job must have reached."""

    DONE = "done"
    """It is done."""
    ENDED = "ended"
    """It is over, in whatever state."""
    MARKER = "marker"
    """A run has spent a share of its budget."""


class DependencyState(StrEnum):
    """What became of a dependency."""

    WAITING = "waiting"
    BROKEN = "broken"
    """It cannot be met any more, so the job was held."""
    WAIVED = "waived"
    """A person released the job although it was broken."""


HIGHEST_PRIORITY = 1_000_000
"""Of a waiting job, up or down from 0."""
