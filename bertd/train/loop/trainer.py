"""The loop: an order, a step, and what the order asked for besides; then the end.

Every rank runs the same loop and obeys the same orders. Rank 0 also has a desk, which writes the journal, and a
saver, which writes checkpoints.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass

from bertd.data.batches.batches import TrainBatches
from bertd.data.dataset.shards import DataSet
from bertd.errors import BertdError, NumericsError, StorageError
from bertd.model.encoder import MaskedLanguageModel
from bertd.model.export import write_export
from bertd.model.flops import training_flops
from bertd.run.heartbeat import NO_HEARTBEAT, Heartbeat, Phase
from bertd.run.paths import RunPaths, step_folder_name
from bertd.run.recipe.schema import Recipe
from bertd.train.checkpoint.async_saver import AsyncCheckpointer
from bertd.train.checkpoint.model_card import model_card
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.control import ExitReason, StepPlan, broadcast_plan
from bertd.train.loop.reporting import Reporter, StepMetrics
from bertd.train.loop.rollback import Rollback
from bertd.train.loop.spike_detector import LossMonitor, LossWentWrongError, SpikeError
from bertd.train.loop.throughput import Throughput, ThroughputMeter, memory_bytes
from bertd.train.loop.train_step import TrainStep
from bertd.train.loop.validation import Validator
from bertd.train.optim.optimizer import Optimizers
from bertd.train.optim.schedule import learning_rate_factor
from bertd.train.state import TrainState


@dataclass(frozen=True)
class TrainerComponents:
    """What a trainer is put together from; the same on every rank but for `reporter`."""

    recipe: Recipe
    paths: RunPaths
    ranks: Ranks
    model: MaskedLanguageModel
    optimizers: Optimizers
    batches: TrainBatches
    train_step: TrainStep
    validator: Validator
    dataset: DataSet
    peak_flops: float | None
    """FLOP/s of a device, for the MFU; None where none is known for the run's precision."""
    reporter: Reporter | None
    checkpointer: AsyncCheckpointer | None
    """Where there is a desk."""
    heartbeat: Heartbeat = NO_HEARTBEAT


