"""Back to the last checkpoint before the loss went wrong, and past the batches in between.

The weights, the optimizer, the loss scale and the schedule of a budget of steps go back. The sampler does not: it goes
on where it is, so the batches that may have done it are not seen again. What is charged stays charged. The journal's
record is what a resume from that checkpoint goes by, so a crash behind it leaves the same batches out.

When a loss is noticed depends on the clock, since it is read once a second; from the record on all is determined.
"""

from __future__ import annotations

from dataclasses import dataclass

from bertd.errors import BertdError, NumericsError
from bertd.model.encoder import MaskedLanguageModel
from bertd.run.log import log_line
from bertd.run.paths import RunPaths, newest_first, step_folder_name
from bertd.train.checkpoint.async_saver import AsyncCheckpointer
from bertd.train.checkpoint.format import is_valid_checkpoint, load_checkpoint
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.reporting import Reporter
from bertd.train.loop.spike_detector import LossWentWrongError
from bertd.train.loop.train_step import TrainStep
from bertd.train.optim.optimizer import Optimizers
from bertd.train.state import TrainState

MAX_ROLLBACKS = 2
"""Of a run; then it has failed. Source: the spikes of PaLM and BLOOM, which one or two passed by."""
_NO_CHECKPOINT = -1.0


@dataclass(frozen=True)
class Rollback:
    """What every rank needs to go back."""

    paths: RunPaths
    ranks: Ranks
    model: MaskedLanguageModel
    optimizers: Optimizers
    train_step: TrainStep
    reporter: Reporter | None
    checkpointer: AsyncCheckpointer | None

    def roll_back(self, state: TrainState, *, last_good_step: int, cause: LossWentWrongError) -> TrainState:
        """Put the newest checkpoint up to `last_good_step` in place; every rank must call.

        Args:
            state: as it stands.
            last_good_step: steps done when the loss was last known to be right.
            cause: what was noticed.

        Raises:
            NumericsError: it went back too often, or there is nothing to go back to.
            CheckpointError: the checkpoint cannot be loaded.
        """
        if self.checkpointer is not None:
            state = self.checkpointer.wait(state)
        if state.rollbacks >= MAX_ROLLBACKS:
            raise NumericsError(
                f"{cause}; went back {MAX_ROLLBACKS} times already: lower optimizer.peak_lr or set optimizer.clip, and "
                "submit again"
            )
        step = int(self.ranks.broadcast([self._choose_checkpoint(last_good_step=last_good_step)])[0])
        if step == _NO_CHECKPOINT:
            raise NumericsError(
                f"{cause}; there is no checkpoint from before it to go back to: lower optimizer.peak_lr or set "
                "optimizer.clip, and submit again"
            )
        loaded = load_checkpoint(
            self.paths.checkpoints / step_folder_name(step), model=self.model, optimizers=self.optimizers
        )
        self.train_step.load_scaler(loaded.scaler)
        restored = state.model_copy(
            update={
                "step": loaded.step,
                "skipped_steps": loaded.skipped_steps,
                "scaler": loaded.scaler,
                "band": loaded.band,
                "validation_loss": loaded.validation_loss,
                "validation_step": loaded.validation_step,
                # As after a crash here: what was passed since is passed again, with weights that are right.
                "markers_left": loaded.markers_left,
                "rollbacks": state.rollbacks + 1,
            }
        )
        if self.reporter is not None:
            _report_rollback(
                self.reporter, restored, from_step=state.step, skipped=state.sequences - loaded.sequences, cause=cause
            )
        return restored

    def _choose_checkpoint(self, *, last_good_step: int) -> float:
        """On rank 0, the step to go back to, with no checkpoint above it; elsewhere whatever."""
        if self.checkpointer is None:
            return 0.0
        try:
            for folder in newest_first(self.paths.checkpoints):
                step = int(folder.name.removeprefix("step-"))
                if step <= last_good_step and is_valid_checkpoint(folder):
                    # Before the journal's record: a resume must not find a checkpoint that the record voids.
                    self.checkpointer.discard_above(step)
                    return float(step)
        except BertdError as error:
            log_line(f"bertd: cannot go back: {error}")
        return _NO_CHECKPOINT


def _report_rollback(
    reporter: Reporter, restored: TrainState, *, from_step: int, skipped: int, cause: LossWentWrongError
) -> None:
    """The journal's record, and the alert of a loss that went wrong: whoever raised has told nobody."""
    reporter.report_rollback(restored, from_step=from_step, skipped_sequences=skipped, cause=str(cause))
    message = (
        f"{cause}; went back to step {restored.step} and left out the {skipped:,} sequences since, for time "
        f"{restored.rollbacks} of {MAX_ROLLBACKS}: if it comes again, stop the run and submit it with a lower "
        "optimizer.peak_lr or with optimizer.clip"
    )
    reporter.alert(restored, code=cause.code, message=message)
