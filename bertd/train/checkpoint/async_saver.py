"""Asynchronous checkpoints: the state is copied to host memory during the next step, and a thread writes it.

The life of a save:

    decide             a command, a marker or the interval asks for a save; rank 0 puts it into the plan
    begin_save         start the copy and submit the write; training continues
    optimizer step     waits for the copy before it overwrites the weights
    writer thread      finish the copy, make disk space, export (for a marker), write and verify, prune old ones
    collect_finished   between steps the loop reports the result to the journal and answers the command

There is memory for one copy, so one save is in progress at a time. An interval that comes due meanwhile is skipped and
counted, not queued: on a slow disk a queue would only grow. A pause, a stop and the end wait for their save. The loop,
not the thread, reports finished saves, so the journal keeps a single writer. Commands after a command to save are
executed at once, and answered after it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from bertd.data.dataset.mixture import DataMixture
from bertd.errors import BertdError, NoRoomError, NumericsError, StorageError
from bertd.model.encoder import MaskedLanguageModel
from bertd.records import CommandKind
from bertd.run.paths import RunPaths, step_folder_name
from bertd.run.recipe.schema import Recipe
from bertd.train.checkpoint.disk_space import free_disk_space
from bertd.train.checkpoint.export import export_state
from bertd.train.checkpoint.format import save_checkpoint
from bertd.train.checkpoint.retention import Retention
from bertd.train.checkpoint.staging import StagedTensors, StagingBuffers
from bertd.train.loop.budget_tracker import BudgetTracker
from bertd.train.loop.commands import PendingCommands
from bertd.train.loop.reporting import Reporter
from bertd.train.optim.optimizer import Optimizers
from bertd.train.state import TrainState

_BLOCKING_REASONS = ("start", "pause", "stop", "end")


@dataclass(frozen=True)
class MarkerExport:
    """An export at a marker, made by the writer thread."""

    folder: Path
    architecture: str
    seconds: float


@dataclass(frozen=True)
class SaveResult:
    """What the writer thread did for one save."""

    folder: Path
    write_s: float
    ended_s: float
    """CLOCK_MONOTONIC."""
    export: MarkerExport | None
    problems: list[StorageError]
    """Failures of the export or of pruning; the checkpoint itself is valid."""


@dataclass(frozen=True)
class _PendingSave:
    """The save in progress."""

    state: TrainState
    """The state that is saved."""
    why: str
    is_requested: bool
    """Requested by a command, which gets its answer when the save ends."""
    began_s: float
    staging_s: float
    """Seconds that training waited until the copy had begun."""
    tensors: StagedTensors
    future: Future[SaveResult]


class Checkpointer:
    """Interface of checkpointing, and its implementation on ranks other than the first, which does nothing.

    Methods that take the state of the loop return it updated with the progress of saves.
    """

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint or the last export is being written; called from another thread."""
        return False

    def decide(self, state: TrainState, *, charged_s: float, is_suspended: bool) -> tuple[bool, TrainState]:
        """Decide whether a save begins before the next step: by a command, a marker or the interval."""
        return False, state

    def begin_save(self, state: TrainState) -> TrainState:
        """Start to copy the state; the save continues while training does."""
        return state

    def collect_finished(self, state: TrainState) -> TrainState:
        """Report the save if the writer has finished it; training continues even if it failed."""
        return state

    def save(self, state: TrainState, *, why: str) -> TrainState:
        """Save, and wait until the checkpoint is complete.

        Raises:
            StorageError: the disk refused; older checkpoints remain.
            NumericsError: a weight is not finite.
        """
        return state

    def wait(self, state: TrainState) -> TrainState:
        """Wait for a save in progress, and report it as `collect_finished` does."""
        return state

    def report_failure(self, state: TrainState, error: BertdError) -> TrainState:
        """Report in an alert that a save failed; training continues."""
        return state

    def export(self, state: TrainState, folder: Path) -> None:
        """Write the final export, and report it.

        Raises:
            StorageError: the disk refused.
        """

    def discard_above(self, step: int) -> None:
        """Delete the checkpoints of later steps, which a rollback made void; no save may be in progress.

        Raises:
            StorageError: the disk refused.
        """

    def close(self) -> None:
        """Wait for the writer thread."""


