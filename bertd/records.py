"""What crosses a process by way of files: journal lines, mailbox commands, hand-overs.

bertd/api/models.py has what crosses the socket.

All are frozen and tolerate unknown fields, so an older reader can read a newer writer. Times that end in `_s`
are seconds; `t` is seconds since the epoch (UTC) and is for showing only: durations come from the charged clock.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Record(BaseModel):
    """A frozen value that tolerates fields of a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants", defer_build=True)


# ---- Words ---------------------------------------------------------------------------------------


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


class CommandKind(StrEnum):
    """What a mailbox command asks of a running job."""

    PAUSE = "pause"
    CHECKPOINT = "checkpoint"
    STOP = "stop"
    BUDGET = "budget"
    SUSPEND = "hold"
    """Pause hot: stand still between two steps, memory kept."""
    RESUME = "resume"
    """Train on after a hold."""


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


# ---- Journal: one record a line in journal.jsonl -------------------------------------------------


class StartRecord(Record):
    """The ranks of one attempt are up and will train."""

    kind: Literal["start"] = "start"
    t: float
    attempt: int
    """1 for the first launch of this run, counted over pauses and restarts."""
    step: int
    """Steps done before this attempt: 0, or the step of the checkpoint it resumes from."""
    sequences: int
    charged_s: float
    world_size: int
    device: str
    """cpu or cuda."""
    device_name: str
    precision: str
    kernels: str
    kernels_reason: str
    """Why these kernels were chosen."""
    num_parameters: int
    micro_batch: int
    """Sequences in one forward pass of one rank."""
    micro_batch_reason: str = ""
    """Why that many."""
    accumulation: int
    """Forward passes of one rank in the next step."""
    empty_rows: int = 0
    """Of that step over all ranks: computed so that every rank does the same, and predicting nothing."""
    attention: str = ""
    """The kernel that attention prefers, by PyTorch's name for the backend; empty where there is no choice."""
    attention_reason: str = ""
    """Why that one."""
    sequence_length: int
    train_sequences: int
    """Sequences in one epoch."""
    validation_sequences: int
    """Sequences in the fixed validation set."""
    start_from: str | None = None
    """Class and place of the checkpoint that this attempt took its first weights from; None where it drew them, or
    resumed the run's own."""
    boot_id: str | None = None
    """The kernel's name for this boot: where two attempts differ in it, the machine went down in between."""


class StepRecord(Record):
    """One optimizer update; at most one record a second."""

    kind: Literal["step"] = "step"
    t: float
    step: int
    """Updates done, this one included."""
    sequences: int
    """Sequences consumed since the start of the run, replayed ones not counted twice."""
    charged_s: float
    progress: float
    """Share of the budget that is spent, 0..1."""
    loss: float
    """Mean masked-token cross-entropy in nats over the steps since the last record."""
    lr: float
    """Learning rate of this update."""
    grad_norm: float
    """Global L2 norm of the gradient of this update, before clipping."""
    sequences_per_s: float
    """Over all ranks, since the last record."""
    tokens_per_s: float
    """Positions fed to the encoder over all ranks, since the last record."""
    mfu: float | None = None
    """Model FLOP/s over the device's known peak, 0..1; None where the peak is not known."""
    data_wait: float = 0.0
    """Share of the time since the last record that rank 0 waited for data, 0..1."""
    loss_scale: float | None = None
    """fp16 only."""
    skipped_steps: int = 0
    """fp16 only: updates skipped for overflow since the start of the run."""
    memory_bytes: int | None = None
    """Peak device memory of rank 0; on CPU its resident set."""


class ValidationRecord(Record):
    """The fixed validation set under its fixed masks."""

    kind: Literal["validation"] = "validation"
    t: float
    step: int
    sequences: int
    charged_s: float
    progress: float
    loss: float
    """Mean masked-token cross-entropy in nats."""
    num_tokens: int
    """Masked tokens that were predicted."""
    unigram_loss: float = math.nan
    """Nats: what a guess by how often each token stands in the training text scores on the same tokens."""
    unigram_entropy: float
    """Nats: what a guess by how often each token is among these very tokens would score; nobody can know that."""
    seconds: float


