"""Requests and responses of the socket API, used on both sides of the socket; documentation: GET /openapi.json."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from bertd.records import (
    AlertRecord,
    BudgetRecord,
    BudgetUnit,
    CheckpointRecord,
    DependencyCondition,
    DependencyState,
    DevicesRecord,
    EndRecord,
    Evaluation,
    ExportRecord,
    ForecastRecord,
    GpuReading,
    JobEnergy,
    JobKind,
    JobState,
    Keep,
    KeptCheckpoint,
    LendState,
    MarkerGridState,
    OwnTask,
    PauseKind,
    Preset,
    Record,
    ScoreRecord,
    StartRecord,
    StartupRecord,
    StepRecord,
    ValidationRecord,
    Via,
)
from bertd.records.states import HIGHEST_PRIORITY as HIGHEST_PRIORITY


class VersionView(Record):
    """The daemon that answers."""

    bertd: str
    api: int
    pid: int
    state_dir: str
    started_t: float
    read_only: str | None = None
    """Why it changes nothing, with the remedy; None in a daemon that does its work."""
    is_operator: bool | None = None
    """Whether the one who asks may change things; only in the response of /v1/version."""


class BudgetView(Record):
    """The budget of a run and what is left of it."""

    unit: BudgetUnit
    amount: float
    spent: float
    """In the budget's unit."""
    progress: float
    """Share of the budget that is spent, 0..1. A finished run has not spent all: its end took less than was kept."""
    charged_s: float
    remaining_s: float | None
    """Charged seconds until training stops: exact for hours, projected for other units; None before the speed is
    known; 0 once it is over, however much of the budget is not spent."""
    reserve_s: float | None = None
    """Charged seconds kept after those for the last validation, save and export, as the ranks measured them; None
    before they did, after the end, and for a budget of steps or sequences."""
    projected_step: int | None
    """Step at which the budget will be spent at the current speed."""


class MarkerGridView(Record):
    """A grid of finetunings that a run's recipe asks for."""

    marker: float
    """Share of the budget; 1.0 is the run's end."""
    state: MarkerGridState
    reason: str
    """Why it waits, or why there is none."""
    grid_job_id: int | None
    """Its job, once it is queued."""


class DiskQuotaView(Record):
    """What a folder takes on the disk, and what it may."""

    t: float
    """When it was measured."""
    used_bytes: int
    quota_bytes: int | None
    """None where there is no quota of this folder."""


class RunView(Record):
    """One pretraining, as read from its folder."""

    id: str
    job_id: int
    name: str
    state: JobState
    pause: PauseKind | None = None
    """How it is paused; None if it is not."""
    reason: str
    folder: str
    budget: BudgetView
    budget_change: BudgetRecord | None = None
    """The newest change of its budget."""
    devices_change: DevicesRecord | None = None
    """The newest change of its number of devices."""
    model: str
    """As text: 4 layers x 256, 4.9M parameters."""
    start_from: str | None = None
    """The model whose weights it began from, as its recipe names it; None if they were random."""
    start: StartRecord | None = None
    startup: StartupRecord | None = None
    """Where the seconds of its newest start went; None before its first step."""
    step: StepRecord | None = None
    """The newest."""
    validation: ValidationRecord | None = None
    best_validation: float | None = None
    forecast: ForecastRecord | None = None
    """The newest; None before a tenth of the budget is spent, and while the curve is not one that can be forecast."""
    checkpoint: CheckpointRecord | None = None
    kept: list[KeptCheckpoint] = []
    """Newest first; only in the response for a single run."""
    grids: list[MarkerGridView] = []
    """By marker; only in the response for a single run."""
    export: ExportRecord | None = None
    alert: AlertRecord | None = None
    end: EndRecord | None = None
    energy: JobEnergy | None = None
    """Of its GPUs; None where nothing was measured."""
    disk: DiskQuotaView | None = None
    """Of its folder; None while the configuration has no quota of the disk, and before it was measured."""
    restarts: int = 0
    steps_lost: int = 0
    """Steps that were lost and repeated, over all restarts; they stay charged."""


