"""Saves while training goes on: the state is copied to host memory beside the next step, and a thread writes it.

One checkpoint is in the making at a time, since there is memory for one copy. One that falls due meanwhile is left out
and counted, not queued: on a slow disk a queue only grows. A pause, a stop and the end wait for theirs. What the thread
has done is told to the journal by the loop, which stays its one writer; so a command to save is acknowledged when its
checkpoint is whole. Orders behind that command do not wait: they are obeyed at once, and answered behind it.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from bertd.data.shards import DataSet
from bertd.errors import BertdError, NoRoomError, NumericsError, StorageError
from bertd.model.encoder import MaskedLanguageModel
from bertd.model.export import export_weights
from bertd.records import Verb
from bertd.run.paths import RunPaths, step_folder
from bertd.run.recipe import Recipe
from bertd.train.checkpoint import TrainingState, save_checkpoint
from bertd.train.desk import Desk
from bertd.train.host_copy import HostCopy, HostTensors
from bertd.train.model_card import model_card
from bertd.train.optimizer import Optimizers
from bertd.train.orders import Ending, Order
from bertd.train.retention import Retention
from bertd.train.room import make_room

_WAITED = ("start", "pause", "stop", "end")


@dataclass(frozen=True)
class Exported:
    """An export that the writer made."""

    folder: Path
    architecture: str
    seconds: float


@dataclass(frozen=True)
class Written:
    """What the writer has done."""

    folder: Path
    write_s: float
    ended_s: float
    """CLOCK_MONOTONIC."""
    export: Exported | None
    problems: list[StorageError]
    """Behind the checkpoint, which is whole all the same."""


@dataclass(frozen=True)
class _Save:
    """One checkpoint in the making."""

    state: TrainingState
    """As it is saved."""
    why: str
    is_asked: bool
    """A command asked for it."""
    began_s: float
    host_s: float
    """What training waited for until the copy had begun."""
    tensors: HostTensors
    future: Future[Written]


class Saver:
    """Rank 0's hand on checkpoints. Its methods take the state of the loop and give it back brought up to date."""

    def __init__(
        self,
        recipe: Recipe,
        paths: RunPaths,
        *,
        desk: Desk,
        model: MaskedLanguageModel,
        optimizers: Optimizers,
        dataset: DataSet,
    ) -> None:
        self._paths = paths
        self._desk = desk
        self._model = model
        self._optimizers = optimizers
        self._dataset = dataset
        self._host = HostCopy(next(model.parameters()).device)
        self._retention = Retention(paths, keep=recipe.checkpoint.keep)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint-writer")
        self._save: _Save | None = None
        self._written: Future[Written] | None = None
        """Of the newest save."""
        for part in optimizers.parts:
            part.register_step_pre_hook(self._let_step_wait)
        self._retry_s = 0.0
        """Charged time before which a marker is not tried again."""

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint is on its way to the disk; asked by another thread."""
        return self._written is not None and not self._written.done()

    # ---- Between steps ---------------------------------------------------------------------------

    def fit(self, order: Order, state: TrainingState) -> tuple[Order, TrainingState]:
        """Add the checkpoint of a marker to an order; take out one that cannot begin."""
        if order.ending is not Ending.NONE or (order.hold and not order.checkpoint):
            # Held ranks are charged nothing, so they save only when they are asked to.
            return order, state
        is_due = order.charged_s >= state.next_checkpoint_s
        is_wanted = self._is_asked() or (order.charged_s >= self._retry_s and bool(self._due_markers(state)))
        left_s = self._desk.conductor.left_s(state)
        if self._save is not None:
            # A command or a marker asks again before the next step; the interval's is left out.
            return replace(order, checkpoint=False), self._left_out(state) if is_due else state
        if is_due and not is_wanted and left_s is not None and left_s < (state.save_s or 0.0):
            # The end would have to wait for it, and saves by itself.
            return replace(order, checkpoint=False), self._not_again_soon(state)
        return replace(order, checkpoint=is_due or is_wanted), state

    def begin(self, state: TrainingState) -> TrainingState:
        """Copy what is to be saved; the rest happens while training goes on."""
        is_asked = self._is_asked()
        why = "marker" if self._due_markers(state) else "command" if is_asked else "interval"
        state = self._begin(state, why=why, is_asked=is_asked)
        if is_asked:
            self._desk.conductor.set_aside()
        return state

    def collect(self, state: TrainingState) -> TrainingState:
        """Tell of a save that the writer is done with; training goes on whatever came of it."""
        if self._save is None or not self._save.future.done():
            return state
        save, self._save = self._save, None
        try:
            state = self._told(state, save)
        except (StorageError, NumericsError) as error:
            return self._failed(state, save, error)
        if save.is_asked:
            self._desk.answer_save(state, is_done=True, detail=f"checkpoint of step {save.state.step}")
        return state

    # ---- When training waits ---------------------------------------------------------------------

    def save(self, state: TrainingState, *, why: str) -> TrainingState:
        """Save and wait until it is whole.

        Raises:
            StorageError: the disk refused; older checkpoints stand.
            NumericsError: a weight is not finite.
        """
        assert why in _WAITED
        state = self.wait(state)
        state = self._begin(state, why=why, is_asked=False)
        save, self._save = self._save, None
        assert save is not None
        try:
            return self._told(state, save)
        except (StorageError, NumericsError):
            self._retry_s = self._next_s(state)
            raise

    def wait(self, state: TrainingState) -> TrainingState:
        """The same as `collect`, but for what is still being written as well."""
        if self._save is not None:
            self._save.future.exception()
        return self.collect(state)

    def refused(self, state: TrainingState, error: BertdError) -> TrainingState:
        """Say that a save came to nothing and training goes on."""
        code = "disk_low" if isinstance(error, NoRoomError) else "checkpoint_failed"
        self._desk.alert(state, code=code, message=f"{error}; training goes on and older checkpoints stand")
        return self._not_again_soon(state)

    def discard_above(self, step: int) -> None:
        """Delete the checkpoints of steps that are void; none is being written.

        Raises:
            StorageError: the disk refused.
        """
        assert self._save is None
        self._retention.discard_above(step)

    def close(self) -> None:
        """Wait for the writer."""
        self._writer.shutdown(wait=True)

    # ---- Inside ----------------------------------------------------------------------------------

    def _is_asked(self) -> bool:
        """Whether a command asks for a checkpoint that has not begun."""
        pending = self._desk.conductor.pending
        return pending is not None and pending.verb is Verb.CHECKPOINT

    def _due_markers(self, state: TrainingState) -> list[float]:
        progress = self._desk.progress(state)
        return [marker for marker in state.markers_left if marker <= progress]

    def _left_out(self, state: TrainingState) -> TrainingState:
        return self._not_again_soon(state).model_copy(update={"skipped_saves": state.skipped_saves + 1})

    def _not_again_soon(self, state: TrainingState) -> TrainingState:
        return state.model_copy(update={"next_checkpoint_s": self._next_s(state)})

    def _next_s(self, state: TrainingState) -> float:
        conductor = self._desk.conductor
        return conductor.next_checkpoint_s(conductor.now_s(), save_s=state.save_s or 0.0)

    def _begin(self, state: TrainingState, *, why: str, is_asked: bool) -> TrainingState:
        assert self._save is None
        began_s = time.monotonic()
        due = state.markers_left if why == "end" else self._due_markers(state)
        left = [marker for marker in state.markers_left if marker not in due]
        state = self._not_again_soon(state).model_copy(update={"markers_left": left})
        saved = state.model_copy(update={"markers": due, "progress": self._desk.progress(state)})
        tensors = self._host.take(model=self._model.state_dict(), optimizer=self._optimizers.tensors())
        # A stop and the end export by themselves, whether a marker is due or not.
        exports = bool(due) and why not in ("stop", "end")
        future = self._written = self._writer.submit(self._write, saved, tensors, exports)
        host_s = time.monotonic() - began_s
        self._save = _Save(
            saved, why=why, is_asked=is_asked, began_s=began_s, host_s=host_s, tensors=tensors, future=future
        )
        return state

    def _let_step_wait(self, *_: object) -> None:
        """What is being copied is about to be overwritten."""
        if self._save is not None:
            self._save.tensors.let_step_wait()

    def _told(self, state: TrainingState, save: _Save) -> TrainingState:
        """The journal's record of a save that succeeded; an error of the writer is raised."""
        written = save.future.result()
        seconds = written.ended_s - save.began_s
        stall_s = seconds if save.why in _WAITED else save.host_s + save.tensors.waited_s()
        state = state.model_copy(
            update={"save_s": max(seconds, state.save_s or 0.0), "stalled_s": state.stalled_s + stall_s}
        )
        if written.export is not None:
            self._desk.report_export(
                save.state,
                written.export.folder,
                architecture=written.export.architecture,
                seconds=written.export.seconds,
                markers=save.state.markers,
            )
        self._desk.report_checkpoint(
            save.state,
            written.folder,
            seconds=seconds,
            stall_s=stall_s,
            write_s=written.write_s,
            why=save.why,
            stall_share=state.stalled_s / max(self._desk.conductor.now_s(), math.ulp(1.0)),
            skipped=state.skipped_saves,
        )
        for problem in written.problems:
            self._desk.alert(state, code="storage", message=f"{problem}; the checkpoint is whole, training goes on")
        return state

    def _failed(self, state: TrainingState, save: _Save, error: BertdError) -> TrainingState:
        state = self.refused(state, error)
        self._retry_s = state.next_checkpoint_s
        if save.is_asked:
            self._desk.answer_save(state, is_done=False, detail=str(error))
        return state.model_copy(update={"markers_left": sorted({*save.state.markers, *state.markers_left})})

    # ---- In the writer's thread ------------------------------------------------------------------

    def _write(self, state: TrainingState, tensors: HostTensors, exports: bool) -> Written:
        tensors.settle()
        began_s = time.monotonic()
        needed_bytes = tensors.num_bytes
        if exports:
            needed_bytes += sum(tensor.nbytes for tensor in tensors.model.values())
        make_room(self._paths, self._retention, needed_bytes=needed_bytes, step=state.step)
        problems: list[StorageError] = []
        # The export first: a checkpoint that says its marker is behind it must not lack the export after a crash.
        export = self._export(state, tensors, problems) if exports else None
        folder = save_checkpoint(self._paths.checkpoints, tensors=tensors, state=state)
        try:
            self._retention.prune(trusted=folder)
        except StorageError as error:
            problems.append(error)
        ended_s = time.monotonic()
        return Written(folder, ended_s - began_s, ended_s=ended_s, export=export, problems=problems)

    def _export(self, state: TrainingState, tensors: HostTensors, problems: list[StorageError]) -> Exported | None:
        began_s = time.monotonic()
        folder = self._paths.exports / step_folder(state.step)
        data = self._dataset
        mask_token = data.vocabulary.mask_token
        recipe = self._desk.conductor.recipe
        card = model_card(recipe, state, data.manifest, mask_token=mask_token, charged_s=state.charged_s)
        try:
            name = export_weights(
                tensors.model, self._model.config, folder, tokenizer_dir=data.tokenizer_dir, model_card=card
            )
        except StorageError as error:
            problems.append(error)
            return None
        return Exported(folder, architecture=name, seconds=time.monotonic() - began_s)
