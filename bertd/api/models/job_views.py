"""Jobs of the queue, and what they wait for or lend."""

from __future__ import annotations

from typing import Literal

from bertd.records import (
    DependencyCondition,
    DependencyState,
    Evaluation,
    JobEnergy,
    JobKind,
    JobState,
    LendState,
    PauseKind,
    Record,
)


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
