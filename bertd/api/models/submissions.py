"""What is submitted: a job of each kind."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from bertd.records import (
    Keep,
    OwnTask,
    PauseKind,
    Preset,
    Record,
    Via,
)
from bertd.records.states import HIGHEST_PRIORITY

GROUP_NAME = r"^[A-Za-z0-9_-]{1,32}$"
Priority = Annotated[int, Field(ge=-HIGHEST_PRIORITY, le=HIGHEST_PRIORITY)]
"""Of a waiting job; higher is served first."""
DependencyNames = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=100)]
"""Jobs as a person names them."""
GroupName = Annotated[str, Field(pattern=GROUP_NAME)]
"""Of a group in the configuration."""


class Submission(Record):
    """What the body of POST /v1/jobs has for each kind of job."""

    priority: Priority = 0
    after: DependencyNames = []
    """Start when each of these jobs is done, by number, run id, name or @; RUN@0.5: when the run has spent that share
    of its budget. Held if one of them cannot be met any more."""
    after_any: DependencyNames = []
    """Start when each of these jobs is over, in whatever state."""
    group: GroupName | None = None
    """A group of the configuration, whose limits it counts for."""
    begin: str | None = Field(default=None, min_length=1, max_length=100)
    """Start no earlier: 22:00, 2026-12-01T08:00 or +2h, in the daemon's local time."""
    only: str | None = Field(default=None, min_length=1, max_length=100)
    """Run in these hours of the day alone, such as 20:00-08:00 in the daemon's local time; only of what
    can be paused: a pretraining, a finetuning, a grid."""


class SubmitPretrain(Submission):
    """Body of POST /v1/jobs for a pretraining."""

    kind: Literal["pretrain"] = "pretrain"
    recipe_toml: str
    """The recipe's text; the sender has made relative paths in it absolute."""
    recipe_name: str
    """Its name in error messages."""
    overrides: list[str] = []
    """section.key=value, applied to the text."""
    hold: bool = False


class LendingSubmission(Submission):
    """What the body has for a finetuning or a grid of them."""

    now: PauseKind | None = None
    """Pause a pretraining, run this on its devices, then let it continue by itself; None: wait for devices. hot: the
    pretraining keeps its memory beside this job, so nothing is charged. Not with after, after_any, begin or only."""


class SubmitFinetune(LendingSubmission):
    """Body of POST /v1/jobs for a finetuning."""

    kind: Literal["finetune"] = "finetune"
    run: str
    """Run id, name, job id or @, followed by @step or @0.5 (a marker) for one export; or an export's
    absolute path."""
    task: str
    """A GLUE task, or the name of a task of one's own."""
    data_dir: str
    own: OwnTask | None = None
    """The tables and columns of a task of one's own; None for a GLUE task."""
    keep: Keep = Keep.NOTHING
    seed: int = Field(default=42, ge=0, lt=2**31)
    lr: float = Field(default=5e-5, gt=0, allow_inf_nan=False)
    batch_size: int = Field(default=32, ge=1)
    epochs: int = Field(default=3, ge=1)
    weight_decay: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    warmup: float = Field(default=0.06, ge=0, lt=1)


class SubmitGrid(LendingSubmission):
    """Body of POST /v1/jobs for a grid of finetunings."""

    kind: Literal["grid"] = "grid"
    run: str
    """As in SubmitFinetune."""
    tasks: list[str] = Field(min_length=1)
    """Of GLUE; with `own`, its name alone."""
    own: OwnTask | None = None
    """The tables and columns of a task of one's own; None for GLUE's tasks."""
    num_train: int | None = Field(default=None, ge=1)
    """Training examples of `own`, by which the paper's rule has fewer settings for a large task."""
    preset: Preset = Preset.QUICK
    num_seeds: int | None = Field(default=None, ge=1, le=1000)
    """Trials of each setting; None for as many as the preset has."""
    via: Via | None = None
    """Finetune VIA_TASKS a second time, from this task's best model of the same grid."""
    keep: Keep = Keep.NOTHING
    """best: the model of each task's best trial."""
    is_halving: bool = False
    """Drop the worse half of a task's settings after each seed; not with the preset paper."""
    data_dir: str

    @model_validator(mode="after")
    def _require_own_task_alone(self) -> Self:
        if self.own is not None and (len(self.tasks) != 1 or self.num_train is None):
            raise ValueError("a grid of a task of one's own has its name alone in tasks, and num_train")
        return self