class CheckpointRecord(Record):
    """A resumable checkpoint is on disk, whole."""

    kind: Literal["checkpoint"] = "checkpoint"
    t: float
    step: int
    charged_s: float
    name: str
    """Folder under checkpoints/."""
    size_bytes: int
    seconds: float
    """From the decision to the rename."""
    stall_s: float
    """How long training stood still for it: until its copy had begun and where a step waited for the copy's end; or all
    of it where the run waited."""
    why: str
    """start, interval, pause, stop, command, marker or end."""
    write_s: float = 0.0
    """How long the writer took besides the training: to write, flush, read back and rename."""
    stall_share: float = 0.0
    """Share of the charged time so far that training stood still for checkpoints, 0..1."""
    skipped: int = 0
    """Checkpoints left out so far because the one before was still being written."""
    sequences: int | None = None
    """Trained on so far; None in what was written before it was told."""


class ExportRecord(Record):
    """A folder that stock transformers loads is on disk."""

    kind: Literal["export"] = "export"
    t: float
    step: int
    charged_s: float
    name: str
    """Folder under exports/."""
    architecture: str
    """Class name in transformers."""
    seconds: float
    markers: list[float] = []
    """The markers it was written at, as shares of the budget; none for the one at the end."""


class StateRecord(Record):
    """The run changed its state by itself."""

    kind: Literal["state"] = "state"
    t: float
    step: int
    charged_s: float
    state: JobState
    """paused; or running, where ranks that were held go on."""
    reason: str
    is_hot: bool = False
    """The ranks hold between two steps and keep their memory; nothing is charged until they go on."""
    monotonic_s: float | None = None
    """Of ranks that go on: CLOCK_MONOTONIC at which charging began again."""


class CommandRecord(Record):
    """Acknowledges one mailbox entry."""

    kind: Literal["command"] = "command"
    t: float
    step: int
    number: int
    verb: CommandKind
    outcome: Literal["done", "refused"]
    detail: str


class BudgetRecord(Record):
    """The budget was changed; the schedule goes on from where it stood, see bertd.run.budget."""

    kind: Literal["budget"] = "budget"
    t: float
    step: int
    sequences: int
    charged_s: float
    unit: BudgetUnit
    before: float
    """Granted until then, in `unit`."""
    after: float
    spent: float
    """At the change, in `unit`."""


class DevicesRecord(Record):
    """The run goes on on another number of devices; its recipe.toml has that from here on."""

    kind: Literal["devices"] = "devices"
    t: float
    step: int
    """Newest step by then."""
    charged_s: float
    before: int
    """Ranks until then."""
    after: int


class AlertRecord(Record):
    """Something a person should know now."""

    kind: Literal["alert"] = "alert"
    t: float
    step: int
    level: Literal["warning", "error"]
    code: str
    """Stable, for scripts: loss_spike, disk_full, checkpoint_skipped, ..."""
    message: str
    """What happened, where, and the remedy."""


class RestartRecord(Record):
    """The ranks died and are being started again."""

    kind: Literal["restart"] = "restart"
    t: float
    step: int
    """Last step the journal had."""
    attempt: int
    """The attempt that begins."""
    cause: str
    delay_s: float
    from_step: int
    """Step of the checkpoint the attempt resumes from."""
    charged_s: float
    exit_class: ExitClass = ExitClass.TRANSIENT


class RollbackRecord(Record):
    """The loss went wrong: the weights are those of a checkpoint again, and the batches since are left out."""

    kind: Literal["rollback"] = "rollback"
    t: float
    step: int
    """Of the checkpoint gone back to."""
    sequences: int
    """Where training goes on: sequences consumed, those left out among them."""
    charged_s: float
    from_step: int
    """Steps done when it was noticed."""
    skipped_sequences: int
    """Behind the checkpoint, not to be seen again."""
    cause: str
    number: int
    """1 for the run's first."""


