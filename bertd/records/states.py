"""Closed sets of words that several records share: states and kinds of jobs, exit classes, budget units."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands. What may follow what is decided by `bertd.jobs.store.lifecycle` alone."""

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
    """What a job executes."""

    PREPARE = "prepare"
    PRETRAIN = "pretrain"
    FINETUNE = "finetune"


class PauseKind(StrEnum):
    """What a paused job keeps."""

    HOT = "hot"
    """Its processes and all their memory; goes on in under a second."""
    COLD = "cold"
    """A checkpoint; its devices are free."""


class ExitClass(StrEnum):
    """What a death of the ranks was of, which decides whether another try is worth it."""

    TRANSIENT = "transient"
    """A signal, a hang, an exception, a lost peer: may not come again."""
    RESOURCE = "resource"
    """Memory or disk ran out: may be free in a moment."""
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
