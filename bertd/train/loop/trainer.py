"""The training loop: each iteration follows rank 0's plan (validate, save, step) until the run ends.

Every rank runs the same loop with the same plan. Plans come from control.py; the update is in train_step.py; the
parts that belong to rank 0, such as the journal, do nothing on the other ranks.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from bertd.errors import BertdError, NumericsError, StorageError
from bertd.model.flops import training_flops
from bertd.run.learning_rate import learning_rate_factor
from bertd.run.paths import step_folder_name
from bertd.run.ranks.heartbeat import Phase
from bertd.train.backends.synchronize import synchronize
from bertd.train.loop.components import TrainerComponents
from bertd.train.loop.control import ExitReason, StepPlan, broadcast_plan
from bertd.train.loop.reporting import StepMetrics
from bertd.train.loop.rollback import roll_back
from bertd.train.loop.spike_detector import LossMonitor, LossWentWrongError, SpikeError
from bertd.train.loop.step_reading import PendingReading, runs_after_host
from bertd.train.loop.throughput import ThroughputMeter, memory_bytes
from bertd.train.loop.train_step import StepFigures
from bertd.train.state import TrainState


@dataclass(frozen=True)
class _QueuedUpdate:
    """An update that the device may still be working on."""

    state: TrainState
    """After it."""
    sequences: int
    lr: float
    reading: PendingReading
    is_reported: bool
    """Whether the reading has the figures of a report."""


class Trainer:
    """Runs one attempt, from `state` to the end of the budget, a pause or a stop."""

    def __init__(self, components: TrainerComponents, state: TrainState) -> None:
        self.components = components
        self.state = state
        self._recipe = components.recipe
        self._ranks = components.ranks
        self._batches = components.batches
        self._train_step = components.train_step
        self._controller = components.controller
        self._checkpointer = components.checkpointer
        self._reporter = components.reporter
        self._meter = ThroughputMeter()
        self._loss_monitor = self._create_loss_monitor()
        self._lr = 0.0
        self._is_first_step = True
        self._queued: _QueuedUpdate | None = None
        self._runs_after_host = runs_after_host(components.ranks.device)

    # ---- The loop --------------------------------------------------------------------------------

    def run(self) -> ExitReason:
        """Train until a plan ends the loop; the pause or end that it asks for is done when this returns.

        Raises:
            NumericsError: the loss is not finite, or diverged again after a rollback.
            StorageError: the first checkpoint or the export could not be written.
        """
        try:
            self._warm_up()
            while (exit_reason := self.execute_next_plan()) is ExitReason.NONE:
                pass
        finally:
            # Whatever ends the loop, let a save in progress complete, and report it.
            with suppress(BertdError):
                self.state = self._checkpointer.wait(self.state)
        return exit_reason

    def execute_next_plan(self) -> ExitReason:
        """One iteration: a step and what comes before and after it, or the end."""
        plan = self._next_plan()
        try:
            if not plan.only_steps:
                # What else a plan can ask for waits for the device, or reads the loss itself.
                self._finish_update()
            self._controller.follow_suspension(plan, self.state)
            if plan.exit_reason is not ExitReason.NONE and self._leave(plan):
                return plan.exit_reason
            if plan.suspend:
                self._suspend(plan)
            else:
                if plan.validate and not plan.exit_reason:
                    self._validate()
                if plan.checkpoint:
                    self._save_in_background()
                self._step(plan)
        except LossWentWrongError as error:
            self._roll_back(error)
        return ExitReason.NONE

    def _warm_up(self) -> None:
        # Warm up first: a first validation that includes compilation would inflate the reserve, which uses the slowest
        # one, for the rest of the run.
        self._beat(Phase.VALIDATION)
        with self.components.startup.compiling():
            self.components.validator.warm_up(self._train_step.forward)
        if self._recipe.granted.is_timed and self.state.save_s is None:
            # Measure the reserve before the schedule starts, and find out early if the disk refuses a checkpoint.
            self._save("start")

    def _next_plan(self) -> StepPlan:
        plan = None
        if self._ranks.is_first:
            step_s = self._meter.step_s
            queued_s = 0.0 if self._queued is None else step_s
            plan, self.state = self._controller.plan_step(self.state, step_s=step_s, queued_s=queued_s)
        return broadcast_plan(self._ranks, plan)

    def _leave(self, plan: StepPlan) -> bool:
        """End or pause; False if a pause cannot be saved: the run then continues rather than lose steps."""
        if plan.exit_reason is ExitReason.PAUSED:
            if plan.validate:
                self._validate()
            return self._pause()
        is_spent = plan.exit_reason is ExitReason.BUDGET
        if is_spent and not self.state.step:
            self._end_untrained()
        else:
            self._finish(is_spent=is_spent)
        return True

    def close(self) -> None:
        """End the threads, and close the journal."""
        self._batches.close()
        self._checkpointer.close()
        self._reporter.close()

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint or the last export is being written; called from another thread."""
        return self._checkpointer.is_writing

    # ---- A step ----------------------------------------------------------------------------------

    def _step(self, plan: StepPlan) -> None:
        """Queue one update, and report the one before it; on a CPU, which does it at once, report it too."""
        self._beat(Phase.STEP)
        self._lr = self._lr_at(plan.progress)
        sequences = self._recipe.batch.sequences_at(plan.progress)
        if sequences != self._batches.global_batch:
            self._batches.resize(sequences, first_sequence=self.state.sequences)
        self._update(wants_norm=plan.report)
        self._update_state(step=self.state.step + 1, sequences=self.state.sequences + sequences)
        if self._is_first_step:
            self._is_first_step = False
            times = self.components.startup.finish()
            self._meter.exclude_idle_time(training_s=times.first_step_s)
            self._reporter.report_startup(self.state, times, attempt=self.components.attempt)
        device = self._ranks.device
        reading = self._train_step.begin_reading() if plan.report else PendingReading(None, device=device)
        queued = _QueuedUpdate(self.state, sequences, self._lr, reading, is_reported=plan.report)
        self._finish_update()
        self._queued = queued
        if not self._runs_after_host:
            self._finish_update()

    def _update(self, *, wants_norm: bool) -> None:
        if not self._is_first_step:
            self._train_step.update(step=self.state.step, lr=self._lr, wants_norm=wants_norm)
            return
        with self.components.startup.stepping():
            self._train_step.update(step=self.state.step, lr=self._lr, wants_norm=wants_norm)
            # This once: the step's work is only queued, and its time would be that of queueing.
            synchronize(self._ranks.device)

    def _finish_update(self) -> None:
        """Wait for the queued update, if there is one, and report it if it is to be reported."""
        queued, self._queued = self._queued, None
        if queued is None:
            return
        # Wait before the meter reads the clock.
        figures = self._train_step.finish_reading(queued.reading) if queued.is_reported else queued.reading.wait()
        self._meter.count_step(queued.sequences)
        if isinstance(figures, StepFigures):
            self._report_step(queued, figures)

    def _report_step(self, queued: _QueuedUpdate, figures: StepFigures) -> None:
        throughput = self._meter.read(wait_s=self._batches.wait_s)
        state = queued.state
        skipped_steps = self._train_step.skipped_steps(state.step, num_updates=figures.num_updates)
        state = state.model_copy(update={"skipped_steps": skipped_steps})
        self._update_state(skipped_steps=skipped_steps)
        self._loss_monitor.require_finite(figures.loss, step=state.step)
        if figures.is_scale_stuck:
            self._train_step.require_usable_scale(state.step)
        metrics = StepMetrics(
            loss=figures.loss,
            lr=queued.lr,
            grad_norm=figures.grad_norm,
            mfu=self._mfu(throughput.sequences_per_s),
            loss_scale=figures.loss_scale if self._train_step.scaler.is_enabled() else None,
            memory_bytes=memory_bytes(self._ranks.device),
            throughput=throughput,
        )
        self._reporter.report_step(state, metrics)
        self._loss_monitor.judge(figures.loss, state)

    def _lr_at(self, progress: float) -> float:
        return self._recipe.optimizer.peak_lr * learning_rate_factor(self._recipe.schedule, progress=progress)

    def _mfu(self, sequences_per_s: float) -> float | None:
        peak = self.components.peak_flops
        if peak is None:
            return None
        length = self._recipe.data.sequence_length
        predictions = self._recipe.masking.predictions(length)
        flops = training_flops(self.components.model.config, sequence_length=length, predictions=predictions)
        return sequences_per_s * flops / (peak * self._ranks.world_size)

    # ---- Between steps ---------------------------------------------------------------------------

    def _validate(self, *, max_seconds: float | None = None) -> None:
        self._beat(Phase.VALIDATION)
        result = self.components.validator.evaluate(self._train_step.forward, max_seconds=max_seconds)
        budget = self.components.budget
        self._update_state(
            validation_loss=result.loss,
            validation_step=self.state.step,
            validation_share=result.share,
            # The slowest so far, because the reserve for the last validation uses it.
            validation_s=max(result.seconds, self.state.validation_s or 0.0),
            next_validation_s=budget.next_validation_s(budget.now_s()),
        )
        self._reporter.report_validation(self.state, result)
        self._meter.exclude_idle_time()

    def _save_in_background(self) -> None:
        """Begin a checkpoint between steps; if the disk refuses it, an alert says so."""
        self._complete_state()
        self.state = self._checkpointer.begin_save(self.state)
        self._meter.exclude_idle_time()

    def _suspend(self, plan: StepPlan) -> None:
        """Do nothing until the next plan; a checkpoint can be requested meanwhile."""
        if plan.checkpoint:
            self._save_in_background()
        else:
            self._beat(Phase.SUSPEND)
            self._controller.wait()
        self._meter.exclude_idle_time()

    def _pause(self) -> bool:
        """Save, and report that the ranks exit; False if the disk refuses."""
        problem = self._try_save("pause")
        is_saved = self._ranks.broadcast([float(not problem)]) == [1.0]
        if is_saved:
            # Before the answer: an answered command must have been executed, even after a crash in between.
            self._reporter.report_pause(self.state, detail=self._controller.exit_detail)
        self.components.commands.answer(
            self.state, is_done=is_saved, detail=problem or f"paused at step {self.state.step}"
        )
        return is_saved

    def _try_save(self, why: str) -> str:
        """Save; return the reason if the disk refuses (on rank 0), else an empty string."""
        try:
            self._save(why)
        except StorageError as error:
            self.state = self._checkpointer.report_failure(self.state, error)
            return str(error)
        return ""

    def _save(self, why: str) -> None:
        """Save, and wait until the checkpoint is complete."""
        self._beat(Phase.SAVE)
        self._complete_state()
        self.state = self._checkpointer.save(self.state, why=why)

    def _complete_state(self) -> None:
        """Update what only a checkpoint needs of the state, and gather the optimizer's."""
        # Never save the weights of a diverged run. Every rank comes here, because reading the loss sums over all ranks.
        if self._train_step.has_unread_loss:
            self._loss_monitor.check_before_save(self._train_step.take_loss(), step=self.state.step)
        self.components.optimizers.gather_state()
        self._update_state(
            charged_s=self.components.budget.now_s(),
            skipped_steps=self._train_step.skipped_steps(self.state.step),
            scaler=self._train_step.scaler_state,
            band=self._loss_monitor.band,
        )

    def _roll_back(self, error: LossWentWrongError) -> None:
        """Continue from the last checkpoint before the bad loss, if the recipe asks for that; every rank must call.

        Raises:
            NumericsError: the recipe does not ask for it, or it was done too often.
        """
        # SpikeError is raised only if the recipe asks for rollback.
        if not isinstance(error, SpikeError) and self._recipe.stop.on_nan == "stop":
            raise NumericsError(
                f"{error}; the newest checkpoint is from before it: lower optimizer.peak_lr or set optimizer.clip, and "
                "submit again"
            ) from error
        # The update that was queued after the bad one, and its loss.
        self._queued = None
        self._train_step.discard_loss()
        last_good_step = self._loss_monitor.last_good_step
        self.state = roll_back(self.components, self.state, last_good_step=last_good_step, cause=error)
        self._loss_monitor = self._create_loss_monitor()
        self._meter.exclude_idle_time()

    # ---- The end ---------------------------------------------------------------------------------

    def _finish(self, *, is_spent: bool) -> None:
        """The budget is spent or the run was stopped: validate, save, export."""
        self._validate(max_seconds=self.components.budget.last_validation_s(self.state))
        # If the disk refuses the checkpoint, the export, with a third of its size, may still fit.
        self._try_save("end" if is_spent else "stop")
        self._beat(Phase.SAVE)
        export = self.components.paths.exports / step_folder_name(self.state.step)
        self._checkpointer.export(self.state, export)
        detail, lr = self._controller.exit_detail, self._lr_at(1.0) if is_spent else self._lr
        self._reporter.report_end(self.state, is_spent=is_spent, detail=detail, lr=lr, export=export)
        # The one that ended it, and those that came during the last validation, save and export.
        self.components.commands.answer_rest(self.state)

    def _end_untrained(self) -> None:
        """The budget was spent before the first step: there is nothing to validate, to save or to export."""
        self._reporter.report_untrained(self.state)
        self.components.commands.answer_rest(self.state)

    # ---- Inside ----------------------------------------------------------------------------------

    def _create_loss_monitor(self) -> LossMonitor:
        return LossMonitor(
            self.state,
            rules=self._recipe.stop,
            vocab_size=self.components.model.config.vocab_size,
            reporter=self._reporter,
            controller=self._controller,
        )

    def _beat(self, phase: Phase) -> None:
        """Report to the watchdog that a phase begins, after the newest step was done or, on a GPU, queued."""
        self.components.heartbeat.beat(phase, step=self.state.step)

    def _update_state(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)
