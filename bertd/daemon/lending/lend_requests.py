"""Requests for a finetuning at once: which pretraining lends its devices, what that costs, and its beginning."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from bertd.api.models import DeviceView, LendEstimateView, SubmitFinetune, SubmitGrid
from bertd.daemon.lending.lend_admission import (
    Lender,
    charged_cost,
    require_memory,
    require_time_left,
    require_unconditional,
)
from bertd.daemon.lending.lends import Lends
from bertd.daemon.lending.lent_devices import leases_with_lends
from bertd.daemon.metrics.budget_position import ChargedTime
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.submissions import Submissions
from bertd.errors import BertdError, DeviceError, TransitionError
from bertd.jobs.store.database import Database
from bertd.jobs.store.job_names import find_run
from bertd.jobs.store.lifecycle import Actor, change_at_lending
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.lend_table import Lend
from bertd.jobs.store.tables.sweep_table import SweepTable
from bertd.metrics.budget_view import current_budget
from bertd.records import JobKind, JobState, LendState, PauseKind
from bertd.run.budget import find_time_left
from bertd.run.mailbox import post
from bertd.run.paths import JobPaths

Request = SubmitFinetune | SubmitGrid


class LendRequests:
    """Finds lenders, and begins lends."""

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        lends: Lends,
        submissions: Submissions,
        run_metrics: RunMetrics,
        inventory: Inventory,
        sweeps: SweepTable,
        out_of_service: Callable[[], Collection[str]],
        devices: Callable[[], list[DeviceView]],
    ) -> None:
        self._database = database
        self._queue = queue
        self._lends = lends
        self._submissions = submissions
        self._run_metrics = run_metrics
        self._inventory = inventory
        self._sweeps = sweeps
        self._out_of_service = out_of_service
        self._devices = devices
        self._charged_time = ChargedTime(run_metrics)

    def estimate(self, request: Request) -> LendEstimateView:
        """What `submit` would do and cost; raises what it does, but for what is wrong with the job itself."""
        lender = self._require_lender(request)
        num_devices, wall_s = self._estimate_job(request, lender)
        if lender is None:
            return LendEstimateView(
                run_job_id=None,
                run_id=None,
                lend=None,
                is_hot=False,
                num_devices=num_devices,
                save_s=0.0,
                start_s=0.0,
                charged_s=0.0,
                remaining_s=None,
                wall_s=wall_s,
            )
        cost = charged_cost(lender, hot=request.now is PauseKind.HOT)
        return LendEstimateView(
            run_job_id=lender.job.id,
            run_id=lender.job.run_id,
            lend=None if lender.lend is None else lender.lend.id,
            is_hot=request.now is PauseKind.HOT if lender.lend is None else lender.lend.is_hot,
            num_devices=num_devices,
            save_s=cost.save_s,
            start_s=cost.start_s,
            charged_s=cost.charged_s,
            remaining_s=lender.remaining_s,
            wall_s=wall_s,
        )

    def submit(self, request: Request, *, uid: int, asked_by: str, now: float) -> Job:
        """Queue the job, and have the pretraining that lends it devices pause, in one transaction.

        Raises:
            SubmissionError: it is to wait for something.
            TransitionError: several pretrainings could lend, or the one that does is about to continue.
            BudgetError: it has less left to train than the pause costs.
            DeviceError: its devices are drained, do not work, or do not have the memory for a hot pause.
            BertdError: the job itself is refused, as without `now`.
        """
        lender = self._require_lender(request)
        _, wall_s = self._estimate_job(request, lender)
        if lender is not None and lender.lend is not None and lender.lend.state is LendState.RETURNING:
            # It trains already; only its first step was waited for.
            self._lends.finish(lender.lend, now=now)
            lender = replace(lender, lend=None)
        with self._database.transaction():
            most = None if lender is None else lender.job.num_devices
            if isinstance(request, SubmitGrid):
                job = self._submissions.submit_grid(request, uid=uid, now=now, most_devices=most)
            else:
                job = self._submissions.submit_finetuning(request, uid=uid, now=now, most_devices=most)
            if lender is not None:
                lend_id = self._join_or_begin(lender, job, request, asked_by=asked_by, now=now)
                self._lends.table.add_job(lend_id, job.id, expected_s=wall_s)
                reason = f"gets the devices of job {lender.job.id} ({lender.job.name}), which is paused for it"
                self._queue.update(job.id, reason=reason)
        self._lends.read()
        return self._queue.get(job.id)

    def _join_or_begin(self, lender: Lender, job: Job, request: Request, *, asked_by: str, now: float) -> int:
        if lender.lend is not None:
            return lender.lend.id
        run, hot = lender.job, request.now is PauseKind.HOT
        what = f"lends its devices to job {job.id} ({job.name}), which {asked_by} wants at once"
        change = change_at_lending(run.status, f"saves: {what}" if not hot else f"suspends: {what}", hot=hot)
        assert change is not None and change.command is not None
        lend_id = self._lends.table.insert(
            run_job_id=run.id,
            reason=what,
            is_hot=hot,
            asked_by=asked_by,
            devices={lease.device: lease.slots for lease in self._queue.leases().rows if lease.job_id == run.id},
            now=now,
        )
        self._queue.apply(run.id, change, actor=Actor.PERSON, now=now)
        control = JobPaths(Path(run.folder)).control
        post(control, verb=change.command, asked_by=f"{asked_by}, by lend {lend_id} to job {job.id}", now=now)
        self._lends.append_event(lend_id, run, what, now=now, state=LendState.PAUSING, jobs=[job.id], asked_by=asked_by)
        return lend_id

    # ---- The lender --------------------------------------------------------------------------------

    def _require_lender(self, request: Request) -> Lender | None:
        """The pretraining that lends, after every check; None if the job can start without.

        Raises:
            DeviceError: its devices are drained or do not work.
            BertdError: what `submit` raises.
        """
        require_unconditional(request)
        kind = "gpu" if self._inventory.gpus else "cpu"
        job = self._find_lender(request, kind)
        if job is None:
            return None
        lender = self._describe(job)
        if lender.lend is not None and lender.lend.state is not LendState.RETURNING:
            return lender
        devices = self._queue.leases().devices_of(job.id)
        if missing := sorted(set(devices) & set(self._out_of_service())):
            raise DeviceError(
                f"{job.run_id}: {missing[0]}, which it has, is drained or does not work, so nothing can start there; "
                f"see `bertd devices`, and `bertd undrain {missing[0]}` when it works"
            )
        if request.now is PauseKind.HOT:
            samples = {sample.id: sample for sample in self._devices()}
            num_processes = self._num_processes(request, lender)
            require_memory(lender, request, devices, samples, self._inventory, num_processes=num_processes)
        else:
            require_time_left(lender)
        return lender

    def _find_lender(self, request: Request, kind: str) -> Job | None:
        lending = {lend.run_job_id for lend in self._lends.open if lend.state is not LendState.RETURNING}
        able = [job for job in self._queue.live() if job.state in (JobState.STARTING, JobState.RUNNING)]
        able += [self._queue.get(id) for id in sorted(lending)]
        able = [job for job in able if job.kind is JobKind.PRETRAIN and job.device_kind == kind]
        able = [job for job in able if not self._sweeps.has_job(job.id)]
        if isinstance(request, SubmitFinetune) and kind == "gpu" and self._has_free_gpu():
            return None
        named = self._named_run(request)
        if any(job.id == named for job in able):
            return next(job for job in able if job.id == named)
        if len(able) > 1:
            names = ", ".join(job.run_id for job in able)
            raise TransitionError(
                f"--now: {names} train, and it is not clear which of them is to be paused; finetune an export of one "
                "of them, or `bertd pause` one and leave --now out"
            )
        returning = [lend.run_job_id for lend in self._lends.open if lend.state is LendState.RETURNING]
        if not able and returning:
            raise TransitionError(f"--now: job {returning[0]} is about to continue; try again when it trains")
        return able[0] if able else None

    def _has_free_gpu(self) -> bool:
        """Whether a finetuning starts at once without a lend."""
        leases, missing = leases_with_lends(self._queue.leases(), self._lends.open), self._out_of_service()
        is_free = any(leases.free_share(gpu) == 1 for gpu in self._inventory.gpus if gpu not in missing)
        return is_free and not any(job.device_kind == "gpu" for job in self._queue.waiting())

    def _named_run(self, request: Request) -> int | None:
        """The run whose export is finetuned; None for an export given by its path."""
        if request.run.startswith("/"):
            return None
        name = request.run if request.run == "@" else request.run.rpartition("@")[0] or request.run
        try:
            return (
                self._queue.get(int(name)).id if name.isdecimal() and len(name) < 19 else find_run(self._queue, name).id
            )
        except BertdError:
            # The submission says what is wrong with it.
            return None

    def _describe(self, job: Job) -> Lender:
        summary = self._run_metrics.summary(job)
        budget = current_budget(self._run_metrics.recipe(Path(job.folder)), summary)
        reserve_s = summary.progress.reserve_s or 0.0
        left = find_time_left(budget, charged_s=self._charged_time.charged_s(job), reserve_s=reserve_s)
        lend: Lend | None = next((each for each in self._lends.open if each.run_job_id == job.id), None)
        return Lender(job, summary, lend=lend, remaining_s=None if left is None else max(0.0, left.training_s))

    # ---- The job -----------------------------------------------------------------------------------

    def _estimate_job(self, request: Request, lender: Lender | None) -> tuple[int, float | None]:
        """The devices that it gets, and how long it takes; None where that is not known."""
        most = None if lender is None else lender.job.num_devices
        if isinstance(request, SubmitGrid):
            grid = self._submissions.estimate_grid(request, most_devices=most)
            return grid.num_devices, None if grid.unmeasured else grid.wall_s
        has_gpu = bool(self._inventory.gpus)
        num_devices = 1 if has_gpu else min(self._inventory.cpu_slots, most or self._inventory.cpu_slots)
        return num_devices, self._submissions.estimate_finetuning(request)

    def _num_processes(self, request: Request, lender: Lender) -> int:
        if isinstance(request, SubmitGrid):
            return self._submissions.estimate_grid(request, most_devices=lender.job.num_devices).num_workers
        return 1