class DependencyView(Record):
    """One job that must have reached something before another may start."""

    job_id: int
    name: str
    """Of that job."""
    condition: DependencyCondition
    marker: float | None
    """Share of the budget, for the condition marker."""
    state: DependencyState
    is_met: bool


class LendView(Record):
    """A lend: a pretraining is paused while other jobs have its devices, and then continues by itself."""

    id: int
    state: LendState
    run_job_id: int
    """The pretraining."""
    job_ids: list[int]
    """The jobs that have its devices, or get them."""
    is_hot: bool
    """It keeps its memory meanwhile."""
    asked_by: str
    created_t: float
    expected_return_t: float | None
    """When it is expected to continue; None where a job has no known end."""


class JobView(Record):
    """One row of the queue."""

    id: int
    kind: JobKind
    name: str
    state: JobState
    pause: PauseKind | None = None
    """How it is paused; None if it is not."""
    reason: str
    """Why it is in this state, and what a person can do."""
    priority: int
    group: str | None = None
    """The group whose limits it counts for."""
    run_id: str
    """The run that it trains or starts from."""
    folder: str
    num_devices: int
    """Devices that it has or waits for; a run's can be changed while it has none."""
    devices: list[str]
    """Ids of the devices leased to it; empty while it has none."""
    memory_bytes: int | None = None
    """Of a program, the most that it may use of its GPU, which it shares; of a run, the least that each of its cards
    has. None where nothing was asked for."""
    owner_uid: int
    created_t: float
    started_t: float | None
    ended_t: float | None
    progress: float | None
    """0..1; None if it is not known."""
    expected_start_t: float | None = None
    """Of a queued job, from what the jobs before it still take; None where one of them has no known end."""
    expected_end_t: float | None = None
    """Of a job that runs or is queued, from its budget, its measured speed or its time limit; None where it is not
    known."""
    lend: LendView | None = None
    """Of a pretraining that lends its devices, and of the jobs that borrow them; None for others."""
    argv: list[str] = []
    """Of a job that is one program; only in the response for a single job. Whoever can list the
    machine's processes sees it, too."""
    after: list[DependencyView] = []
    """What it waits for, or waited for, before its start; only in the response for a single job."""
    begin_t: float | None = None
    """It starts no earlier; only in the response for a single job."""
    only: str | None = None
    """It runs in these hours of the day alone, in the daemon's local time; only in the response for a single job."""
    position: int | None = None
    """Of a queued job: 1 for the one that is served first; only in the response for a single job."""
    energy: JobEnergy | None = None
    """Of its GPUs; None where nothing was measured; only in the response for a single job."""
    software_changes: list[str] = []
    """Of a job that is to start: what differs between the software that is installed and that with which it was queued
    or last started; only in the response for a single job."""
    exit_status: int | None = None
    """Of a program that is over, negative for a signal; only in the response for a single job."""
    evaluation: Evaluation | None = None
    """Of an evaluation that is done; only in the response for a single job."""


class ConfigurationKeyView(Record):
    """One key of the daemon's configuration."""

    key: str
    """`section.key`."""
    value: bool | int | float | str | None
    """What applies; None if it is not set."""
    origin: str
    """Where `read` comes from: a file, `$VARIABLE`, `--option` or `default`."""
    read: bool | int | float | str | None
    """What was read last; another than `value` if only a start applies it."""


class HookOutcomeView(Record):
    """What became of one event on its way to a hook."""

    t: float
    """When the daemon knew it."""
    event: str
    """As in the configuration's `on`, or test."""
    event_id: int
    """Of the event in the event log."""
    is_delivered: bool
    detail: str
    """The program's or the server's answer, or why it failed."""
    num_attempts: int


class HookView(Record):
    """One hook of the daemon's configuration."""

    name: str
    kind: Literal["command", "url", "unix"]
    target: str
    """The program, the URL's host, or the socket; no arguments and no path of a URL, which may hold secrets."""
    events: list[str]
    """Those that call it."""
    is_signed: bool
    num_waiting: int
    """Events that wait for it."""
    newest: HookOutcomeView | None
    """None before the first."""
    newest_test: HookOutcomeView | None


