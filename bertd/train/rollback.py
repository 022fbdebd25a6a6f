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
from bertd.run.job_log import say
from bertd.run.paths import RunPaths, newest_first, step_folder
from bertd.train.checkpoint import TrainingState, is_whole, load_checkpoint
from bertd.train.desk import Desk
from bertd.train.loss_watch import LossWentWrongError
from bertd.train.optimizer import Optimizers
from bertd.train.ranks import Ranks
from bertd.train.saving import Saver
from bertd.train.update import Updater

MAX_ROLLBACKS = 2
"""Of a run; then it has failed. Source: the spikes of PaLM and BLOOM, which one or two passed by."""
_NONE = -1.0


@dataclass(frozen=True)
class Rollback:
    """What every rank needs to go back."""

    paths: RunPaths
    ranks: Ranks
    model: MaskedLanguageModel
    optimizers: Optimizers
    updater: Updater
    desk: Desk | None
    saver: Saver | None

    def go_back(self, state: TrainingState, *, sound_step: int, cause: LossWentWrongError) -> TrainingState:
        """Put the newest checkpoint up to `sound_step` in place; every rank must call.

        Args:
            state: as it stands.
            sound_step: steps done when the loss was last known to be right.
            cause: what was noticed.

        Raises:
            NumericsError: it went back too often, or there is nothing to go back to.
            CheckpointError: the checkpoint cannot be loaded.
        """
        if self.saver is not None:
            state = self.saver.wait(state)
        if state.rollbacks >= MAX_ROLLBACKS:
            raise NumericsError(
                f"{cause}; went back {MAX_ROLLBACKS} times already: lower optimizer.peak_lr or set optimizer.clip, and "
                "submit again"
            )
        step = int(self.ranks.share([self._prepare(sound_step=sound_step)])[0])
        if step == _NONE:
            raise NumericsError(
                f"{cause}; there is no checkpoint from before it to go back to: lower optimizer.peak_lr or set "
                "optimizer.clip, and submit again"
            )
        loaded = load_checkpoint(
            self.paths.checkpoints / step_folder(step), model=self.model, optimizers=self.optimizers
        )
        self.updater.load_scaler(loaded.scaler)
        back = state.model_copy(
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
        if self.desk is not None:
            _tell(self.desk, back, from_step=state.step, skipped=state.sequences - loaded.sequences, cause=cause)
        return back

    def _prepare(self, *, sound_step: int) -> float:
        """On rank 0, the step to go back to, with no checkpoint above it; elsewhere whatever."""
        if self.saver is None:
            return 0.0
        try:
            for folder in newest_first(self.paths.checkpoints):
                step = int(folder.name.removeprefix("step-"))
                if step <= sound_step and is_whole(folder):
                    # Before the journal's record: a resume must not find a checkpoint that the record voids.
                    self.saver.discard_above(step)
                    return float(step)
        except BertdError as error:
            say(f"bertd: cannot go back: {error}")
        return _NONE


def _tell(desk: Desk, back: TrainingState, *, from_step: int, skipped: int, cause: LossWentWrongError) -> None:
    """The journal's record, and the alert of a loss that went wrong: whoever raised has told nobody."""
    desk.report_rollback(back, from_step=from_step, skipped_sequences=skipped, cause=str(cause))
    message = (
        f"{cause}; went back to step {back.step} and left out the {skipped:,} sequences since, for time "
        f"{back.rollbacks} of {MAX_ROLLBACKS}: if it comes again, stop the run and submit it with a lower "
        "optimizer.peak_lr or with optimizer.clip"
    )
    desk.alert(back, code=cause.code, message=message)