class AsyncCheckpointer(Checkpointer):
    """Checkpoints on rank 0, written by a thread."""

    def __init__(
        self,
        recipe: Recipe,
        paths: RunPaths,
        *,
        budget: BudgetTracker,
        commands: PendingCommands,
        reporter: Reporter,
        model: MaskedLanguageModel,
        optimizers: Optimizers,
        dataset: DataMixture,
    ) -> None:
        self._paths = paths
        self._budget = budget
        self._commands = commands
        self._reporter = reporter
        self._model = model
        self._optimizers = optimizers
        self._dataset = dataset
        self._staging = StagingBuffers(next(model.parameters()).device)
        self._retention = Retention(paths, keep=recipe.checkpoint.keep)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint-writer")
        self._pending_save: _PendingSave | None = None
        self._last_write: Future[SaveResult] | None = None
        self._is_exporting = False
        for part in optimizers.optimizers:
            part.register_step_pre_hook(self._make_step_wait)
        self._retry_after_s = 0.0
        """Charged time before which a marker is not tried again."""

    @property
    def is_writing(self) -> bool:
        return self._is_exporting or (self._last_write is not None and not self._last_write.done())

    # ---- Between steps ---------------------------------------------------------------------------

    def decide(self, state: TrainState, *, charged_s: float, is_suspended: bool) -> tuple[bool, TrainState]:
        is_requested = self._is_save_requested()
        if is_suspended and not is_requested:
            # Suspended ranks charge nothing and change nothing, so only a command makes them save.
            return False, state
        is_due = charged_s >= state.next_checkpoint_s
        is_wanted = is_requested or (charged_s >= self._retry_after_s and bool(self._due_markers(state)))
        if self._pending_save is not None:
            # One save at a time. A command or a marker is decided again before the next step; an interval is skipped.
            return False, self._skip_interval_save(state) if is_due else state
        remaining_s = self._budget.remaining_s(state)
        if is_due and not is_wanted and remaining_s is not None and remaining_s < (state.save_s or 0.0):
            # Not just before the end, which would have to wait for this save and then does one of its own.
            return False, self._schedule_next_save(state)
        return is_due or is_wanted, state

    def begin_save(self, state: TrainState) -> TrainState:
        is_requested = self._is_save_requested()
        why = "marker" if self._due_markers(state) else "command" if is_requested else "interval"
        state = self._begin_save(state, why=why, is_requested=is_requested)
        if is_requested:
            self._commands.defer_until_saved()
        return state

    def collect_finished(self, state: TrainState) -> TrainState:
        if self._pending_save is None or not self._pending_save.future.done():
            return state
        save, self._pending_save = self._pending_save, None
        try:
            state = self._report_saved(state, save)
        except (StorageError, NumericsError) as error:
            return self._handle_save_failure(state, save, error)
        if save.is_requested:
            self._commands.answer_deferred(state, is_done=True, detail=f"checkpoint of step {save.state.step}")
        return state

    # ---- When training waits ---------------------------------------------------------------------

    def save(self, state: TrainState, *, why: str) -> TrainState:
        assert why in _BLOCKING_REASONS
        state = self.wait(state)
        state = self._begin_save(state, why=why, is_requested=False)
        save, self._pending_save = self._pending_save, None
        assert save is not None
        try:
            return self._report_saved(state, save)
        except (StorageError, NumericsError):
            self._retry_after_s = self._next_checkpoint_s(state)
            raise

    def wait(self, state: TrainState) -> TrainState:
        if self._pending_save is not None:
            self._pending_save.future.exception()
        return self.collect_finished(state)

    def report_failure(self, state: TrainState, error: BertdError) -> TrainState:
        code = "disk_low" if isinstance(error, NoRoomError) else "checkpoint_failed"
        self._reporter.alert(state, code=code, message=f"{error}; training continues, and older checkpoints remain")
        return self._schedule_next_save(state)

    def export(self, state: TrainState, folder: Path) -> None:
        # Never reset: the reports after the export belong to the writing, and then the process exits.
        self._is_exporting = True
        began_s = time.monotonic()
        weights = dict(self._model.named_parameters())
        name = self._write_export(weights, folder, state, charged_s=self._budget.now_s())
        self._reporter.report_export(state, folder, architecture=name, seconds=time.monotonic() - began_s)

    def discard_above(self, step: int) -> None:
        assert self._pending_save is None
        self._retention.discard_above(step)

    def close(self) -> None:
        self._writer.shutdown(wait=True)

    # ---- Inside ----------------------------------------------------------------------------------

    def _is_save_requested(self) -> bool:
        """Whether a command asks for a checkpoint that has not begun."""
        return self._commands.requests(CommandKind.CHECKPOINT)

    def _due_markers(self, state: TrainState) -> list[float]:
        progress = self._budget.progress(state)
        return [marker for marker in state.markers_left if marker <= progress]

    def _skip_interval_save(self, state: TrainState) -> TrainState:
        return self._schedule_next_save(state).model_copy(update={"skipped_saves": state.skipped_saves + 1})

    def _schedule_next_save(self, state: TrainState) -> TrainState:
        return state.model_copy(update={"next_checkpoint_s": self._next_checkpoint_s(state)})

    def _next_checkpoint_s(self, state: TrainState) -> float:
        return self._budget.next_checkpoint_s(self._budget.now_s(), save_s=state.save_s or 0.0)

    def _begin_save(self, state: TrainState, *, why: str, is_requested: bool) -> TrainState:
        assert self._pending_save is None
        began_s = time.monotonic()
        due = state.markers_left if why == "end" else self._due_markers(state)
        left = [marker for marker in state.markers_left if marker not in due]
        state = self._schedule_next_save(state).model_copy(update={"markers_left": left})
        saved = state.model_copy(update={"markers": due, "progress": self._budget.progress(state)})
        tensors = self._staging.stage(model=self._model.state_dict(), optimizer=self._optimizers.tensors())
        # A stop and the end always export afterwards, so do not export twice.
        with_export = bool(due) and why not in ("stop", "end")
        future = self._last_write = self._writer.submit(self._write, saved, tensors, with_export)
        staging_s = time.monotonic() - began_s
        self._pending_save = _PendingSave(
            saved,
            why=why,
            is_requested=is_requested,
            began_s=began_s,
            staging_s=staging_s,
            tensors=tensors,
            future=future,
        )
        return state

    def _make_step_wait(self, *_: object) -> None:
        """Pre-hook of optimizer steps, which overwrite what is being copied."""
        if self._pending_save is not None:
            self._pending_save.tensors.make_step_wait()

    def _report_saved(self, state: TrainState, save: _PendingSave) -> TrainState:
        """Write the journal's records of a save; raise the writer's error if it failed."""
        result = save.future.result()
        seconds = result.ended_s - save.began_s
        stall_s = seconds if save.why in _BLOCKING_REASONS else save.staging_s + save.tensors.waited_s()
        state = state.model_copy(
            update={"save_s": max(seconds, state.save_s or 0.0), "stalled_s": state.stalled_s + stall_s}
        )
        if result.export is not None:
            self._reporter.report_export(
                save.state,
                result.export.folder,
                architecture=result.export.architecture,
                seconds=result.export.seconds,
                markers=save.state.markers,
            )
        self._reporter.report_checkpoint(
            save.state,
            result.folder,
            seconds=seconds,
            stall_s=stall_s,
            write_s=result.write_s,
            why=save.why,
            stall_share=state.stalled_s / max(self._budget.now_s(), math.ulp(1.0)),
            skipped=state.skipped_saves,
        )
        for problem in result.problems:
            self._reporter.alert(
                state, code="storage", message=f"{problem}; the checkpoint is valid, training continues"
            )
        return state

    def _handle_save_failure(self, state: TrainState, save: _PendingSave, error: BertdError) -> TrainState:
        state = self.report_failure(state, error)
        self._retry_after_s = state.next_checkpoint_s
        if save.is_requested:
            self._commands.answer_deferred(state, is_done=False, detail=str(error))
        return state.model_copy(update={"markers_left": sorted({*save.state.markers, *state.markers_left})})

    # ---- In the writer's thread ------------------------------------------------------------------

    def _write(self, state: TrainState, tensors: StagedTensors, with_export: bool) -> SaveResult:
        tensors.finish_copy()
        began_s = time.monotonic()
        needed_bytes = tensors.num_bytes
        if with_export:
            needed_bytes += sum(tensor.nbytes for tensor in tensors.model.values())
        free_disk_space(self._paths, self._retention, needed_bytes=needed_bytes, step=state.step)
        problems: list[StorageError] = []
        # The export first: a checkpoint records its markers as done, and a resume from it would never export them.
        export = self._export(state, tensors, problems) if with_export else None
        folder = save_checkpoint(self._paths.checkpoints, tensors=tensors, state=state)
        try:
            self._retention.prune(trusted=folder)
        except StorageError as error:
            problems.append(error)
        ended_s = time.monotonic()
        return SaveResult(folder, ended_s - began_s, ended_s=ended_s, export=export, problems=problems)

    def _export(self, state: TrainState, tensors: StagedTensors, problems: list[StorageError]) -> MarkerExport | None:
        began_s = time.monotonic()
        folder = self._paths.exports / step_folder_name(state.step)
        try:
            name = self._write_export(tensors.model, folder, state, charged_s=state.charged_s)
        except StorageError as error:
            problems.append(error)
            return None
        return MarkerExport(folder, architecture=name, seconds=time.monotonic() - began_s)

    def _write_export(self, weights: Mapping[str, Tensor], folder: Path, state: TrainState, *, charged_s: float) -> str:
        return export_state(
            weights,
            self._model.config,
            folder,
            state=state,
            recipe=self._budget.recipe,
            dataset=self._dataset,
            charged_s=charged_s,
        )