class HookTestView(Record):
    """A test event on its way to a hook; its outcome is `newest_test` of the hook once that has this event's id."""

    hook: str
    event_id: int
    timeout_s: float
    """After which the delivery is broken off."""


class GarbageRequest(Record):
    """What of ended jobs is to be found, or deleted."""

    jobs: list[str] = []
    """Names or numbers; none for all that have ended."""
    older_than_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Only of jobs that ended at least so long ago."""
    all_checkpoints: bool = False
    """Of runs that are done and have an export, the newest checkpoint, too."""


class GarbageView(Record):
    """One folder of an ended job that nothing needs."""

    job_id: int
    run_id: str
    what: str
    """As text: checkpoint, state after an epoch."""
    folder: str
    size_bytes: int


class GarbageDeletedView(Record):
    """What was deleted."""

    deleted: list[GarbageView]


class AuditView(Record):
    """One change that somebody asked for, whether it was done or not."""

    id: int
    t: float
    user: str
    """The peer's user name; its uid if the machine has no such user."""
    uid: int
    pid: int
    """Of the peer when it connected."""
    request: str
    """Method and path."""
    key: str | None
    """The idempotency key, by which a repeated request is known."""
    status: int
    """The HTTP status of the answer."""
    outcome: str
    """`done`, or why not."""


class DeviceProcess(Record):
    """A process that uses a GPU."""

    pid: int
    user: str
    name: str
    memory_bytes: int | None
    """On the GPU; None where the driver does not say."""
    job_id: int | None = None
    """The job that it is of; None where it is of none, or that cannot be seen."""


class DeviceView(Record):
    """One GPU, or the CPU if there is no GPU."""

    id: str
    """cpu, or the GPU's UUID."""
    kind: Literal["cpu", "gpu"]
    name: str
    utilization: float | None
    """0..1. nvidia-smi: utilization.gpu."""
    memory_used_bytes: int | None
    """nvidia-smi: memory.used."""
    memory_total_bytes: int | None
    """nvidia-smi: memory.total."""
    temperature_c: float | None
    """nvidia-smi: temperature.gpu."""
    power_w: float | None
    """nvidia-smi: power.draw."""
    job_id: int | None
    """The job that it is leased to; the oldest of several."""
    job_ids: list[int] = []
    """All jobs that it is leased to: finetunings may share a GPU."""
    foreign_processes: list[DeviceProcess] = []
    """Those that use a GPU that no job has: they are not of this daemon."""
    drained_by: str | None = None
    """Who took it out of service, so that it starts no more jobs; None while it is in service."""
    health: Literal["ok", "not_answering", "failing", "lost"] = "ok"
    """Unless it is ok, it has no readings and starts no job. not_answering: a call of its driver does not return;
    failing: its driver answers with an error."""
    health_text: str = ""
    """What is wrong, and since when."""
    health_since_t: float | None = None
    gpu: GpuReading | None = None
    """All readings of a GPU; None for the CPU, and for a GPU that is not ok."""
    processes: list[DeviceProcess] = []
    """All that compute on a GPU."""


class MachineView(Record):
    """The machine apart from its GPUs."""

    num_cores: int = Field(description="Logical cores.")
    load_1m: float = Field(description="Processes that ran or waited for a core, mean over a minute.")
    memory_used_bytes: int = Field(description="Bytes that are not available to a new program.")
    memory_total_bytes: int = Field(description="Bytes.")
    swap_used_bytes: int = Field(description="Bytes.")
    disk_free_bytes: int = Field(description="Bytes on the disk of the state folder.")
    disk_total_bytes: int = Field(description="Bytes on the disk of the state folder.")
    disk_read_bytes_per_s: float | None = Field(default=None, description="Bytes per second, of all disks.")
    disk_write_bytes_per_s: float | None = Field(default=None, description="Bytes per second, of all disks.")
    network_received_bytes_per_s: float | None = Field(default=None, description="Bytes per second, all interfaces.")
    network_sent_bytes_per_s: float | None = Field(default=None, description="Bytes per second, all interfaces.")
    cpu_power_w: float | None = Field(
        default=None, description="Watts of all CPU packages, by RAPL; None where it cannot be read."
    )


