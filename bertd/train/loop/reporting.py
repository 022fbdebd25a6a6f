"""Report the events of training in the journal; on ranks other than the first the journal is a NoJournal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bertd.records import (
    AlertRecord,
    CheckpointRecord,
    EndRecord,
    ExportRecord,
    JobEnergy,
    JobState,
    JournalRecord,
    RollbackRecord,
    StartupRecord,
    StateRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_budget_amount
from bertd.run.forecast.target_watch import TargetWatch
from bertd.run.ledger import SleepWatch
from bertd.train.checkpoint.format import folder_bytes
from bertd.train.loop.budget_tracker import BudgetTracker
from bertd.train.loop.buffered_journal import RecordSink
from bertd.train.loop.forecaster import Forecaster
from bertd.train.loop.startup import StartupTimes
from bertd.train.loop.throughput import Throughput
from bertd.train.loop.validation import ValidationResult
from bertd.train.state import TrainState


@dataclass(frozen=True)
class StepMetrics:
    """The measurements of one reported step."""

    loss: float
    lr: float
    grad_norm: float
    mfu: float | None
    loss_scale: float | None
    memory_bytes: int
    throughput: Throughput


class Reporter:
    """Builds the journal records of one run."""

    def __init__(
        self,
        *,
        budget: BudgetTracker,
        journal: RecordSink,
        forecaster: Forecaster | None = None,
        read_energy: Callable[[], JobEnergy | None] = lambda: None,
    ) -> None:
        """Report to a journal.

        Args:
            forecaster: of the last validation's loss; None on the ranks that report nothing.
            read_energy: what the run has used so far, for its end record.
        """
        self._forecaster = forecaster
        self._read_energy = read_energy
        self._budget = budget
        self._journal = journal
        self._sleep_watch = SleepWatch()
        self._target_watch = TargetWatch()

    def append(self, record: JournalRecord) -> None:
        """Write a record that another module built."""
        self._journal.append(record)

    def close(self) -> None:
        """Write what waits for space, as far as the disk accepts it, and close the journal."""
        self._journal.close()

    def report_startup(self, state: TrainState, times: StartupTimes, *, attempt: int) -> None:
        """Report where the seconds until the first step went."""
        self._journal.append(
            StartupRecord(
                t=time.time(), attempt=attempt, step=state.step, charged_s=self._budget.now_s(), **asdict(times)
            )
        )

    def report_step(self, state: TrainState, metrics: StepMetrics) -> None:
        charged_s = self._budget.now_s()
        self._journal.append(
            StepRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=charged_s,
                progress=self._budget.progress(state, charged_s=charged_s),
                loss=metrics.loss,
                lr=metrics.lr,
                grad_norm=metrics.grad_norm,
                sequences_per_s=metrics.throughput.sequences_per_s,
                tokens_per_s=metrics.throughput.sequences_per_s * self._budget.recipe.data.sequence_length,
                mfu=metrics.mfu,
                data_wait=metrics.throughput.data_wait,
                loss_scale=metrics.loss_scale,
                skipped_steps=state.skipped_steps,
                memory_bytes=metrics.memory_bytes,
                reserve_s=self._budget.reserve_s(state),
            )
        )

    def report_validation(self, state: TrainState, result: ValidationResult) -> None:
        """Report a validation, and what it lets expect of the last one."""
        charged_s = self._budget.now_s()
        validation = ValidationRecord(
            t=time.time(),
            step=state.step,
            sequences=state.sequences,
            charged_s=charged_s,
            progress=self._budget.progress(state, charged_s=charged_s),
            loss=result.loss,
            num_tokens=result.num_tokens,
            unigram_loss=result.unigram_loss,
            unigram_entropy=result.unigram_entropy,
            seconds=result.seconds,
            reserve_s=self._budget.reserve_s(state),
            share=result.share,
        )
        self._journal.append(validation)
        if self._forecaster is None:
            return
        forecast = self._forecaster.after(validation, self._budget.plan)
        if forecast is not None:
            self._journal.append(forecast)
            if (message := self._target_watch.message(forecast, self._budget.granted.unit)) is not None:
                self.alert(state, code="target_out_of_reach", message=message)

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
        """Report a checkpoint that is on disk."""
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
        """Report an export that is on disk."""
        self._journal.append(
            ExportRecord(
                t=time.time(),
                step=state.step,
                charged_s=self._budget.now_s(),
                name=folder.name,
                architecture=architecture,
                seconds=seconds,
                markers=list(markers),
            )
        )

    def report_pause(self, state: TrainState, *, detail: str) -> None:
        """Report that the ranks exit for a pause; `detail` says why."""
        reason = f"{detail}; `bertd resume` continues from step {state.step}"
        self._report_job_state(state, JobState.PAUSED, reason=reason)

    def report_suspended(self, state: TrainState, *, reason: str) -> None:
        """Report that the ranks are suspended: they keep their memory, and nothing is charged."""
        text = f"{reason}; `bertd resume` continues at once, `bertd pause` frees the devices"
        self._report_job_state(state, JobState.PAUSED, reason=text, is_hot=True)

    def report_resumed(self, state: TrainState, *, since_s: float) -> None:
        """Report that suspended ranks train again, charged since CLOCK_MONOTONIC `since_s`."""
        self._report_job_state(state, JobState.RUNNING, reason=f"continues from step {state.step}", since_s=since_s)

    def report_end(self, state: TrainState, *, is_spent: bool, detail: str, lr: float, export: Path) -> None:
        self._journal.append(
            EndRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=self._budget.now_s(),
                reason="budget" if is_spent else "stopped",
                detail=detail,
                lr=lr,
                validation_loss=state.validation_loss,
                validation_share=state.validation_share,
                export=export.name,
                energy=self._read_energy(),
            )
        )

    def report_untrained(self, state: TrainState) -> None:
        """Report that the budget was spent before the first step."""
        charged_s = self._budget.now_s()
        granted = self._budget.granted
        detail = (
            f"the budget went into starting: {format_duration(charged_s)} were charged before the first step, of "
            f"{format_budget_amount(granted.unit, granted.amount)}; give it more with `bertd budget`, then resume it"
        )
        self._journal.append(
            EndRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=charged_s,
                reason="failed",
                detail=detail,
            )
        )

    def report_rollback(self, state: TrainState, *, from_step: int, skipped_sequences: int, cause: str) -> None:
        """Report that the weights are those of an earlier step again."""
        self._journal.append(
            RollbackRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=self._budget.now_s(),
                from_step=from_step,
                skipped_sequences=skipped_sequences,
                cause=cause,
                number=state.rollbacks,
            )
        )

    def alert(self, state: TrainState, *, code: str, message: str) -> None:
        """Report a warning to the user; training continues."""
        self._journal.append(AlertRecord(t=time.time(), step=state.step, level="warning", code=code, message=message))

    def report_sleep(self, state: TrainState) -> None:
        """Alert if the machine was asleep since the last call."""
        slept_s = self._sleep_watch.slept_s()
        if slept_s:
            message = (
                f"the machine slept for {format_duration(slept_s)}, which is not charged; keep it awake while it "
                "trains (systemd-inhibit does)"
            )
            self.alert(state, code="suspended", message=message)

    def _report_job_state(
        self, state: TrainState, job_state: JobState, *, reason: str, is_hot: bool = False, since_s: float | None = None
    ) -> None:
        self._journal.append(
            StateRecord(
                t=time.time(),
                step=state.step,
                charged_s=self._budget.now_s(),
                state=job_state,
                reason=reason,
                is_hot=is_hot,
                monotonic_s=since_s,
            )
        )
