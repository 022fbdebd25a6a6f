"""The loop: an order, a step, and what the order asked for besides; then the end.

Every rank runs the same loop and obeys the same orders. Rank 0 also has a desk, which writes the journal, and a
saver, which writes checkpoints.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass

from bertd.data.batches import TrainBatches
from bertd.data.shards import DataSet
from bertd.errors import BertdError, NumericsError, StorageError
from bertd.model.encoder import MaskedLanguageModel
from bertd.model.export import write_export
from bertd.model.flops import training_flops
from bertd.run.beats import UNWATCHED, Pulse, Section
from bertd.run.paths import RunPaths, step_folder
from bertd.run.recipe import Recipe
from bertd.train.checkpoint import TrainingState
from bertd.train.desk import Desk, StepFigures
from bertd.train.loss_watch import LossWatch, LossWentWrongError, SpikeError
from bertd.train.meter import Meter, Reading, memory_bytes
from bertd.train.model_card import model_card
from bertd.train.optimizer import Optimizers
from bertd.train.orders import Ending, Order, share_order
from bertd.train.ranks import Ranks
from bertd.train.rollback import Rollback
from bertd.train.saving import Saver
from bertd.train.schedule import rate_factor
from bertd.train.update import Updater
from bertd.train.validation import Validator


@dataclass(frozen=True)
class Parts:
    """What a trainer is put together from; the same on every rank but for `desk`."""

    recipe: Recipe
    paths: RunPaths
    ranks: Ranks
    model: MaskedLanguageModel
    optimizers: Optimizers
    batches: TrainBatches
    updater: Updater
    validator: Validator
    dataset: DataSet
    peak_flops: float | None
    """FLOP/s of a device, for the MFU; None where none is known for the run's precision."""
    desk: Desk | None
    saver: Saver | None
    """Where there is a desk."""
    pulse: Pulse = UNWATCHED


