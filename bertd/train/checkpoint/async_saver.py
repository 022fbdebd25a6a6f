"""Saves while training goes on: the state is copied to host memory beside the next step, and a thread writes it.

One checkpoint is in the making at a time, since there is memory for one copy. One that falls due meanwhile is left out
and counted, not queued: on a slow disk a queue only grows. A pause, a stop and the end wait for theirs. What the thread
has done is told to the journal by the loop, which stays its one writer; so a command to save is acknowledged when its
checkpoint is whole. Orders behind that command do not wait: they are obeyed at once, and answered behind it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from bertd.data.dataset.shards import DataSet
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
    """An export of a marker's checkpoint, made by the writer."""

    folder: Path
    architecture: str
    seconds: float


@dataclass(frozen=True)
class SaveResult:
    """What the writer has done."""

    folder: Path
    write_s: float
    ended_s: float
    """CLOCK_MONOTONIC."""
    export: MarkerExport | None
    problems: list[StorageError]
    """Behind the checkpoint, which is whole all the same."""


@dataclass(frozen=True)
class _PendingSave:
    """One checkpoint in the making."""

    state: TrainState
    """As it is saved."""
    why: str
    is_requested: bool
    """A command asked for it."""
    began_s: float
    staging_s: float
    """What training waited for until the copy had begun."""
    tensors: StagedTensors
    future: Future[SaveResult]


class Checkpointer:
    """Checkpoints on ranks other than the first: rank 0 writes them for all, so these methods do nothing.

    All take the state of the loop and return it with what is known of saves now.
    """

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint or the last export is being written; called from another thread."""
        return False

    def decide(self, state: TrainState, *, charged_s: float, is_suspended: bool) -> tuple[bool, TrainState]:
        """Whether a checkpoint begins before the next step: requested, at a marker, or after its interval."""
        return False, state

    def begin_save(self, state: TrainState) -> TrainState:
        """Copy what is to be saved; the rest happens while training continues."""
        return state

    def collect_finished(self, state: TrainState) -> TrainState:
        """Report a save that the writer has finished; training continues whatever its result."""
        return state

    def save(self, state: TrainState, *, why: str) -> TrainState:
        """Save and wait until the checkpoint is whole.

        Raises:
            StorageError: the disk refused; older checkpoints remain.
            NumericsError: a weight is not finite.
        """
        return state

    def wait(self, state: TrainState) -> TrainState:
        """The same as `collect_finished`, and wait for what is still being written."""
        return state

    def report_failure(self, state: TrainState, error: BertdError) -> TrainState:
        """Alert that a save failed; training continues."""
        return state

    def export(self, state: TrainState, folder: Path) -> None:
        """Write the last export, and report it.

        Raises:
            StorageError: the disk refused.
        """

    def discard_above(self, step: int) -> None:
        """Delete the checkpoints of later steps, which a rollback has made void; none is being written.

        Raises:
            StorageError: the disk refused.
        """

    def close(self) -> None:
        """Wait for the writer."""


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
        dataset: DataSet,
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
            # Suspended ranks are charged nothing, so they save only when they are asked to.
            return False, state
        is_due = charged_s >= state.next_checkpoint_s
        is_wanted = is_requested or (charged_s >= self._retry_after_s and bool(self._due_markers(state)))
        if self._pending_save is not None:
            # A command or a marker asks again before the next step; the interval's save is skipped.
            return False, self._skip_interval_save(state) if is_due else state
        remaining_s = self._budget.remaining_s(state)
        if is_due and not is_wanted and remaining_s is not None and remaining_s < (state.save_s or 0.0):
            # The end would have to wait for it, and saves by itself.
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
        self._reporter.alert(state, code=code, message=f"{error}; training goes on and older checkpoints stand")
        return self._schedule_next_save(state)

    def export(self, state: TrainState, folder: Path) -> None:
        # It stays true: what is reported after the export belongs to it, and then the process ends.
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
        # A stop and the end export by themselves, whether a marker is due or not.
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
        """What is being copied is about to be overwritten."""
        if self._pending_save is not None:
            self._pending_save.tensors.make_step_wait()

    def _report_saved(self, state: TrainState, save: _PendingSave) -> TrainState:
        """The journal's record of a save that succeeded; an error of the writer is raised."""
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
            self._reporter.alert(state, code="storage", message=f"{problem}; the checkpoint is whole, training goes on")
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
        # The export first: a checkpoint that says its marker is behind it must not lack the export after a crash.
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
