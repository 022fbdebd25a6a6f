"""The records of a journal: one JSON object a line in `journal.jsonl`, distinguished by `kind`."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from bertd.records.commands import Command, CommandKind
from bertd.records.energy import JobEnergy
from bertd.records.finetune import Via
from bertd.records.record import Record
from bertd.records.states import BudgetUnit, ExitClass, JobState


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
    """Why this size was chosen."""
    accumulation: int
    """Forward passes of one rank in the next step."""
    empty_rows: int = 0
    """Padding rows of that step over all ranks: they give every rank the same shapes and predict nothing."""
    attention: str = ""
    """The preferred attention backend, by PyTorch's name; empty if there is no choice."""
    attention_reason: str = ""
    """Why this backend was chosen."""
    sequence_length: int
    train_sequences: int
    """Sequences in one epoch."""
    validation_sequences: int
    """Sequences in the fixed validation set."""
    start_from: str | None = None
    """Class and place of the checkpoint with this attempt's initial weights; None if they are random, or if it resumes
    from the run's own checkpoint."""
    boot_id: str | None = None
    """The kernel's id of this boot: if it differs between two attempts, the machine was restarted in between."""


class StartupRecord(Record):
    """The first step of an attempt is done: where its seconds until then went, on rank 0. They are charged."""

    kind: Literal["startup"] = "startup"
    t: float
    attempt: int
    step: int
    """Updates done, this one included."""
    charged_s: float
    choose_s: float
    """Choosing what the recipe leaves open, with all trials."""
    build_s: float
    """Building the model, reading the checkpoint and passing a micro-batch of a measured size, without compiling."""
    compile_s: float
    """Compiling the run's own graphs, wherever that was."""
    first_step_s: float
    """The first update, without compiling."""
    total_s: float
    """From the launch of the rank's process to the end of that update; the rest is imports, waiting for other ranks,
    the first validation and the first save."""


class StepRecord(Record):
    """One optimizer update; at most one record a second."""

    kind: Literal["step"] = "step"
    t: float
    step: int
    """Updates done, this one included."""
    sequences: int
    """Sequences consumed since the start of the run; repeated ones are not counted twice."""
    charged_s: float
    progress: float
    """Share of the budget that is spent, 0..1."""
    loss: float
    """Mean masked-token cross-entropy in nats over the steps since the last step record."""
    lr: float
    """Learning rate of this update."""
    grad_norm: float
    """Global L2 norm of the gradient of this update, before clipping."""
    sequences_per_s: float
    """Over all ranks, since the last step record."""
    tokens_per_s: float
    """Tokens, padding included, fed to the encoder over all ranks, since the last step record."""
    mfu: float | None = None
    """Model FLOP/s divided by the device's peak, 0..1; None if the peak is not known."""
    data_wait: float = 0.0
    """Share of the time since the last step record that rank 0 waited for data, 0..1."""
    loss_scale: float | None = None
    """fp16 only."""
    skipped_steps: int = 0
    """fp16 only: updates skipped for overflow since the start of the run."""
    memory_bytes: int | None = None
    """Peak device memory of rank 0; on CPU its peak resident set."""
    reserve_s: float | None = None
    """Charged seconds that a timed budget keeps for its last validation, save and export, as measured so far; None for
    a budget of steps or sequences."""


class ValidationRecord(Record):
    """A validation: the loss on the fixed validation set with its fixed masks."""

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
    """Nats: loss on the same tokens of a guess by each token's frequency in the training text."""
    unigram_entropy: float
    """Nats: loss of a guess by each token's frequency among these same tokens, which no model can know."""
    seconds: float
    reserve_s: float | None = None
    """As in a step record."""
    share: float = 1.0
    """Share of the validation sequences that was used, 0..1; below 1 only in the last validation of a timed budget, if
    the time left was too short for all of them."""


class TypicalLoss(Record):
    """Where earlier runs of the same recipe and the same budget stood at the same share of it."""

    loss: float
    """Mean validation loss in nats."""
    spread: float | None
    """Standard deviation over the runs; None for a single one."""
    num_runs: int