class ScoreRecord(Record):
    """One trial's score on a task's development set."""

    kind: Literal["score"] = "score"
    t: float
    task: str
    metric: str
    """The task's headline metric."""
    score: float
    majority_score: float
    """The same metric when every example gets the most common training label (the mean, for a regression)."""
    metrics: dict[str, float]
    """Every metric of the task by name."""
    majority_metrics: dict[str, float]
    num_train: int
    num_dev: int
    seed: int
    lr: float
    batch_size: int
    epochs: int
    source: str
    """The export that was finetuned: run/step, or a path."""
    seconds: float


class EndRecord(Record):
    """The job is over."""

    kind: Literal["end"] = "end"
    t: float
    step: int
    sequences: int
    charged_s: float
    reason: Literal["budget", "stopped", "failed", "finished"]
    """budget: it was spent; stopped: a person asked; finished: a finetuning came to its end."""
    detail: str
    lr: float | None = None
    """Learning rate the schedule gives at the end: 0 where the budget was spent."""
    validation_loss: float | None = None
    export: str | None = None
    """Folder under exports/."""


JournalRecord = Annotated[
    StartRecord
    | StepRecord
    | ValidationRecord
    | CheckpointRecord
    | ExportRecord
    | StateRecord
    | CommandRecord
    | BudgetRecord
    | DevicesRecord
    | AlertRecord
    | RestartRecord
    | RollbackRecord
    | ScoreRecord
    | EndRecord,
    Field(discriminator="kind"),
]
journal_record_adapter: TypeAdapter[JournalRecord] = TypeAdapter(JournalRecord, config=ConfigDict(defer_build=True))

# ---- Mailbox and process hand-over ---------------------------------------------------------------


class BudgetRequest(Record):
    """What a run's budget shall be: body of POST /v1/runs/{id}/budget, and of the command that it becomes."""

    # FastAPI silences pydantic while it reads its routes, not at the first request, when a deferred body is built.
    model_config = ConfigDict(defer_build=False)

    unit: BudgetUnit
    """The recipe's; a budget keeps its unit."""
    amount: Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
    """All of it, what is spent included."""


class Command(Record):
    """One entry of a job's mailbox."""

    number: int
    """From 1, without gaps."""
    t: float
    verb: CommandKind
    asked_by: str
    """Who asked: uid and name, or the daemon."""
    budget: BudgetRequest | None = None
    """With the verb budget."""


class RunnerIdentity(Record):
    """Who runs a job, written by the runner before it starts anything."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat: with the pid and boot_id it names one process for ever."""
    boot_id: str


class Outcome(Record):
    """How a runner ended, written whole as its last act."""

    state: JobState
    """done, paused, failed or cancelled."""
    reason: str
    """For a person: what happened and what can be done."""
    exit_code: int


GLUE_TASKS = ("cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli")
"""Names of the tasks of bertd.glue.tasks, for who may not import it."""


class FinetuneSpec(Record):
    """What a finetune job does; `finetune.json` in its folder."""

    task: str
    """One of GLUE_TASKS."""
    data_dir: str
    """Absolute path of a folder in GLUE's TSV layout (DATA/CoLA/train.tsv ...)."""
    source: str
    """Absolute path of the export folder to start from."""
    source_name: str
    """The same for people: run/step."""
    seed: int = 42
    lr: float = 5e-5
    batch_size: int = 32
    epochs: int = 3
    weight_decay: float = 0.1
    warmup: float = 0.06
    max_length: int = 128


class KeptCheckpoint(Record):
    """One checkpoint of a run, and why it was not deleted."""

    name: str
    """Folder under checkpoints/; the export of a marker has the same name under exports/."""
    step: int
    progress: float
    """Share of the budget that was spent, 0..1."""
    size_bytes: int
    validation_loss: float | None
    """The newest when it was saved."""
    markers: list[float]
    """Shares of the budget that it was saved at."""
    reasons: list[str]
    """For people: newest, marker 0.5, best validation loss 1.912 of step 1200."""


class KeptCheckpoints(Record):
    """Content of `checkpoints/kept.json`, written behind each checkpoint."""

    checkpoints: list[KeptCheckpoint] = []
    """Newest first."""