class Trainer:
    """One attempt, from `state` to its end, a pause or a stop."""

    def __init__(self, components: TrainerComponents, state: TrainState) -> None:
        self._components = components
        self._recipe = components.recipe
        self._reporter = components.reporter
        self._checkpointer = components.checkpointer
        self.state = state
        self._meter = ThroughputMeter()
        self._lr = 0.0
        self._loss_monitor = self._create_loss_monitor()
        self._is_exporting = False

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint or the last export is on its way to the disk; asked by another thread."""
        return self._is_exporting or (self._checkpointer is not None and self._checkpointer.is_writing)

    def run(self) -> ExitReason:
        """Train until an order ends it; what that means is done when this returns.

        Raises:
            NumericsError: the loss is not finite, or went wrong again after it was gone back.
            StorageError: the first checkpoint or the export could not be written.
        """
        try:
            # Or the reserve for the end, which is measured by the slowest validation, would be short of it or hold it
            # for ever.
            self._beat(Phase.VALIDATION)
            self._components.validator.warm_up(self._components.train_step.forward)
            if self._recipe.granted.is_timed and self.state.save_s is None:
                # The reserve for the end must be known before the schedule starts, and the disk tried.
                self._save("start")
            exit_reason = ExitReason.NONE
            while exit_reason is ExitReason.NONE:
                exit_reason = self.execute_next_plan()
        finally:
            if self._checkpointer is not None:
                # Whatever ends the loop, what is being written becomes whole and is told.
                with suppress(BertdError):
                    self.state = self._checkpointer.wait(self.state)
        return exit_reason

    def execute_next_plan(self) -> ExitReason:
        """Hear one order and obey it: a step and what goes with it, or the end."""
        plan = self._next_plan()
        try:
            return self._execute(plan)
        except LossWentWrongError as error:
            self._roll_back(error)
            return ExitReason.NONE

    def _execute(self, plan: StepPlan) -> ExitReason:
        if plan.exit_reason is ExitReason.PAUSED and self._pause():
            return plan.exit_reason
        if plan.exit_reason in (ExitReason.BUDGET, ExitReason.STOPPED):
            self._finish(plan)
            return plan.exit_reason
        if plan.suspend:
            self._suspend(plan)
            return ExitReason.NONE
        if plan.validate:
            self._validate()
        if plan.checkpoint:
            self._save_in_background()
        self._step(plan)
        return ExitReason.NONE

    def close(self) -> None:
        """Let go of the threads."""
        self._components.batches.close()
        if self._checkpointer is not None:
            self._checkpointer.close()

    def _next_plan(self) -> StepPlan:
        plan = None
        if self._reporter is not None:
            if self._checkpointer is not None:
                self.state = self._checkpointer.collect_finished(self.state)
            plan = self._reporter.plan_step(self.state, step_s=self._meter.step_s)
            if self._checkpointer is not None:
                plan, self.state = self._checkpointer.adjust_plan(plan, self.state)
        return broadcast_plan(self._components.ranks, plan)

    def _beat(self, phase: Phase) -> None:
        """For the watchdog: the newest step is done and a section begins."""
        self._components.heartbeat.beat(phase, step=self.state.step)

    def _update_state(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)

    # ---- A step ----------------------------------------------------------------------------------

    def _step(self, plan: StepPlan) -> None:
        self._beat(Phase.STEP)
        self._lr = self._lr_at(plan.progress)
        sequences = self._recipe.batch.sequences_at(plan.progress)
        if sequences != self._components.batches.global_batch:
            self._components.batches.resize(sequences, first_sequence=self.state.sequences)
        self._components.train_step.update(step=self.state.step, lr=self._lr, wants_norm=plan.report)
        self._update_state(step=self.state.step + 1, sequences=self.state.sequences + sequences)
        # Reading the loss waits for the device, so only then does the clock tell how long the steps took.
        loss = self._components.train_step.take_loss() if plan.report else None
        self._meter.count_step(sequences)
        if loss is not None:
            self._report(loss)

    def _lr_at(self, progress: float) -> float:
        return self._recipe.optimizer.peak_lr * learning_rate_factor(self._recipe.schedule, progress=progress)

    def _report(self, loss: float) -> None:
        train_step = self._components.train_step
        throughput = self._meter.read(wait_s=self._components.batches.wait_s)
        self._update_state(skipped_steps=train_step.skipped_steps(self.state.step))
        self._loss_monitor.require_finite(loss, step=self.state.step)
        train_step.require_usable_scale(self.state.step)
        if self._reporter is not None:
            self._report_step(self._reporter, loss, throughput)
        self._loss_monitor.judge(loss, self.state)

    def _report_step(self, reporter: Reporter, loss: float, throughput: Throughput) -> None:
        train_step = self._components.train_step
        scaler = train_step.scaler_state
        reporter.report_step(
            self.state,
            StepMetrics(
                loss=loss,
                lr=self._lr,
                grad_norm=math.nan if train_step.grad_norm is None else float(train_step.grad_norm),
                mfu=self._mfu(throughput.sequences_per_s),
                loss_scale=None if scaler is None else scaler.scale,
                memory_bytes=memory_bytes(self._components.ranks.device),
                throughput=throughput,
            ),
        )

    def _mfu(self, sequences_per_s: float) -> float | None:
        peak = self._components.peak_flops
        if peak is None:
            return None
        length = self._recipe.data.sequence_length
        predictions = self._recipe.masking.predictions(length)
        flops = training_flops(self._components.model.config, sequence_length=length, predictions=predictions)
        return sequences_per_s * flops / (peak * self._components.ranks.world_size)

    def _roll_back(self, error: LossWentWrongError) -> None:
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
        components = self._components
        rollback = Rollback(
            paths=components.paths,
            ranks=components.ranks,
            model=components.model,
            optimizers=components.optimizers,
            train_step=components.train_step,
            reporter=self._reporter,
            checkpointer=self._checkpointer,
        )
        self.state = rollback.roll_back(self.state, last_good_step=self._loss_monitor.last_good_step, cause=error)
        self._loss_monitor = self._create_loss_monitor()
        self._meter.exclude_idle_time()

    def _create_loss_monitor(self) -> LossMonitor:
        vocab_size = self._components.model.config.vocab_size
        return LossMonitor(self.state, rules=self._recipe.stop, vocab_size=vocab_size, reporter=self._reporter)

    # ---- Between steps ---------------------------------------------------------------------------

    def _validate(self) -> None:
        self._beat(Phase.VALIDATION)
        result = self._components.validator.evaluate(self._components.train_step.forward)
        # The slowest so far, since the reserve for the last one is measured by it.
        slowest_s = max(result.seconds, self.state.validation_s or 0.0)
        self._update_state(validation_loss=result.loss, validation_step=self.state.step, validation_s=slowest_s)
        if self._reporter is not None:
            controller = self._reporter.controller
            self._update_state(next_validation_s=controller.next_validation_s(controller.now_s()))
            self._reporter.report_validation(self.state, result)
        self._meter.exclude_idle_time()

    def _save_in_background(self) -> None:
        """A checkpoint between steps: training waits for the copy; if the disk refuses, somebody is told."""
        self._complete_state()
        if self._checkpointer is not None:
            self.state = self._checkpointer.begin_save(self.state)
        self._meter.exclude_idle_time()

    def _suspend(self, plan: StepPlan) -> None:
        """Stand still until the next order; a checkpoint can be asked for meanwhile."""
        if plan.checkpoint:
            self._save_in_background()
        else:
            self._beat(Phase.SUSPEND)
            if self._reporter is not None:
                self._reporter.controller.wait()
        self._meter.exclude_idle_time()

    def _pause(self) -> bool:
        """Save and be ready to leave; False where the disk refuses: then the run goes on rather than lose steps."""
        problem = self._try_save("pause")
        is_saved = self._components.ranks.broadcast([float(not problem)]) == [1.0]
        if self._reporter is not None:
            if is_saved:
                # Before the answer: an order that is answered is obeyed, whatever dies in between.
                self._reporter.report_pause(self.state)
            self._reporter.answer(self.state, is_done=is_saved, detail=problem or f"paused at step {self.state.step}")
        return is_saved

    def _try_save(self, why: str) -> str:
        """Save, or say that it came to nothing: rank 0 gets the reason, empty where it was saved."""
        try:
            self._save(why)
        except StorageError as error:
            assert self._checkpointer is not None
            self.state = self._checkpointer.report_failure(self.state, error)
            return str(error)
        return ""

    def _save(self, why: str) -> None:
        """Save and wait until it is whole."""
        self._beat(Phase.SAVE)
        self._complete_state()
        if self._checkpointer is not None:
            self.state = self._checkpointer.save(self.state, why=why)

    def _complete_state(self) -> None:
        """Bring into the state what only a checkpoint needs."""
        # The weights of a run that diverged are not kept; a sum over ranks needs all of them, hence before the desk.
        if self._components.train_step.has_unread_loss:
            self._loss_monitor.check_before_save(self._components.train_step.take_loss(), step=self.state.step)
        if self._reporter is not None:
            self._update_state(
                charged_s=self._reporter.controller.now_s(),
                skipped_steps=self._components.train_step.skipped_steps(self.state.step),
                scaler=self._components.train_step.scaler_state,
                band=self._loss_monitor.band,
            )

    # ---- The end ---------------------------------------------------------------------------------

    def _finish(self, plan: StepPlan) -> None:
        """The budget is spent or somebody stopped the run: measure, save, export."""
        is_spent = plan.exit_reason is ExitReason.BUDGET
        self._validate()
        # Where the disk refuses the checkpoint, the export takes a third of the room and may still fit.
        self._try_save("end" if is_spent else "stop")
        if self._reporter is None:
            return
        self._is_exporting = True
        self._beat(Phase.SAVE)
        began_s = time.monotonic()
        folder = self._components.paths.exports / step_folder_name(self.state.step)
        controller, data = self._reporter.controller, self._components.dataset
        mask_token, charged_s = data.vocabulary.mask_token, controller.now_s()
        card = model_card(controller.recipe, self.state, data.manifest, mask_token=mask_token, charged_s=charged_s)
        name = write_export(self._components.model, folder, tokenizer_dir=data.tokenizer_dir, model_card=card)
        self._reporter.report_export(self.state, folder, architecture=name, seconds=time.monotonic() - began_s)
        lr = self._lr_at(1.0) if is_spent else self._lr
        self._reporter.report_end(self.state, is_spent=is_spent, lr=lr, export=folder)
        self._reporter.answer(self.state, is_done=True, detail=f"the run ended at step {self.state.step}")
