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
    CommandRecord,
    EndRecord,
    ExportRecord,
    JobState,
    RollbackRecord,
    StateRecord,
    StepRecord,
    ValidationRecord,
    Verb,
)
from bertd.run.durations import format_duration
from bertd.run.ledger import SuspendWatch
from bertd.train.checkpoint import TrainingState, folder_bytes
from bertd.train.meter import Reading
from bertd.train.orders import Conductor, Ending, Order
from bertd.train.patient_journal import PatientJournal
from bertd.train.validation import Validation


@dataclass(frozen=True)
class StepFigures:
    """What a report reads off one update."""

    loss: float
    lr: float
    grad_norm: float
    mfu: float | None
    loss_scale: float | None
    memory_bytes: int
    speed: Reading


class Desk:
    """One writer for one run."""

    def __init__(self, *, conductor: Conductor, journal: PatientJournal) -> None:
        self._journal = journal
        self.conductor = conductor
        self._suspend = SuspendWatch()
        self._behind: list[CommandRecord] = []
        """Answers to orders that came behind one whose checkpoint is being written: the journal has them in order."""

    def decide(self, state: TrainingState, *, step_s: float) -> Order:
        """The next order; what the mailbox asks of the budget is done on the way. `step_s` is how long a step takes."""
        while records := self.conductor.obey_budget(state):
            for record in records:
                if isinstance(record, CommandRecord):
                    self._answer(record)
                else:
                    self._journal.append(record)
        order = self.conductor.decide(state, step_s=step_s)
        self._note_sleep(state)
        stands = order.hold and not order.checkpoint and order.ending is Ending.NONE
        is_held = self.conductor.clock.is_held
        if stands and not is_held:
            self._stand(state)
        elif is_held and not stands:
            self._go_on(state)
        pending = self.conductor.pending
        if pending is not None and pending.verb in (Verb.HOLD, Verb.RESUME) and order.ending is Ending.NONE:
            what = "holds" if order.hold else "trains"
            self.answer(state, is_done=True, detail=f"{what} at step {state.step}")
        return order

    def _stand(self, state: TrainingState) -> None:
        self.conductor.clock.hold()
        reason = f"{self.conductor.hold_reason}; `bertd resume` goes on at once, `bertd pause` frees the devices"
        self._say(state, JobState.PAUSED, reason=reason, is_hot=True, since_s=None)

    def _go_on(self, state: TrainingState) -> None:
        since_s = self.conductor.clock.go_on()
        self._say(state, JobState.RUNNING, reason=f"goes on from step {state.step}", is_hot=False, since_s=since_s)

    def _note_sleep(self, state: TrainingState) -> None:
        slept_s = self._suspend.slept_s()
        if slept_s:
            message = (
                f"the machine slept for {format_duration(slept_s)}, which is not charged; keep it awake while it "
                "trains (systemd-inhibit does)"
            )
            self.alert(state, code="suspended", message=message)

    def _say(self, state: TrainingState, stands: JobState, *, reason: str, is_hot: bool, since_s: float | None) -> None:
        self._journal.append(
            StateRecord(
                t=time.time(),
                step=state.step,
                charged_s=self.conductor.now_s(),
                state=stands,
                reason=reason,
                is_hot=is_hot,
                monotonic_s=since_s,
            )
        )

    def _progress(self, state: TrainingState, charged_s: float) -> float:
        return self.conductor.granted.progress(charged_s=charged_s, steps=state.step, sequences=state.sequences)

    def progress(self, state: TrainingState) -> float:
        """Share of the budget that is spent, 0..1."""
        return self._progress(state, self.conductor.now_s())

    def report_step(self, state: TrainingState, figures: StepFigures) -> None:
        """A second's worth of training is done."""
        charged_s = self.conductor.now_s()
        self._journal.append(
            StepRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=charged_s,
                progress=self._progress(state, charged_s),
                loss=figures.loss,
                lr=figures.lr,
                grad_norm=figures.grad_norm,
                sequences_per_s=figures.speed.sequences_per_s,
                tokens_per_s=figures.speed.sequences_per_s * self.conductor.recipe.data.sequence_length,
                mfu=figures.mfu,
                data_wait=figures.speed.data_wait,
                loss_scale=figures.loss_scale,
                skipped_steps=state.skipped_steps,
                memory_bytes=figures.memory_bytes,
            )
        )

    def report_validation(self, state: TrainingState, result: Validation) -> None:
        """The fixed set was measured."""
        charged_s = self.conductor.now_s()
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
        state: TrainingState,
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
        state: TrainingState,
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
                charged_s=self.conductor.now_s(),
                name=folder.name,
                architecture=architecture,
                seconds=seconds,
                markers=list(markers),
            )
        )

    def report_pause(self, state: TrainingState) -> None:
        """The ranks leave and can come back."""
        reason = f"{self.conductor.reason}; `bertd resume` goes on from step {state.step}"
        self._say(state, JobState.PAUSED, reason=reason, is_hot=False, since_s=None)

    def report_end(self, state: TrainingState, *, is_spent: bool, lr: float, export: Path) -> None:
        """The run is over."""
        self._journal.append(
            EndRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=self.conductor.now_s(),
                reason="budget" if is_spent else "stopped",
                detail=self.conductor.reason,
                lr=lr,
                validation_loss=state.validation_loss,
                export=export.name,
            )
        )

    def report_rollback(self, state: TrainingState, *, from_step: int, skipped_sequences: int, cause: str) -> None:
        """The weights are those of an earlier step again."""
        self._journal.append(
            RollbackRecord(
                t=time.time(),
                step=state.step,
                sequences=state.sequences,
                charged_s=self.conductor.now_s(),
                from_step=from_step,
                skipped_sequences=skipped_sequences,
                cause=cause,
                number=state.rollbacks,
            )
        )

    def alert(self, state: TrainingState, *, code: str, message: str) -> None:
        """Training goes on, but somebody should know."""
        self._journal.append(AlertRecord(t=time.time(), step=state.step, level="warning", code=code, message=message))

    def answer(self, state: TrainingState, *, is_done: bool, detail: str) -> None:
        """Acknowledge the mailbox entry that is pending, if there is one."""
        command = self.conductor.acknowledge()
        if command is not None:
            self._answer(_answer_to(command, state, is_done=is_done, detail=detail))

    def answer_save(self, state: TrainingState, *, is_done: bool, detail: str) -> None:
        """Acknowledge the one whose checkpoint was being written, and what was obeyed behind it."""
        command, self.conductor.saving = self.conductor.saving, None
        assert command is not None
        behind, self._behind = self._behind, []
        for record in (_answer_to(command, state, is_done=is_done, detail=detail), *behind):
            self._journal.append(record)

    def _answer(self, record: CommandRecord) -> None:
        if self.conductor.saving is None:
            self._journal.append(record)
        else:
            self._behind.append(record)


def _answer_to(command: Command, state: TrainingState, *, is_done: bool, detail: str) -> CommandRecord:
    return CommandRecord(
        t=time.time(),
        step=state.step,
        number=command.number,
        verb=command.verb,
        outcome="done" if is_done else "refused",
        detail=detail,
    )