class EventView(Record):
    """One row of the daemon's event log; ids rise and never repeat."""

    id: int
    t: float
    type: str
    """The journal record's kind, or what else it is of: job (a change of the queue), device, grid, lending, sweep,
    milestone, hook, garbage, quota, configuration."""
    job_id: int | None
    run_id: str | None
    text: str
    """One line of text."""
    data: dict[str, object]
    """The record itself."""


SeriesAxis = Literal["progress", "step", "sequences", "tokens", "charged_s", "wall_s"]
"""progress is a share of the budget; tokens count padding; wall_s is since the first start, pauses included."""


class PositionsView(Record):
    """Where a run was on every axis at some times, which rise: the lists are of the same length."""

    began_t: float
    """Unix seconds at which wall_s is 0."""
    t: list[float]
    """Unix seconds."""
    charged_s: list[float]
    progress: list[float]
    step: list[int]
    """Lower than before where steps were repeated after a restart, as `sequences`."""
    sequences: list[int]


class SeriesView(Record):
    """Curves of one run, downsampled to about `points` bins; the smallest and largest value of each bin are kept."""

    run_id: str
    x: SeriesAxis
    columns: dict[str, list[tuple[float, float]]]
    """Metric to [x, y] pairs in order of x; y is NaN at a pause, a restart or a NaN value."""
    smoothed: dict[str, list[tuple[float, float]]] = {}
    """The same, smoothed, if that was asked for: the mean of the values at and before x, weighted by 2^(-d/h), where d
    is their distance in x and h the half-life that was asked for."""
    records_per_bin: int = 1
    """Step records of which at most two were kept, before the thinning to `points`; 1 where all were."""
    positions: PositionsView | None = None
    """About `points` positions over the whole run, if they were asked for. The ends of all time that was not charged
    are among them."""


class ScoreView(Record):
    """One score with the job it came from."""

    job_id: int
    run_id: str
    score: ScoreRecord
    dropped_after: int | None = None
    """Seeds after which a grid's halving dropped the trial's setting; None if it did not."""


class LogView(Record):
    """A part of a job's log."""

    text: str
    """Decoded as UTF-8, with invalid bytes replaced; control characters are still in it."""
    offset: int
    """Byte at which the part begins."""
    next_offset: int
    """Byte at which the next part begins."""
    size: int
    """Size of the log in bytes."""


class StartAccuracyView(Record):
    """How right the expected starts were, since the daemon began."""

    num_checked: int
    """Jobs that waited, had an expected start, and started."""
    num_wrong: int
    """Of these, those that started earlier or later than expected by more than a quarter of the wait, and a minute."""


class StatusView(Record):
    """Everything on the first screen, in one response."""

    version: VersionView
    runs: list[RunView]
    """Runs that are not over, and the newest one that is over; all that have ranks, at most 50 in all."""
    num_runs: int = 0
    """All runs that are not over, shown or not."""
    jobs: list[JobView]
    """All that have devices, then those next in the queue; at most 50. Newest first, with ended ones last."""
    num_jobs_by_state: dict[JobState, int] = {}
    """All jobs, shown or not; empty from a daemon of an earlier bertd."""
    devices: list[DeviceView]
    start_accuracy: StartAccuracyView | None = None
    """None from a daemon of an earlier bertd."""
    machine: MachineView | None = None
    """None from a daemon of an earlier bertd."""
    disk_quota: DiskQuotaView | None = None
    """Of the folders of all jobs; None where the configuration has no such quota, and before it was measured."""
    events: list[EventView]
    """The newest 20, oldest first."""

    @property
    def num_jobs(self) -> int:
        """All jobs, shown or not."""
        return max(len(self.jobs), sum(self.num_jobs_by_state.values()))


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


