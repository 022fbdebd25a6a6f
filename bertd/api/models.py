"""What the socket API takes and gives; docs: GET /openapi.json. Frozen, and the same on both sides of the socket."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bertd.records import (
    AlertRecord,
    BudgetRecord,
    BudgetUnit,
    CheckpointRecord,
    DevicesRecord,
    EndRecord,
    ExportRecord,
    JobKind,
    JobState,
    KeptCheckpoint,
    PauseKind,
    Record,
    ScoreRecord,
    StartRecord,
    StepRecord,
    ValidationRecord,
)

API_VERSION = 1


class VersionView(Record):
    """Who answers."""

    bertd: str
    api: int
    pid: int
    state_dir: str
    started_t: float


class BudgetView(Record):
    """What was granted and what is left."""

    unit: BudgetUnit
    amount: float
    spent: float
    """In the budget's unit."""
    progress: float
    """0..1."""
    charged_s: float
    remaining_s: float | None
    """Charged seconds until training stops: exact for hours, projected for the rest; None before there is a speed."""
    reserve_s: float | None = None
    """Charged seconds that are kept after those for the last validation, save and export, as the ranks measured them;
    None before they did, after the end, and for a budget of steps or sequences."""
    projected_step: int | None
    """Step at which the budget will be spent at the present speed."""


class RunView(Record):
    """One pretraining as its folder tells it."""

    id: str
    job_id: int
    name: str
    state: JobState
    pause: PauseKind | None = None
    """How it is paused, where it is."""
    reason: str
    folder: str
    budget: BudgetView
    budget_change: BudgetRecord | None = None
    """The newest, where it was changed."""
    devices_change: DevicesRecord | None = None
    """The newest, where it went on on another number of them."""
    model: str
    """For people: 4 layers x 256, 4.9M parameters."""
    start: StartRecord | None = None
    step: StepRecord | None = None
    """The newest."""
    validation: ValidationRecord | None = None
    best_validation: float | None = None
    checkpoint: CheckpointRecord | None = None
    kept: list[KeptCheckpoint] = []
    """Newest first; only where one run was asked for."""
    export: ExportRecord | None = None
    alert: AlertRecord | None = None
    end: EndRecord | None = None
    restarts: int = 0
    steps_lost: int = 0
    """Steps done and lost again over all restarts; they stay charged."""


class JobView(Record):
    """One row of the queue."""

    id: int
    kind: JobKind
    name: str
    state: JobState
    pause: PauseKind | None = None
    """How it is paused, where it is."""
    reason: str
    """Why it stands there, and what a person can do."""
    priority: int
    run_id: str
    """The run it trains, or starts from."""
    folder: str
    num_devices: int
    """What it has, or asks for; a run's can be changed while nobody has it."""
    devices: list[str]
    """The lease: device ids, empty while it has none."""
    owner_uid: int
    created_t: float
    started_t: float | None
    ended_t: float | None
    progress: float | None
    """0..1 where it is known."""


class DeviceProcess(Record):
    """A process that uses a GPU."""

    pid: int
    user: str
    name: str
    memory_bytes: int | None
    """On the GPU; None where the driver does not say."""


class DeviceView(Record):
    """One GPU, or the CPU where there is none."""

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
    """Who holds the lease."""
    foreign_processes: list[DeviceProcess] = []
    """Those that use a GPU that no job has: they are not of this daemon."""


class EventView(Record):
    """One row of the daemon's event journal; ids rise and never repeat."""

    id: int
    t: float
    type: str
    """The journal record's kind, or job for a change of the queue."""
    job_id: int | None
    run_id: str | None
    text: str
    """One line for people."""
    data: dict[str, object]
    """The record itself."""


class SeriesView(Record):
    """Curves of one run, thinned to about `points` columns, the smallest and largest value of each kept."""

    run_id: str
    x: Literal["progress", "step", "charged_s"]
    columns: dict[str, list[tuple[float, float]]]
    """Metric to [x, y] pairs in order of x. NaN stands where a pause, a restart or a NaN was."""


class ScoreView(Record):
    """One trial's score with the job it came from."""

    job_id: int
    run_id: str
    score: ScoreRecord


class LogView(Record):
    """A piece of a job's log."""

    text: str
    """Decoded as UTF-8, what is not is replaced; control characters are still in it."""
    offset: int
    """Byte at which the piece begins."""
    next_offset: int
    """Byte at which to go on."""
    size: int
    """Bytes the log has."""


class StatusView(Record):
    """Everything the first screen needs, in one answer."""

    version: VersionView
    runs: list[RunView]
    """Runs that are not over, and the newest one that is."""
    jobs: list[JobView]
    """Newest first, ended ones after the rest; at most 50."""
    devices: list[DeviceView]
    events: list[EventView]
    """The newest 20, oldest first."""


HIGHEST_PRIORITY = 1_000_000
Priority = Annotated[int, Field(ge=-HIGHEST_PRIORITY, le=HIGHEST_PRIORITY)]
"""Of a job that waits; higher is served first."""


class SubmitPretrain(Record):
    """Body of POST /v1/jobs for a pretraining."""

    kind: Literal["pretrain"] = "pretrain"
    recipe_toml: str
    """The recipe's text; relative paths in it were made absolute by the sender."""
    recipe_name: str
    """What error messages call it."""
    overrides: list[str] = []
    """section.key=value, applied over the text."""
    priority: Priority = 0
    hold: bool = False


class SubmitFinetune(Record):
    """Body of POST /v1/jobs for a finetuning."""

    kind: Literal["finetune"] = "finetune"
    run: str
    """Run id, job id or @ (the newest run), with @step or @0.5 (a marker) behind it for one export; or an export's
    absolute path."""
    task: str
    data_dir: str
    seed: int = Field(default=42, ge=0, lt=2**31)
    lr: float = Field(default=5e-5, gt=0, allow_inf_nan=False)
    batch_size: int = Field(default=32, ge=1)
    epochs: int = Field(default=3, ge=1)
    priority: Priority = 0


Submit = Annotated[SubmitPretrain | SubmitFinetune, Field(discriminator="kind")]


class ErrorView(Record):
    """Body of every answer that is not 2xx."""

    code: str
    """The error's class name, stable for scripts."""
    message: str
    """Place, value and remedy."""
