"""Drive the sweeps, once in each round of the scheduler: read losses at rungs, drop, resume, submit, name the winner.

Every step looks at what is in the queue and does what is missing, in one transaction, so a daemon may die between any
two of them. A run cannot pass its rung meanwhile: it pauses there by itself, and again at each start, until the driver
has written a later mark into its folder.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bertd.api.models import SubmitPretrain
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.process.journal_log import log_fields
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.submissions import Submissions
from bertd.daemon.sweeps.dropped_checkpoints import delete_checkpoints
from bertd.daemon.sweeps.rung_decisions import IN_PLAY, cut_rung, rank_settings, record_loss, rung_text
from bertd.daemon.sweeps.sweep_settings import SweepSettings
from bertd.errors import BertdError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.lifecycle import (
    ENDED,
    LIVE,
    Actor,
    change_by_dropping,
    change_by_passing_rung,
    change_by_winning,
)
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.sweep_table import SettingRow, Sweep, SweepTable
from bertd.records import JobState, SettingState, SweepState
from bertd.run.atomic_files import atomic_write
from bertd.run.mailbox import post
from bertd.run.paths import JobPaths, RunPaths, StatePaths
from bertd.run.pause_mark import write_pause_mark
from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.sweep_rungs import KEEP_KEY, pause_mark_s

logger = logging.getLogger(__name__)

RETRY_S = 30.0
"""Time between two attempts to start a setting that the machine refuses, such as on a full disk."""


class SweepDriver:
    """Moves the settings of all running sweeps."""

    def __init__(
        self,
        paths: StatePaths,
        *,
        database: Database,
        queue: Queue,
        events: EventLog,
        table: SweepTable,
        settings: SweepSettings,
        submissions: Submissions,
        run_metrics: RunMetrics,
        inventory: Inventory,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._paths = paths
        self._database = database
        self._queue = queue
        self._events = events
        self._table = table
        self._settings = settings
        self._submissions = submissions
        self._run_metrics = run_metrics
        self._inventory = inventory
        self._clock = clock
        self._retry_t: dict[int, float] = {}
        """By sweep: when to try again what the machine refused."""
        self._last_event_id = -1
        """The newest event before the last look: all that a sweep waits for writes one."""

    def advance(self) -> None:
        """Do what each running sweep lacks.

        Raises:
            StorageError: the queue cannot be written; the next round tries again.
        """
        now, last_id = self._clock(), self._events.last_id()
        if last_id == self._last_event_id and not any(now >= retry_t for retry_t in self._retry_t.values()):
            return
        self._last_event_id = last_id
        running = self._table.running()
        self._retry_t = {sweep.id: self._retry_t[sweep.id] for sweep in running if sweep.id in self._retry_t}
        for sweep in running:
            if now < self._retry_t.get(sweep.id, 0.0):
                continue
            try:
                self._advance(sweep)
                self._retry_t.pop(sweep.id, None)
            except BertdError as error:
                # The others may still move, and so may this one when a disk or a device is back.
                logger.warning("sweep %d: %s", sweep.id, error)
                self._retry_t[sweep.id] = now + RETRY_S
                self._table.set_reason(sweep, f"waits, and tries again: {error}")

    def _advance(self, sweep: Sweep) -> None:
        rows = self._read_losses(sweep, self._table.settings(sweep.id))
        while cut := cut_rung(rows, spec=sweep.spec):
            # A run that overshot its rung, such as on a busy machine, may be past the next one too.
            rows = self._read_losses(sweep, self._store(rows, cut))
        self._end_dropped(sweep, rows)
        rows = self._start_settings(sweep, rows)
        self._complete(sweep, rows)

    # ---- Losses ------------------------------------------------------------------------------------

    def _read_losses(self, sweep: Sweep, rows: Sequence[SettingRow]) -> list[SettingRow]:
        """The settings with the losses of those that have arrived, and without those that are over."""
        changed = []
        for row in rows:
            if row.job_id is None or row.state not in IN_PLAY:
                continue
            job = self._queue.get(row.job_id)
            new = self._observe(sweep, row, job)
            if new is not row:
                changed.append(new)
            if new is not row and job.state is JobState.PAUSED:
                # Not resumed by the daemon's next start: that is for the sweep to decide.
                where = rung_text(sweep.spec, row.rung)
                reason = f"waits at {where} for sweep {sweep.id}, which resumes or ends it"
                self._queue.update(job.id, wants_resume=0, reason=reason)
        return self._store(rows, changed)

    def _observe(self, sweep: Sweep, row: SettingRow, job: Job) -> SettingRow:
        spec, summary = sweep.spec, self._run_metrics.summary(job)
        if job.state in ENDED:
            end = summary.end
            is_at_end = row.state is SettingState.TRAINING and row.rung == len(spec.rungs)
            if is_at_end and job.state is JobState.DONE and end is not None and end.reason == "budget":
                loss = float("nan") if end.validation_loss is None else end.validation_loss
                return record_loss(row, loss, spec=spec, share=end.validation_share)
            reason = f"its run is {job.state} before {rung_text(spec, row.rung)}: {job.reason}"
            return replace(row, state=SettingState.ENDED_EARLY, reason=reason)
        mark_s = pause_mark_s(spec, self._settings.get(sweep, row.number).recipe, rung=row.rung)
        validation = summary.validation
        # The loss on a part of the set, at the end of a budget, cannot be compared with those of the others.
        is_whole = validation is not None and validation.share == 1.0
        has_arrived = mark_s is not None and is_whole and validation is not None and validation.charged_s >= mark_s
        is_on_its_way = row.state in (SettingState.TRAINING, SettingState.PASSED)
        # With ranks it may still be on its way to pause, with another loss after a crash.
        if is_on_its_way and has_arrived and not job.has_runner:
            assert validation is not None
            return record_loss(row, validation.loss, spec=spec)
        return row

    def _store(self, rows: Sequence[SettingRow], changed: Sequence[SettingRow]) -> list[SettingRow]:
        if changed:
            self._table.update(changed)
        new = {row.number: row for row in changed}
        return [new.get(row.number, row) for row in rows]

    # ---- Dropping and starting ---------------------------------------------------------------------

    def _end_dropped(self, sweep: Sweep, rows: Sequence[SettingRow]) -> None:
        for row in rows:
            if row.state is SettingState.DROPPED and row.job_id is not None:
                job = self._queue.get(row.job_id)
                if job.state not in ENDED and not job.has_runner:
                    # Before its job ends: a daemon that dies between the two does both again.
                    self._delete_checkpoints(job)
                    reason = f"dropped by sweep {sweep.id}: {row.reason}; its checkpoints were deleted"
                    self._drop(job, reason=reason)

    def _delete_checkpoints(self, job: Job) -> None:
        try:
            delete_checkpoints(RunPaths(Path(job.folder)))
        except BertdError as error:
            # They only take space; the sweep need not wait for that.
            logger.warning("job %d: %s", job.id, error, extra=log_fields(job.id, job.run_id))

    def _drop(self, job: Job, *, reason: str) -> None:
        if job.state not in ENDED and not job.has_runner:
            self._queue.apply(job.id, change_by_dropping(reason), actor=Actor.SCHEDULER, now=self._clock())

    def _start_settings(self, sweep: Sweep, rows: Sequence[SettingRow]) -> list[SettingRow]:
        """Submit or resume as many settings as devices allow, those first that are furthest."""
        active = sum(self._is_active(row) for row in rows)
        waiting = [row for row in rows if row.state in (SettingState.PASSED, SettingState.WAITING)]
        changed = []
        for row in sorted(waiting, key=lambda row: (row.state is SettingState.WAITING, -row.rung, row.number)):
            if active >= self._capacity(sweep):
                break
            new = self._submit(sweep, row) if row.job_id is None else self._resume(sweep, row, row.job_id)
            if new is not row:
                changed.append(new)
                active += new.state is SettingState.TRAINING
        new_rows = {row.number: row for row in changed}
        rows = [new_rows.get(row.number, row) for row in rows]
        self._table.set_reason(sweep, "" if active else self._reason_to_wait(rows))
        return rows

    def _is_active(self, row: SettingRow) -> bool:
        if row.job_id is None or row.state is not SettingState.TRAINING:
            return False
        return self._queue.get(row.job_id).state in LIVE | {JobState.QUEUED}

    def _capacity(self, sweep: Sweep) -> int:
        """Settings that can train at the same time."""
        devices = self._settings.get(sweep, 1).recipe.devices
        count = self._settings.most_devices(sweep)
        return max(1, self._inventory.count(devices.kind) // count)

    def _submit(self, sweep: Sweep, row: SettingRow) -> SettingRow:
        """Submit a setting: its job, and the note that it has one, in one transaction."""
        setting = self._settings.get(sweep, row.number)
        spec = sweep.spec
        sets_keep = KEEP_KEY in spec.fixed or KEEP_KEY in spec.grid
        order = SubmitPretrain(
            recipe_toml=sweep.recipe_toml,
            recipe_name=sweep.recipe_name,
            overrides=setting.overrides if sets_keep else [*setting.overrides, f"{KEEP_KEY}=1"],
            priority=sweep.priority,
            group=sweep.group_name or None,
        )
        mark_s = pause_mark_s(spec, setting.recipe, rung=row.rung)
        self._submissions.require_answer(order)
        with self._database.transaction():
            job = self._submissions.submit_pretraining(
                order, uid=sweep.owner_uid, now=self._clock(), pause_mark_s=mark_s
            )
            new = replace(row, state=SettingState.TRAINING, job_id=job.id)
            self._table.update([new])
        return new

    def _resume(self, sweep: Sweep, row: SettingRow, job_id: int) -> SettingRow:
        job = self._queue.get(job_id)
        if job.has_runner:
            # A person resumed it; it pauses again, because its mark is the old one.
            return row
        paths = RunPaths(Path(job.folder))
        if not paths.root.is_dir():
            new = replace(row, state=SettingState.ENDED_EARLY, reason=f"{paths.root}: its folder was removed")
            self._table.update([new])
            return new
        mark_s = pause_mark_s(sweep.spec, self._settings.get(sweep, row.number).recipe, rung=row.rung)
        write_pause_mark(paths.pause_mark, mark_s)
        new = replace(row, state=SettingState.TRAINING, reason="")
        with self._database.transaction():
            self._table.update([new])
            if job.state is JobState.PAUSED:
                reason = f"sweep {sweep.id} lets it continue to {rung_text(sweep.spec, row.rung)}; waits for its turn"
                self._queue.apply(job.id, change_by_passing_rung(reason), actor=Actor.SCHEDULER, now=self._clock())
        return new

    def _reason_to_wait(self, rows: Sequence[SettingRow]) -> str:
        """Why nothing moves although settings are left; empty if none are."""
        for row in rows:
            if row.state is SettingState.TRAINING and row.job_id is not None:
                verb = "release" if self._queue.get(row.job_id).state is JobState.HELD else "resume"
                return f"waits for setting {row.number}, which a person paused; `bertd {verb} {row.job_id}`"
        return ""

    # ---- The end -----------------------------------------------------------------------------------

    def _complete(self, sweep: Sweep, rows: Sequence[SettingRow]) -> None:
        """End the sweep when no setting is left to train: write the winner's recipe, and have it exported."""
        if any(row.state in IN_PLAY or self._is_pending(row) for row in rows):
            return
        now = self._clock()
        finished = [row for row in rank_settings(rows) if row.state is SettingState.FINISHED]
        if not finished:
            reasons = next((row.reason for row in rows if row.reason), "")
            self._table.end(sweep, SweepState.FAILED, reason=f"no setting reached the end; {reasons}", now=now)
            return
        winner = finished[0]
        path = self._paths.sweep(sweep.folder_name).winner
        atomic_write(path, format_recipe(self._settings.get(sweep, winner.number).recipe))
        # The only reason that a finished setting has: its loss is of a part of the validation set.
        num_partial = sum(bool(row.reason) for row in finished)
        partial = (
            f"; {num_partial} of {len(finished)} losses are of a part of the validation set" if num_partial else ""
        )
        loss = f"loss {winner.losses[-1]:.3f}{partial}"
        reason = f"setting {winner.number} is the best, {loss}; `bertd submit {path}` trains it"
        with self._database.transaction():
            self._table.end(sweep, SweepState.DONE, reason=reason, winner=winner.number, now=now)
            for row in finished[1:]:
                assert row.job_id is not None
                place = finished.index(row) + 1
                self._drop(self._queue.get(row.job_id), reason=f"{place} of {len(finished)} in sweep {sweep.id}")
            self._export(sweep, winner, now=now)

    def _is_pending(self, row: SettingRow) -> bool:
        """Whether a dropped setting is not ended yet, or a finished one trains again because a person resumed it."""
        if row.job_id is None or row.state not in (SettingState.DROPPED, SettingState.FINISHED):
            return False
        job = self._queue.get(row.job_id)
        return job.has_runner or (row.state is SettingState.DROPPED and job.state not in ENDED)

    def _export(self, sweep: Sweep, winner: SettingRow, *, now: float) -> None:
        assert winner.job_id is not None
        job = self._queue.get(winner.job_id)
        if job.state in ENDED:
            return
        change = change_by_winning(job.status, f"won sweep {sweep.id}: validates and exports as soon as it has devices")
        self._queue.apply(job.id, change, actor=Actor.SCHEDULER, now=now)
        assert change.command is not None
        post(JobPaths(Path(job.folder)).control, verb=change.command, asked_by=f"sweep {sweep.id}", now=now)