class ChangeRequest(Record):
    """Body of POST /v1/jobs/{id}/change: what a job waits for, when it may run, and its group; null leaves it as it
    is."""

    after: DependencyNames | None = None
    """As in a submission, of a job that never ran, in place of what it was given; an empty list for nothing."""
    after_any: DependencyNames | None = None
    """As `after`."""

    begin: str | None = Field(default=None, min_length=1, max_length=100)
    """As in a submission, of a job that waits; none for at once."""
    only: str | None = Field(default=None, min_length=1, max_length=100)
    """As in a submission, also of a job that runs; none for the whole day."""
    group: GroupName | None = None
    """Of a job that waits; none for no group."""


class CloneRequest(Record):
    """Body of POST /v1/jobs/{id}/clone: what is other than in the job that is cloned."""

    settings: Annotated[list[str], Field(max_length=1_000)] = []
    """KEY=VALUE: of a run section.key of its recipe, of other jobs a key of what was submitted, such as lr or argv."""
    priority: Priority | None = None
    """Null for that of the job."""
    group: GroupName | None = None
    """Null for that of the job."""
    after: DependencyNames = []
    """As in a submission; what the job waited for is not taken over, nor are its times."""
    after_any: DependencyNames = []
    begin: str | None = Field(default=None, min_length=1, max_length=100)
    only: str | None = Field(default=None, min_length=1, max_length=100)
    hold: bool = False
    """Of a run or a command."""


class RecipeView(Record):
    """The recipe of a run."""

    run_id: str
    toml: str
    """Resolved, with every value."""


class MoveRequest(Record):
    """Body of POST /v1/jobs/{id}/move: where a waiting job goes in the queue."""

    to: Literal["before", "after", "first", "last"]
    """It gets the priority of the job that it is placed next to, where its own does not fit there."""
    job: str | None = Field(default=None, min_length=1, max_length=200)
    """The job before or after which it is placed; null for first and last."""

    @model_validator(mode="after")
    def _require_a_job_where_one_is_needed(self) -> Self:
        if (self.job is not None) != (self.to in ("before", "after")):
            raise ValueError("give a job with before and after, and none with first and last")
        return self


class GridEstimateView(Record):
    """What a grid would take, if it had its devices now."""

    num_trials: int
    num_trials_by_task: dict[str, int]
    device_kind: Literal["cpu", "gpu"]
    num_devices: int
    num_workers: int
    """Trials that run at the same time."""
    wall_s: float | None
    """Until the last trial of the measured tasks ends; None if no task was measured."""
    device_hours: float | None
    """Of all devices for that time: GPU-hours, or core-hours."""
    unmeasured: list[str]
    """Tasks of which no trial with a model of this size has run on this machine."""
    assumed: dict[str, list[int]] = {}
    """By measured task: batch sizes of which none has. An epoch is taken to need as long as with the nearest one."""


class LendEstimateView(Record):
    """What a finetuning with `now` would do to a pretraining, and what that costs."""

    run_job_id: int | None
    """The pretraining that is paused; None if none has to be."""
    run_id: str | None
    lend: int | None
    """The lend that it joins, if the pretraining is paused for another job already."""
    is_hot: bool
    num_devices: int
    """That the job gets."""
    save_s: float | None
    """Charged seconds to save, as its newest checkpoint took; 0 if nothing is charged, None if it has none."""
    start_s: float | None
    """Charged seconds until it trains again, as its newest start took."""
    charged_s: float | None
    """Both; None if one is not known."""
    remaining_s: float | None
    """Charged seconds that it has left to train; None where that is not known."""
    wall_s: float | None
    """How long the job is expected to take; None where nothing like it was measured."""


LendRequest = Annotated[SubmitFinetune | SubmitGrid, Field(discriminator="kind")]
AnySubmission: TypeAlias = (
    SubmitPretrain | SubmitFinetune | SubmitGrid | SubmitCommand | SubmitPrepare | SubmitEvaluate | SubmitExport
)
Submit = Annotated[AnySubmission, Field(discriminator="kind")]


class ErrorView(Record):
    """What the client reads of a response that is not 2xx; bertd.api.problem has all of its members."""

    code: str
    """The error's class name, stable for scripts."""
    message: str
    """Place, value and remedy."""