class SubmitCommand(Submission):
    """Body of POST /v1/jobs for a program of a person's own; it runs as the daemon's user."""

    kind: Literal["command"] = "command"
    argv: list[str] = Field(min_length=1, max_length=10_000)
    """The program and its arguments; no shell reads them."""
    cwd: str
    """The absolute path of the folder to run in."""
    environment: dict[str, str] = {}
    """What bertd.run.machine.command_environment lets through; nobody is shown it."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """None for the program's."""
    devices: int = Field(default=0, ge=0, le=65_536)
    """Whole GPUs; 0 for cores alone."""
    memory_bytes: int | None = Field(default=None, ge=1 << 20, le=1 << 50)
    """The most that it may use of its one GPU, which it then shares; ended if it uses more. None for whole GPUs."""
    cpus: int = Field(default=1, ge=1, le=65_536)
    """Cores of a command without GPUs."""
    run: str | None = None
    """The run that it belongs to, by run id, name, job number or @."""
    time_limit_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Wall time after which it is ended."""
    retries: int = Field(default=0, ge=0, le=1000)
    """How often it is begun again when it fails or its runner dies, each time after twice as long."""
    hold: bool = False


class ProgramSubmission(Submission):
    """What the body of POST /v1/jobs has for each job that is a program of bertd."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """None for a name that says what it is of."""
    cpus: int | None = Field(default=None, ge=1, le=65_536)
    """Cores that it has."""
    time_limit_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Wall time after which it is ended."""
    retries: int = Field(default=0, ge=0, le=1000)
    """How often it is begun again when it fails, each time after twice as long."""
    hold: bool = False


class SubmitPrepare(ProgramSubmission):
    """Body of POST /v1/jobs for the making of a data set; `cpus` is the number of its processes, all cores if None."""

    kind: Literal["prepare"] = "prepare"
    arguments: list[str] = Field(min_length=1, max_length=10_000)
    """Those of `bertd data prepare`, without --out and --processes."""
    out: str
    """The absolute path of the data set; pretrainings that wait for this job may name it before it exists."""
    cwd: str
    """The absolute path of the folder that relative paths of the arguments are in."""


class SubmitEvaluate(ProgramSubmission):
    """Body of POST /v1/jobs for an evaluation; on a GPU if there is one and `cpus` is None."""

    kind: Literal["evaluate"] = "evaluate"
    run: str
    """Run id, name, job number or @, followed by @step or @0.5 (a marker) for one checkpoint; or the absolute path of
    an export."""
    shards: str | None = None
    """The absolute path of the data set; None for the run's own."""
    sequences: int | None = Field(default=None, ge=1, le=2**31)
    """At most so many of its validation split; None for as many as the run validates on."""
    sequence_length: int | None = Field(default=None, ge=8, le=8192)
    """Tokens per sequence, for an export."""
    memory_bytes: int | None = Field(default=None, ge=1 << 20, le=1 << 50)
    """The most that it may use of its GPU, which it shares; None for 8 GiB, or all of a smaller one."""


class SubmitExport(ProgramSubmission):
    """Body of POST /v1/jobs for an export of a checkpoint; it has one core if `cpus` is None."""

    kind: Literal["export"] = "export"
    run: str
    """Run id, name, job number or @, followed by @step or @0.5 (a marker) for one checkpoint."""
    out: str | None = None
    """The absolute path of the folder to make; None for exports/step-N of the run."""


LendRequest = Annotated[SubmitFinetune | SubmitGrid, Field(discriminator="kind")]
AnySubmission: TypeAlias = (
    SubmitPretrain | SubmitFinetune | SubmitGrid | SubmitCommand | SubmitPrepare | SubmitEvaluate | SubmitExport
)
Submit = Annotated[AnySubmission, Field(discriminator="kind")]
