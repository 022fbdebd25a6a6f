"""State of the simulated machine: one pretraining at 41.7 % of its 24 hours on eight GPUs, and a queue of jobs.

Time is passed in by `advance(now)`. The state at a time depends only on that time and on earlier actions, never on how
often it was read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bertd.api.models import AnySubmission, EventView, JobView, SubmitFinetune, SubmitGrid, SubmitPretrain
from bertd.errors import BudgetError, SubmissionError, TransitionError, UnknownJobError
from bertd.records import BudgetRequest, BudgetUnit, JobKind, JobState, PauseKind
from bertd.run.paths import step_folder_name
from tui.drawing.formatting import loss
from tui.simulated.curves import CRASH_PROGRESS, PAUSE_PROGRESS, VALIDATE_EVERY, validation_loss

RUN_ID = "12-academic-large"
JOB_ID = 12
BUDGET_S = 24 * 3600.0
RESERVE_S = 40.0
"""Of the budget, kept for the last validation, save and export."""
BATCH = 4096
"""Sequences of a step."""
STEPS_PER_S = 0.2663
START_PROGRESS = 0.417
CHECKPOINT_EVERY_S = 600.0
_TRANSITION_S = 25.0
"""Seconds that pausing, starting and stopping take."""
_FINETUNE_S = 900.0
_MAX_EVENTS = 200

_NEXT_STATE = {
    JobState.STARTING: (JobState.RUNNING, "8 ranks are training"),
    JobState.STOPPING: (JobState.DONE, "stopped by you; saved and exported"),
}

_FINETUNE_ACTIONS = {
    "stop": ({JobState.QUEUED, JobState.HELD}, JobState.CANCELLED, "cancelled by you"),
    "hold": ({JobState.QUEUED}, JobState.HELD, "held by you; release with R"),
    "release": ({JobState.HELD}, JobState.QUEUED, ""),
}
"""For a finetuning: allowed states, next state, reason; empty: why it waits."""


@dataclass(frozen=True)
class Downtime:
    """A time in which nothing was charged."""

    charged_s: float
    """Charged until then."""
    seconds: float


@dataclass
class SimulatedBox:
    """The whole state; `epoch` is the time at which the simulation begins."""

    epoch: float
    now: float = 0.0
    charged_s: float = START_PROGRESS * BUDGET_S
    saved_s: float = START_PROGRESS * BUDGET_S - 130.0
    saved_t: float = 0.0
    state: JobState = JobState.RUNNING
    is_hot: bool = False
    """Whether it pauses, or is paused, with its memory."""
    reason: str = "8 ranks are training"
    changed_t: float = 0.0
    jobs: list[JobView] = field(default_factory=list)
    """All but the pretraining."""
    events: list[EventView] = field(default_factory=list)
    drained: dict[str, str] = field(default_factory=dict)
    """By device id: who took it out of service."""
    budget_s: float = BUDGET_S
    returns_after: int | None = None
    """The job after which the pretraining continues by itself."""

    downtimes: list[Downtime] = field(default_factory=list)
    """In order of time; those before the simulation are a pause over dinner and a restart."""

    def __post_init__(self) -> None:
        self.downtimes += [Downtime(CRASH_PROGRESS * BUDGET_S, 260.0), Downtime(PAUSE_PROGRESS * BUDGET_S, 2591.0)]
        self.now = self.changed_t = self.epoch
        self.saved_t = self.epoch - 130.0
        self._add_initial_jobs()
        self._add_initial_events()

    @property
    def progress(self) -> float:
        return min(1.0, self.charged_s / self.budget_s)

    @property
    def step(self) -> int:
        return int(self.charged_s * STEPS_PER_S)

    @property
    def is_over(self) -> bool:
        return self.state is JobState.DONE

    @property
    def has_devices(self) -> bool:
        """Whether the pretraining holds all of them."""
        return self.state not in (JobState.PAUSED, JobState.QUEUED, JobState.DONE) or self.pause is PauseKind.HOT

    @property
    def pause(self) -> PauseKind | None:
        """How the pretraining is paused."""
        if self.state is not JobState.PAUSED:
            return None
        return PauseKind.HOT if self.is_hot else PauseKind.COLD

    @property
    def running_finetune(self) -> JobView | None:
        """The finetuning that has a device; one at a time."""
        return next((job for job in self.jobs if job.state is JobState.RUNNING), None)

    @property
    def waiting(self) -> list[JobView]:
        """The queued finetunings, in the order in which they will be served."""
        return sorted((job for job in self.jobs if job.state is JobState.QUEUED), key=lambda job: -job.priority)

    def advance(self, now: float) -> None:
        """Advance to `now`, event by event."""
        while self.now < now:
            until = min(now, self._next_change_time())
            if self.state in (JobState.RUNNING, JobState.PAUSING):
                self.charged_s = min(self.budget_s, self.charged_s + until - self.now)
            else:
                self._add_downtime(until - self.now)
            self.now = until
            self._apply_due_changes()

    def _add_downtime(self, seconds: float) -> None:
        newest = self.downtimes[-1]
        if newest.charged_s == self.charged_s:
            self.downtimes[-1] = replace(newest, seconds=newest.seconds + seconds)
        else:
            self.downtimes.append(Downtime(self.charged_s, seconds))

    def apply_action(self, action: str, job_id: int) -> JobView:
        """Apply a user's action.

        Raises:
            UnknownJobError: there is no such job.
            TransitionError: the job's state does not allow it.
        """
        if job_id != JOB_ID:
            return self._apply_finetune_action(action, job_id)
        allowed = {
            "pause": self.state is JobState.RUNNING or self.pause is PauseKind.HOT,
            "pause hot": self.state is JobState.RUNNING,
            "checkpoint": self.state is JobState.RUNNING,
            "resume": self.state is JobState.PAUSED,
        }
        if self.is_over or not allowed.get(action, True):
            raise TransitionError(f"job {JOB_ID} is {self.state}: cannot {action} it")
        match action:
            case "checkpoint":
                self._save("command")
            case "pause":
                self._save("pause")
                self.is_hot = False
                self._set_state(JobState.PAUSING, "saving before the pause")
            case "pause hot":
                self.is_hot = True
                self._set_state(JobState.PAUSING, "waits at the next step, keeps its memory")
            case "resume" if self.is_hot:
                self._set_state(JobState.RUNNING, "8 ranks are training")
            case "resume" if self.running_finetune is not None:
                self._set_state(JobState.QUEUED, f"waits for a device: job {self.running_finetune.id} holds one of 8")
            case "resume":
                self._set_state(JobState.STARTING, "loading the newest checkpoint")
            case _:
                self._save("stop")
                self._set_state(JobState.STOPPING, "validating and exporting")
        return self.pretraining()

    def submit(self, request: AnySubmission) -> JobView:
        """Queue a finetuning, a grid or a pretraining; one to run now pauses the pretraining.

        Raises:
            SubmissionError: another kind of job, which the simulation has not.
            TransitionError: the pretraining cannot lend its devices now.
        """
        match request:
            case SubmitFinetune():
                kind, name = JobKind.FINETUNE, request.task
                text = f"queued: finetune {request.task}, lr {request.lr:g}, {request.epochs} epochs"
            case SubmitGrid():
                kind, name = JobKind.GRID, f"{request.preset}-{len(request.tasks)}-tasks"
                text = f"queued: a grid of {', '.join(request.tasks)}, {request.preset}"
            case SubmitPretrain():
                kind, name = JobKind.PRETRAIN, request.recipe_name.removesuffix(".toml")
                text = f"queued: pretraining {name}"
            case _:
                raise SubmissionError(f"the simulation runs no job of kind {request.kind}")
        if isinstance(request, SubmitFinetune | SubmitGrid) and request.now is not None and self.has_devices:
            self.apply_action("pause", JOB_ID)
            self.returns_after = self.next_id
        return self._enqueue(kind, name, text)

    def submit_later(self, run: str, *, after: str) -> JobView:
        """Queue a program that waits for a share of the budget, or for the end."""
        job = self._enqueue(JobKind.COMMAND, "finetune-later", f"queued: finetune {run} after {after}")
        return self._update_job(
            self._find_job_index(job.id), {"state": JobState.HELD, "reason": f"waits for {after}"}, f"waits for {after}"
        )

    @property
    def next_id(self) -> int:
        """Number of the next job."""
        return max(job.id for job in [*self.jobs, self.pretraining()]) + 1

    def _enqueue(self, kind: JobKind, name: str, text: str) -> JobView:
        job = self._make_finetune_job(self.next_id, name, JobState.QUEUED)
        devices = 8 if kind is JobKind.PRETRAIN else 1
        job = job.model_copy(
            update={"kind": kind, "reason": self._reason_to_wait, "created_t": self.now, "num_devices": devices}
        )
        self.jobs.append(job)
        self._append_event("job", text, job_id=job.id)
        self._advance_finetunes()
        return self.jobs[self._find_job_index(job.id)]

    def change_budget(self, request: BudgetRequest) -> None:
        """Extend or shrink the budget.

        Raises:
            BudgetError: less than is spent, or another unit than hours.
            TransitionError: the run is over.
        """
        if self.is_over:
            raise TransitionError(f"run {RUN_ID} is {self.state}; its budget cannot change")
        amount_s = request.amount * 3600
        if request.unit is not BudgetUnit.HOURS or amount_s <= self.charged_s + RESERVE_S:
            raise BudgetError(
                f"{RUN_ID}: a budget of {request.amount:g} {request.unit}: {self.charged_s / 3600:.2f} hours are "
                "spent, and the end needs some; give more, or stop the run"
            )
        before, self.budget_s = self.budget_s, amount_s
        self._append_event("budget", f"budget from {before / 3600:g} to {amount_s / 3600:g} hours at step {self.step}")

    def would_start(self, job_id: int) -> list[JobView]:
        """The jobs that would start at once if this one gave its devices back."""
        waiting = [job for job in self.jobs if job.state is JobState.QUEUED and "waits for job" not in job.reason]
        if job_id != JOB_ID or not self.has_devices or not waiting:
            return []
        return [min(waiting, key=lambda job: (-job.priority, job.id))]

    @property
    def _reason_to_wait(self) -> str:
        return f"waits for a device: job {JOB_ID} holds all 8" if self.has_devices else "waits for its turn"

    def pretraining(self) -> JobView:
        """The pretraining as a job."""
        return JobView(
            id=JOB_ID,
            kind=JobKind.PRETRAIN,
            name="academic-large",
            state=self.state,
            pause=self.pause,
            reason=self.reason,
            priority=0,
            run_id=RUN_ID,
            folder="/var/lib/bertd/runs/" + RUN_ID,
            num_devices=8,
            devices=[f"GPU-{index}" for index in range(8)] if self.has_devices else [],
            owner_uid=1000,
            created_t=self.epoch - 11 * 3600,
            started_t=self.epoch - 10.8 * 3600,
            ended_t=self.changed_t if self.is_over else None,
            progress=self.progress,
        )

    def prioritize(self, job_id: int, priority: int) -> JobView:
        """Set a job's priority.

        Raises:
            UnknownJobError: there is no such job.
        """
        return self._update_job(self._find_job_index(job_id), {"priority": priority}, f"priority is {priority}")

    def move(self, job_id: int, *, to: str, other_id: int | None) -> JobView:
        """Move a queued finetuning before or after another one, or to an end of the queue.

        Raises:
            UnknownJobError: there is no such job.
            TransitionError: one of them does not wait.
        """
        moved = self.jobs[self._find_job_index(job_id)]
        others = [job for job in self.waiting if job.id != job_id]
        at = next((at for at, job in enumerate(others) if job.id == other_id), None)
        if moved.state is not JobState.QUEUED or (to in ("before", "after") and at is None) or not others:
            raise TransitionError(f"job {job_id} cannot be moved there: both jobs have to wait in the queue")
        at = {"first": 0, "last": len(others)}.get(to, (at or 0) + (to == "after"))
        neighbor = others[min(at, len(others) - 1)]
        order = [*others[:at], moved.model_copy(update={"priority": neighbor.priority}), *others[at:]]
        self.jobs = [*(job for job in self.jobs if job.state is not JobState.QUEUED), *order]
        return self._update_job(self._find_job_index(job_id), {}, f"job {job_id} {moved.name} is moved")

    def clone(self, job_id: int) -> JobView:
        """Queue a finetuning like this one.

        Raises:
            UnknownJobError: there is no such finetuning.
        """
        name = self.jobs[self._find_job_index(job_id)].name
        return self.submit(SubmitFinetune(run=RUN_ID, task=name, data_dir="/data/glue"))

    def set_drained(self, device_id: str, *, is_drained: bool) -> None:
        """Take a device out of service, or back; a job that has it keeps it."""
        self.drained = {id: by for id, by in self.drained.items() if id != device_id}
        if is_drained:
            self.drained[device_id] = "you"
        verb = "drained by you; starts no more jobs" if is_drained else "in service again"
        self._append_event("device", f"{device_id}: {verb}", job_id=None, data={"device": device_id})

    def _apply_finetune_action(self, action: str, job_id: int) -> JobView:
        index = self._find_job_index(job_id)
        before, after, reason = _FINETUNE_ACTIONS.get(action, (set(), JobState.LOST, ""))
        if self.jobs[index].state not in before:
            raise TransitionError(f"job {job_id} is a finetuning in state {self.jobs[index].state}: cannot {action} it")
        reason = reason or self._reason_to_wait
        changes: dict[str, object] = {"state": after, "reason": reason}
        if after is JobState.CANCELLED:
            changes["ended_t"] = self.now
        self._update_job(index, changes, f"job {job_id} {self.jobs[index].name} is {after}: {reason}")
        self._advance_finetunes()
        return self.jobs[index]

    def _find_job_index(self, job_id: int) -> int:
        index = next((index for index, job in enumerate(self.jobs) if job.id == job_id), None)
        if index is None:
            raise UnknownJobError(f"no job {job_id}; `bertd jobs` lists them")
        return index

    def _update_job(self, index: int, changes: dict[str, object], text: str) -> JobView:
        self.jobs[index] = self.jobs[index].model_copy(update=changes)
        self._append_event("job", text, job_id=self.jobs[index].id)
        return self.jobs[index]

    def _next_change_time(self) -> float:
        """Time of the next change of state, or earlier."""
        finetune = self.running_finetune
        if finetune is not None and finetune.started_t is not None:
            return min(finetune.started_t + _FINETUNE_S, self._next_change_of_pretraining())
        return self._next_change_of_pretraining()

    def _next_change_of_pretraining(self) -> float:
        if self.state in (*_NEXT_STATE, JobState.PAUSING):
            return self.changed_t + _TRANSITION_S
        if self.state is JobState.RUNNING:
            due = [
                self.budget_s,
                *(_next_multiple(self.charged_s, every) for every in (CHECKPOINT_EVERY_S, _VALIDATE_EVERY_S)),
            ]
            return self.now + min(due) - self.charged_s
        return self.now + 3600.0

    def _apply_due_changes(self) -> None:
        self._advance_finetunes()
        if self.state is JobState.PAUSING:
            if self.now >= self.changed_t + _TRANSITION_S:
                how = "paused hot by you, keeps its memory" if self.is_hot else "paused by you"
                self._set_state(JobState.PAUSED, f"{how}; resume with p")
                self._advance_finetunes()
        elif self.state in _NEXT_STATE:
            if self.now >= self.changed_t + _TRANSITION_S:
                self._set_state(*_NEXT_STATE[self.state])
        elif self.state is JobState.RUNNING:
            if _is_multiple(self.charged_s, CHECKPOINT_EVERY_S):
                self._save("interval")
            if _is_multiple(self.charged_s, _VALIDATE_EVERY_S):
                self._append_event("validation", self._validation_text())
            if self.charged_s >= self.budget_s:
                self._append_event("end", f"budget at step {self.step}: the budget is spent")
                self._set_state(JobState.DONE, "budget spent")

    def _advance_finetunes(self) -> None:
        """End the finetuning whose time is over; start the next one if the pretraining holds no device."""
        running = self.running_finetune
        if running is not None and running.started_t is not None and self.now >= running.started_t + _FINETUNE_S:
            self._change_finetune(running, JobState.DONE, "finished", ended_t=self.now, progress=1.0, devices=[])
            if self.returns_after == running.id and self.state is JobState.PAUSED:
                self.returns_after = None
                self._set_state(JobState.STARTING, "the lend is over: continues by itself")
            running = None
        if running is not None or self.has_devices:
            return
        if self.state is JobState.QUEUED:
            self._set_state(JobState.STARTING, "loading the newest checkpoint")
            return
        if self.waiting:
            first = min(self.waiting, key=lambda job: job.id != self.returns_after)
            self._change_finetune(first, JobState.RUNNING, "finetunes on GPU 0", started_t=self.now, devices=["GPU-0"])

    def _change_finetune(self, job: JobView, state: JobState, reason: str, **changes: object) -> None:
        self._update_job(
            self._find_job_index(job.id),
            {"state": state, "reason": reason, **changes},
            f"job {job.id} {job.name} is {state}: {reason}",
        )

    def _validation_text(self) -> str:
        return f"validation loss {loss(validation_loss(self.progress))} at step {self.step} (11.2 s)"

    def _save(self, why: str) -> None:
        self.saved_s, self.saved_t = self.charged_s, self.now
        self._append_event("checkpoint", checkpoint_text(self.step, why))

    def _set_state(self, state: JobState, reason: str) -> None:
        self.state, self.reason, self.changed_t = state, reason, self.now
        self._append_event("state", f"{state} at step {self.step}: {reason}")

    def _append_event(
        self,
        type: str,
        text: str,
        *,
        job_id: int | None = JOB_ID,
        t: float | None = None,
        data: dict[str, object] | None = None,
    ) -> None:
        event = EventView(
            id=len(self.events) + 1 if not self.events else self.events[-1].id + 1,
            t=self.now if t is None else t,
            type=type,
            job_id=job_id,
            run_id=RUN_ID,
            text=text,
            data=data or ({"step": self.step} if job_id == JOB_ID and t is None else {}),
        )
        self.events = [*self.events[1 - _MAX_EVENTS :], event]

    def _add_initial_jobs(self) -> None:
        waits = f"waits for a device: job {JOB_ID} holds all 8"
        for job_id, task, state, reason in (
            (10, "cola", JobState.DONE, "Matthews 0.312 on the export of step 4,800"),
            (11, "rte", JobState.FAILED, "no dev.tsv in /data/glue/RTE; fetch the task again"),
            (13, "cola", JobState.QUEUED, waits),
            (14, "mrpc", JobState.QUEUED, "waits for job 13"),
            (15, "sst-2", JobState.HELD, "held by you; release with `bertd release 15`"),
        ):
            self.jobs.append(self._make_finetune_job(job_id, task, state).model_copy(update={"reason": reason}))

    def _make_finetune_job(self, job_id: int, task: str, state: JobState) -> JobView:
        is_over = state in (JobState.DONE, JobState.FAILED)
        return JobView(
            id=job_id,
            kind=JobKind.FINETUNE,
            name=task,
            state=state,
            reason="",
            priority=0,
            run_id=RUN_ID,
            folder=f"/var/lib/bertd/runs/{RUN_ID}/finetunes/{job_id:06d}",
            num_devices=1,
            devices=[],
            owner_uid=1000,
            created_t=self.epoch - 7200,
            started_t=self.epoch - 5400 if is_over else None,
            ended_t=self.epoch - 5400 + _FINETUNE_S if is_over else None,
            progress=1.0 if state is JobState.DONE else None,
        )

    def _add_initial_events(self) -> None:
        """Add the events from before the simulation."""
        for ago_s, type, job_id, text in (
            (21300.0, "restart", JOB_ID, "rank 3 died: CUDA error 719; attempt 2 begins in 1 s from step 4160"),
            (5400.0, "job", 10, "job 10 cola is running: finetunes on GPU 0"),
            (4500.0, "score", 10, "cola matthews 0.3120 (majority class 0.0000, 612 s)"),
            (1930.0, "validation", JOB_ID, f"validation loss {loss(validation_loss(0.3958))} at step 9107 (11.2 s)"),
            (1330.0, "checkpoint", JOB_ID, checkpoint_text(9240, "interval")),
            (730.0, "checkpoint", JOB_ID, checkpoint_text(9400, "interval")),
            (130.0, "checkpoint", JOB_ID, checkpoint_text(9560, "interval")),
        ):
            self._append_event(type, text, job_id=job_id, t=self.epoch - ago_s)


_VALIDATE_EVERY_S = VALIDATE_EVERY * BUDGET_S


def checkpoint_text(step: int, why: str) -> str:
    """As the daemon words it."""
    return f"checkpoint {step_folder_name(step)} ({why}, 4080 MB, training paused for 0.2 s)"


def _next_multiple(charged_s: float, every: float) -> float:
    """The first multiple of `every` after `charged_s`."""
    return (int(charged_s / every + 1e-6) + 1) * every


def _is_multiple(charged_s: float, every: float) -> bool:
    return abs(charged_s / every - round(charged_s / every)) * every < 1e-3