class ForecastRecord(Record):
    """The validation loss that the run is expected to end with, made after a validation; see docs/forecast.md."""

    kind: Literal["forecast"] = "forecast"
    t: float
    step: int
    charged_s: float
    progress: float
    """Share of the budget that is spent, 0..1."""
    loss: float
    """Nats: of the last validation."""
    low: float
    """Nats: the last validation is above it with 90 %."""
    high: float
    """Nats: below it with 90 %, so the band holds in 80 % of runs."""
    end_step: int
    """Steps at the end, at the speed so far."""
    curve: list[tuple[float, float]]
    """The expected way there: shares of the budget, from `progress` to 1, each with the validation loss in nats."""
    basis: str
    """Where the parts of the law come from that this run cannot show yet."""
    typical: TypicalLoss | None = None
    """None if no such run is over."""
    target_loss: float | None = None
    """The recipe's `validation.target_loss`."""
    target_amount: float | None = None
    """The budget that is expected to reach it, in the budget's unit; None without a target, or if no budget up to a
    hundred times this one does."""


class CheckpointRecord(Record):
    """A resumable checkpoint is on disk, complete and verified."""

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
    """How long training was stopped for it: until its copy had begun, and while a step waited for the copy's end; or
    all of it if the run waited."""
    why: str
    """start, interval, pause, stop, command, marker or end."""
    write_s: float = 0.0
    """How long the writer took in the background: to write, flush, read back and rename."""
    stall_share: float = 0.0
    """Share of the charged time so far that training was stopped for checkpoints, 0..1."""
    skipped: int = 0
    """Checkpoints skipped so far because the one before was still being written."""
    sequences: int | None = None
    """Sequences consumed so far; None in records of versions without the field."""


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
    """paused; or running, when suspended ranks resume."""
    reason: str
    is_hot: bool = False
    """The ranks are suspended between two steps and keep their memory; nothing is charged until they resume."""
    monotonic_s: float | None = None
    """When ranks resume: CLOCK_MONOTONIC at which charging began again."""


class CommandRecord(Record):
    """Acknowledges one mailbox entry."""

    kind: Literal["command"] = "command"
    t: float
    step: int
    number: int
    verb: CommandKind
    outcome: Literal["done", "refused"]
    detail: str

    @classmethod
    def answer(
        cls, command: Command, *, t: float, step: int, outcome: Literal["done", "refused"], detail: str
    ) -> CommandRecord:
        """The record that acknowledges this command."""
        return cls(t=t, step=step, number=command.number, verb=command.verb, outcome=outcome, detail=detail)


class BudgetRecord(Record):
    """The budget was changed; the schedule continues from its position, see bertd.run.budget."""

    kind: Literal["budget"] = "budget"
    t: float
    step: int
    sequences: int
    charged_s: float
    unit: BudgetUnit
    before: float
    """Amount before the change, in `unit`."""
    after: float
    spent: float
    """Spent when the change was made, in `unit`."""


class DevicesRecord(Record):
    """The run continues on another number of devices; its recipe.toml has the new number from here on."""

    kind: Literal["devices"] = "devices"
    t: float
    step: int
    """Newest step at the change."""
    charged_s: float
    before: int
    """Ranks before the change."""
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
    command: int | None = None
    """Number of the mailbox command that asked for it, which this acknowledges."""

    @classmethod
    def asked(cls, command: Command, *, t: float, step: int) -> AlertRecord:
        """The record that a command of kind alert asks for."""
        assert command.alert is not None
        request = command.alert
        return cls(
            t=t, step=step, level=request.level, code=request.code, message=request.message, command=command.number
        )


class RestartRecord(Record):
    """The ranks died and are being started again."""

    kind: Literal["restart"] = "restart"
    t: float
    step: int
    """Last step in the journal."""
    attempt: int
    """Number of the next attempt."""
    cause: str
    delay_s: float
    from_step: int
    """Step of the checkpoint the attempt resumes from."""
    charged_s: float
    exit_class: ExitClass = ExitClass.TRANSIENT


class RollbackRecord(Record):
    """The loss diverged: the weights are those of a checkpoint again, and the batches since are skipped."""

    kind: Literal["rollback"] = "rollback"
    t: float
    step: int
    """Step of the checkpoint that was loaded."""
    sequences: int
    """Where training continues: sequences consumed, including the skipped ones."""
    charged_s: float
    from_step: int
    """Steps done when the divergence was detected."""
    skipped_sequences: int
    """Sequences after the checkpoint that will not be trained on again."""
    cause: str
    number: int
    """Counts the run's rollbacks, from 1."""


