"""Rank 0's desk: it decides, and it writes what happened into the journal. The other ranks have none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertd.records import (
    AlertRecord,
    CheckpointRecord,
    Command,
    CommandKind,
    CommandRecord,
    EndRecord,
    ExportRecord,
    JobState,
    RollbackRecord,
    StateRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.durations import format_duration
from bertd.run.ledger import SleepWatch
from bertd.train.checkpoint.format import folder_bytes
from bertd.train.loop.buffered_journal import BufferedJournalWriter
from bertd.train.loop.control import ExitReason, StepController, StepPlan
from bertd.train.loop.throughput import Throughput
from bertd.train.loop.validation import ValidationResult
from bertd.train.state import TrainState


@dataclass(frozen=True)
class StepMetrics:
    """What a report reads off one update."""

    loss: float
    lr: float
    grad_norm: float
    mfu: float | None
    loss_scale: float | None
    memory_bytes: int
    throughput: Throughput


class Reporter:
    """One writer for one run."""

    def __init__(self, *, controller: StepController, journal: BufferedJournalWriter) -> None:
        self._journal = journal
        self.controller = controller
        self._sleep_watch = SleepWatch()
        self._deferred_answers: list[CommandRecord] = []
        """Answers to orders that came behind one whose checkpoint is being written: the journal has them in order."""

    def plan_step(self, state: TrainState, *, step_s: float) -> StepPlan:
        """The next order; what the mailbox asks of the budget is done on the way. `step_s` is how long a step takes."""
        while records := self.controller.answer_budget_command(state):
            for record in records:
                if isinstance(record, CommandRecord):
                    self._append_answer(record)
                else:
                    self._journal.append(record)
        plan = self.controller.plan_step(state, step_s=step_s)
        self._report_sleep(state)
        stands = plan.suspend and not plan.checkpoint and plan.exit_reason is ExitReason.NONE
        is_suspended = self.controller.clock.is_suspended
        if stands and not is_suspended:
            self._suspend(state)
        elif is_suspended and not stands:
            self._resume(state)
        pending = self.controller.pending
        if (
            pending is not None
            and pending.verb in (CommandKind.SUSPEND, CommandKind.RESUME)
            and plan.exit_reason is ExitReason.NONE
        ):
            activity = "holds" if plan.suspend else "trains"
            self.answer(state, is_done=True, detail=f"{activity} at step {state.step}")
        return plan

    def _suspend(self, state: TrainState) -> None:
        self.controller.clock.suspend()
        reason = f"{self.controller.suspend_reason}; `bertd resume` goes on at once, `bertd pause` frees the devices"
        self._report_job_state(state, JobState.PAUSED, reason=reason, is_hot=True, since_s=None)

    def _resume(self, state: TrainState) -> None:
        since_s = self.controller.clock.resume()
        self._report_job_state(
            state, JobState.RUNNING, reason=f"goes on from step {state.step}", is_hot=False, since_s=since_s
        )

    def _report_sleep(self, state: TrainState) -> None:
        slept_s = self._sleep_watch.slept_s()
        if slept_s:
            message = (
                f"the machine slept for {format_duration(slept_s)}, which is not charged; keep it awake while it "
                "trains (systemd-inhibit does)"
            )
            self.alert(state, code="suspended", message=message)

    def _report_job_state(
        self, state: TrainState, stands: JobState, *, reason: str, is_hot: bool, since_s: float | None
    ) -> None:
        self._journal.append(
            StateRecord(
                t=time.time(),
                step=state.step,
                charged_s=self.controller.now_s(),
                state=stands,
                reason=reason,
                is_hot=is_hot,
                monotonic_s=since_s,
            )
        )

    def _progress(self, state: TrainState, charged_s: float) -> float:
        return self.controller.granted.progress(charged_s=charged_s, steps=state.step, sequences=state.sequences)

    def progress(self, state: TrainState) -> float:
        """Share of the budget that is spent, 0..1."""
        return self._progress(state, self.controller.now_s())

    def report_step(self, state: TrainState, metrics: StepMetrics) -> None:
        """A second's worth of training is done."""
        charged_s = self.controller.now_s()
        self._journal.append(
            StepRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=charged_s,
                progress=self._progress(state, charged_s),
                loss=metrics.loss,
                lr=metrics.lr,
                grad_norm=metrics.grad_norm,
                sequences_per_s=metrics.throughput.sequences_per_s,
                tokens_per_s=metrics.throughput.sequences_per_s * self.controller.recipe.data.sequence_length,
                mfu=metrics.mfu,
                data_wait=metrics.throughput.data_wait,
                loss_scale=metrics.loss_scale,
                skipped_steps=state.skipped_steps,
                memory_bytes=metrics.memory_bytes,
            )
        )

    def report_validation(self, state: TrainState, result: ValidationResult) -> None:
        """The fixed set was measured."""
        charged_s = self.controller.now_s()
        self._journal.append(
            ValidationRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=charged_s,
                progress=self._progress(state, charged_s),
                loss=result.loss,
                num_tokens=result.num_tokens,
                unigram_loss=result.unigram_loss,
                unigram_entropy=result.unigram_entropy,
                seconds=result.seconds,
            )
        )

    def report_checkpoint(
        self,
        state: TrainState,
        folder: Path,
        *,
        seconds: float,
        stall_s: float,
        write_s: float,
        why: str,
        stall_share: float,
        skipped: int,
    ) -> None:
        """A checkpoint is on disk."""
        self._journal.append(
            CheckpointRecord(
                t=time.time(),
                step=state.step,
                charged_s=state.charged_s,
                name=folder.name,
                size_bytes=folder_bytes(folder),
                seconds=seconds,
                stall_s=stall_s,
                why=why,
                write_s=write_s,
                stall_share=stall_share,
                skipped=skipped,
                sequences=state.sequences,
            )
        )

    def report_export(
        self,
        state: TrainState,
        folder: Path,
        *,
        architecture: str,
        seconds: float,
        markers: Sequence[float] = (),
    ) -> None:
        """An export is on disk."""
        self._journal.append(
            ExportRecord(
                t=time.time(),
                step=state.step,
                charged_s=self.controller.now_s(),
                name=folder.name,
                architecture=architecture,
                seconds=seconds,
                markers=list(markers),
            )
        )

    def report_pause(self, state: TrainState) -> None:
        """The ranks leave and can come back."""
        reason = f"{self.controller.reason}; `bertd resume` goes on from step {state.step}"
        self._report_job_state(state, JobState.PAUSED, reason=reason, is_hot=False, since_s=None)

    def report_end(self, state: TrainState, *, is_spent: bool, lr: float, export: Path) -> None:
        """The run is over."""
        self._journal.append(
            EndRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=self.controller.now_s(),
                reason="budget" if is_spent else "stopped",
                detail=self.controller.reason,
                lr=lr,
                validation_loss=state.validation_loss,
                export=export.name,
            )
        )

    def report_rollback(self, state: TrainState, *, from_step: int, skipped_sequences: int, cause: str) -> None:
        """The weights are those of an earlier step again."""
        self._journal.append(
            RollbackRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=self.controller.now_s(),
                from_step=from_step,
                skipped_sequences=skipped_sequences,
                cause=cause,
                number=state.rollbacks,
            )
        )

    def alert(self, state: TrainState, *, code: str, message: str) -> None:
        """Training goes on, but somebody should know."""
        self._journal.append(AlertRecord(t=time.time(), step=state.step, level="warning", code=code, message=message))

    def answer(self, state: TrainState, *, is_done: bool, detail: str) -> None:
        """Acknowledge the mailbox entry that is pending, if there is one."""
        command = self.controller.acknowledge()
        if command is not None:
            self._append_answer(_build_answer(command, state, is_done=is_done, detail=detail))

    def answer_save(self, state: TrainState, *, is_done: bool, detail: str) -> None:
        """Acknowledge the one whose checkpoint was being written, and what was obeyed behind it."""
        command, self.controller.deferred = self.controller.deferred, None
        assert command is not None
        deferred_answers, self._deferred_answers = self._deferred_answers, []
        for record in (_build_answer(command, state, is_done=is_done, detail=detail), *deferred_answers):
            self._journal.append(record)

    def _append_answer(self, record: CommandRecord) -> None:
        if self.controller.deferred is None:
            self._journal.append(record)
        else:
            self._deferred_answers.append(record)


def _build_answer(command: Command, state: TrainState, *, is_done: bool, detail: str) -> CommandRecord:
    return CommandRecord(
        t=time.time(),
        step=state.step,
        number=command.number,
        verb=command.verb,
        outcome="done" if is_done else "refused",
        detail=detail,
    )