class Trainer:
    """One attempt, from `state` to its end, a pause or a stop."""

    def __init__(self, parts: Parts, state: TrainingState) -> None:
        self._parts = parts
        self._recipe = parts.recipe
        self._desk = parts.desk
        self._saver = parts.saver
        self.state = state
        self._meter = Meter()
        self._lr = 0.0
        self._watch = self._open_watch()
        self._is_exporting = False

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint or the last export is on its way to the disk; asked by another thread."""
        return self._is_exporting or (self._saver is not None and self._saver.is_writing)

    def run(self) -> Ending:
        """Train until an order ends it; what that means is done when this returns.

        Raises:
            NumericsError: the loss is not finite, or went wrong again after it was gone back.
            StorageError: the first checkpoint or the export could not be written.
        """
        try:
            # Or the reserve for the end, which is measured by the slowest validation, would be short of it or hold it
            # for ever.
            self._beat(Section.VALIDATION)
            self._parts.validator.warm_up(self._parts.updater.forward)
            if self._recipe.granted.is_timed and self.state.save_s is None:
                # The reserve for the end must be known before the schedule starts, and the disk tried.
                self._save("start")
            ending = Ending.NONE
            while ending is Ending.NONE:
                ending = self.advance_one()
        finally:
            if self._saver is not None:
                # Whatever ends the loop, what is being written becomes whole and is told.
                with suppress(BertdError):
                    self.state = self._saver.wait(self.state)
        return ending

    def advance_one(self) -> Ending:
        """Hear one order and obey it: a step and what goes with it, or the end."""
        order = self._next_order()
        try:
            return self._obey(order)
        except LossWentWrongError as error:
            self._go_back(error)
            return Ending.NONE

    def _obey(self, order: Order) -> Ending:
        if order.ending is Ending.PAUSED and self._pause():
            return order.ending
        if order.ending in (Ending.BUDGET, Ending.STOPPED):
            self._finish(order)
            return order.ending
        if order.hold:
            self._hold(order)
            return Ending.NONE
        if order.validate:
            self._validate()
        if order.checkpoint:
            self._save_on_the_way()
        self._step(order)
        return Ending.NONE

    def close(self) -> None:
        """Let go of the threads."""
        self._parts.batches.close()
        if self._saver is not None:
            self._saver.close()

    def _next_order(self) -> Order:
        order = None
        if self._desk is not None:
            if self._saver is not None:
                self.state = self._saver.collect(self.state)
            order = self._desk.decide(self.state, step_s=self._meter.step_s)
            if self._saver is not None:
                order, self.state = self._saver.fit(order, self.state)
        return share_order(self._parts.ranks, order)

    def _beat(self, section: Section) -> None:
        """For the watchdog: the newest step is done and a section begins."""
        self._parts.pulse.beat(section, step=self.state.step)

    def _advance(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)

    # ---- A step ----------------------------------------------------------------------------------

    def _step(self, order: Order) -> None:
        self._beat(Section.STEP)
        self._lr = self._rate_at(order.progress)
        sequences = self._recipe.batch.sequences_at(order.progress)
        if sequences != self._parts.batches.global_batch:
            self._parts.batches.resize(sequences, first_sequence=self.state.sequences)
        self._parts.updater.update(step=self.state.step, lr=self._lr, wants_norm=order.report)
        self._advance(step=self.state.step + 1, sequences=self.state.sequences + sequences)
        # Reading the loss waits for the device, so only then does the clock tell how long the steps took.
        loss = self._parts.updater.take_loss() if order.report else None
        self._meter.step_done(sequences)
        if loss is not None:
            self._report(loss)

    def _rate_at(self, progress: float) -> float:
        return self._recipe.optimizer.peak_lr * rate_factor(self._recipe.schedule, progress=progress)

    def _report(self, loss: float) -> None:
        updater = self._parts.updater
        speed = self._meter.read(wait_s=self._parts.batches.wait_s)
        self._advance(skipped_steps=updater.skipped_steps(self.state.step))
        self._watch.require_finite(loss, step=self.state.step)
        updater.require_usable_scale(self.state.step)
        if self._desk is not None:
            self._report_step(self._desk, loss, speed)
        self._watch.judge(loss, self.state)

    def _report_step(self, desk: Desk, loss: float, speed: Reading) -> None:
        updater = self._parts.updater
        scaler = updater.scaler_state
        desk.report_step(
            self.state,
            StepFigures(
                loss=loss,
                lr=self._lr,
                grad_norm=math.nan if updater.grad_norm is None else float(updater.grad_norm),
                mfu=self._mfu(speed.sequences_per_s),
                loss_scale=None if scaler is None else scaler.scale,
                memory_bytes=memory_bytes(self._parts.ranks.device),
                speed=speed,
            ),
        )

    def _mfu(self, sequences_per_s: float) -> float | None:
        peak = self._parts.peak_flops
        if peak is None:
            return None
        length = self._recipe.data.sequence_length
        predictions = self._recipe.masking.predictions(length)
        flops = training_flops(self._parts.model.config, sequence_length=length, predictions=predictions)
        return sequences_per_s * flops / (peak * self._parts.ranks.world_size)

    def _go_back(self, error: LossWentWrongError) -> None:
        """Go on from the last checkpoint before it, where the recipe wants that; every rank does the same.

        Raises:
            NumericsError: the recipe does not want it, or it was done too often.
        """
        # A spike raises only where it shall be gone back.
        if not isinstance(error, SpikeError) and self._recipe.stop.on_nan == "stop":
            raise NumericsError(
                f"{error}; the newest checkpoint is from before it: lower optimizer.peak_lr or set optimizer.clip, and "
                "submit again"
            ) from error
        parts = self._parts
        back = Rollback(
            paths=parts.paths,
            ranks=parts.ranks,
            model=parts.model,
            optimizers=parts.optimizers,
            updater=parts.updater,
            desk=self._desk,
            saver=self._saver,
        )
        self.state = back.go_back(self.state, sound_step=self._watch.sound_step, cause=error)
        self._watch = self._open_watch()
        self._meter.resume()

    def _open_watch(self) -> LossWatch:
        vocab_size = self._parts.model.config.vocab_size
        return LossWatch(self.state, rules=self._recipe.stop, vocab_size=vocab_size, desk=self._desk)

    # ---- Between steps ---------------------------------------------------------------------------

    def _validate(self) -> None:
        self._beat(Section.VALIDATION)
        result = self._parts.validator.evaluate(self._parts.updater.forward)
        # The slowest so far, since the reserve for the last one is measured by it.
        slowest_s = max(result.seconds, self.state.validation_s or 0.0)
        self._advance(validation_loss=result.loss, validation_step=self.state.step, validation_s=slowest_s)
        if self._desk is not None:
            conductor = self._desk.conductor
            self._advance(next_validation_s=conductor.next_validation_s(conductor.now_s()))
            self._desk.report_validation(self.state, result)
        self._meter.resume()

    def _save_on_the_way(self) -> None:
        """A checkpoint between steps: training waits for the copy; if the disk refuses, somebody is told."""
        self._stamp()
        if self._saver is not None:
            self.state = self._saver.begin(self.state)
        self._meter.resume()

    def _hold(self, order: Order) -> None:
        """Stand still until the next order; a checkpoint can be asked for meanwhile."""
        if order.checkpoint:
            self._save_on_the_way()
        else:
            self._beat(Section.HOLD)
            if self._desk is not None:
                self._desk.conductor.wait()
        self._meter.resume()

    def _pause(self) -> bool:
        """Save and be ready to leave; False where the disk refuses: then the run goes on rather than lose steps."""
        problem = self._save_or_tell("pause")
        is_saved = self._parts.ranks.share([float(not problem)]) == [1.0]
        if self._desk is not None:
            if is_saved:
                # Before the answer: an order that is answered is obeyed, whatever dies in between.
                self._desk.report_pause(self.state)
            self._desk.answer(self.state, is_done=is_saved, detail=problem or f"paused at step {self.state.step}")
        return is_saved

    def _save_or_tell(self, why: str) -> str:
        """Save, or say that it came to nothing: rank 0 gets the reason, empty where it was saved."""
        try:
            self._save(why)
        except StorageError as error:
            assert self._saver is not None
            self.state = self._saver.refused(self.state, error)
            return str(error)
        return ""

    def _save(self, why: str) -> None:
        """Save and wait until it is whole."""
        self._beat(Section.SAVE)
        self._stamp()
        if self._saver is not None:
            self.state = self._saver.save(self.state, why=why)

    def _stamp(self) -> None:
        """Bring into the state what only a checkpoint needs."""
        # The weights of a run that diverged are not kept; a sum over ranks needs all of them, hence before the desk.
        if self._parts.updater.has_unread_loss:
            self._watch.check_saved(self._parts.updater.take_loss(), step=self.state.step)
        if self._desk is not None:
            self._advance(
                charged_s=self._desk.conductor.now_s(),
                skipped_steps=self._parts.updater.skipped_steps(self.state.step),
                scaler=self._parts.updater.scaler_state,
                band=self._watch.band,
            )

    # ---- The end ---------------------------------------------------------------------------------

    def _finish(self, order: Order) -> None:
        """The budget is spent or somebody stopped the run: measure, save, export."""
        is_spent = order.ending is Ending.BUDGET
        self._validate()
        # Where the disk refuses the checkpoint, the export takes a third of the room and may still fit.
        self._save_or_tell("end" if is_spent else "stop")
        if self._desk is None:
            return
        self._is_exporting = True
        self._beat(Section.SAVE)
        began_s = time.monotonic()
        folder = self._parts.paths.exports / step_folder(self.state.step)
        conductor, data = self._desk.conductor, self._parts.dataset
        mask_token, charged_s = data.vocabulary.mask_token, conductor.now_s()
        card = model_card(conductor.recipe, self.state, data.manifest, mask_token=mask_token, charged_s=charged_s)
        name = write_export(self._parts.model, folder, tokenizer_dir=data.tokenizer_dir, model_card=card)
        self._desk.report_export(self.state, folder, architecture=name, seconds=time.monotonic() - began_s)
        lr = self._rate_at(1.0) if is_spent else self._lr
        self._desk.report_end(self.state, is_spent=is_spent, lr=lr, export=folder)
        self._desk.answer(self.state, is_done=True, detail=f"the run ended at step {self.state.step}")