class ScoreRecord(Record):
    """The score of one finetuning on a task's development set."""

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
    via: Via | None = None
    """The task on which it was finetuned before; None for a start from the export itself."""
    seconds: float
    training_s: float | None = None
    """Of `seconds`, those in updates, in the attempt that ended; None in records of older versions."""
    precision: str | None = None
    """Number format of the matrix products: bf16, fp16 or fp32; None in records of older versions."""
    chosen_epoch: int | None = None
    """The epoch that is scored, from 1: the one with the best `chosen_by` on the development set, of equals the first.
    None in records of older versions, which scored the last epoch."""
    chosen_by: str | None = None
    """The metric, of the first development set."""
    epoch_scores: list[float] | None = None
    """`chosen_by` after each epoch."""
    last_metrics: dict[str, float] | None = None
    """Every metric after the last epoch, which no choice on the development set has raised."""
    dev: str | None = None
    """The development set: its file, or which share of which file was held out."""
    kept: str | None = None
    """Folder of the finetuned model, if it is kept."""
    max_length: int | None = None
    """Tokens in one input at most; None in records of older versions."""
    stride: int | None = None
    """Tokens of the context from the beginning of a window to that of the next, at most; None for what has no windows.
    It is less where the question leaves less than twice as many."""
    null_threshold: float | None = None
    """SQuAD 2.0: log-odds of no answer above which a question gets none. Chosen on the development set for the best F1
    of the scored epoch, so it raises the score there."""
    trial: str | None = None
    """Name of the grid's trial, in the journal of a grid."""


class GridRecord(Record):
    """How far a grid of finetunings is; written when it begins to run and at the end of each trial."""

    kind: Literal["grid"] = "grid"
    t: float
    step: int
    """Trials that are over."""
    num_trials: int
    num_failed: int
    """Of those that are over, the ones without a score, but for dropped ones."""
    num_dropped: int = 0
    trial: str | None = None
    """Name of the one that has just ended."""
    outcome: Literal["scored", "diverged", "failed", "dropped"] | None = None
    """diverged: its loss is not finite, and would not be again; failed: `bertd resume` tries it again; dropped: it was
    not run, because halving has dropped its setting."""
    detail: str = ""
    """Why it has no score."""
    remaining_s: float | None = None
    """Until the grid is over, from the trials that were measured; None while a task has none."""
    unmeasured: list[str] = []
    """Those tasks."""


class LendRecord(Record):
    """The run was paused so that other jobs could have its devices, and is about to continue."""

    kind: Literal["lend"] = "lend"
    t: float
    step: int
    """At which it was paused."""
    lend: int
    """Number of the lend."""
    jobs: list[int]
    """Numbers of the jobs."""
    asked_by: str
    began_t: float
    wall_s: float
    """From the request until now. Of it only the save was charged; the record `startup` that follows has what the start
    costs."""
    save_s: float | None
    """Charged seconds of the save; None if nothing had to be saved, or the processes died before they could."""
    detail: str
    """Why the lend is over."""


class EndRecord(Record):
    """The job is over."""

    kind: Literal["end"] = "end"
    t: float
    step: int
    sequences: int
    charged_s: float
    reason: Literal["budget", "stopped", "failed", "finished"]
    """budget: it was spent; stopped: by a person or a rule; finished: a finetuning completed."""
    detail: str
    lr: float | None = None
    """Learning rate of the schedule at the end: 0 if the budget was spent."""
    validation_loss: float | None = None
    validation_share: float = 1.0
    """Share of the validation sequences that it is the loss of, as in a validation record."""
    export: str | None = None
    """Folder under exports/."""
    energy: JobEnergy | None = None
    """As the daemon had measured it, at most half a minute before; None where nothing was measured."""


JournalRecord = Annotated[
    StartRecord
    | StartupRecord
    | StepRecord
    | ValidationRecord
    | ForecastRecord
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
    | GridRecord
    | LendRecord
    | EndRecord,
    Field(discriminator="kind"),
]
journal_record_adapter: TypeAdapter[JournalRecord] = TypeAdapter(JournalRecord, config=ConfigDict(defer_build=True))
