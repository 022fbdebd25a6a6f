"""Back to the last checkpoint before the loss went wrong, and past the batches in between.

The weights, the optimizer, the loss scale and the schedule of a budget of steps go back. The sampler does not: it goes
on where it is, so the batches that may have done it are not seen again. What is charged stays charged. The journal's
record is what a resume from that checkpoint goes by, so a crash behind it leaves the same batches out.

When a loss is noticed depends on the clock, since it is read once a second; from the record on all is determined.
"""

from __future__ import annotations

from bertd.errors import BertdError, NumericsError
from bertd.run.log import log_line
from bertd.run.paths import newest_first, step_folder_name, step_of
from bertd.train.checkpoint.format import is_valid_checkpoint, load_checkpoint
from bertd.train.loop.components import TrainerComponents
from bertd.train.loop.reporting import Reporter
from bertd.train.loop.spike_detector import LossWentWrongError
from bertd.train.state import TrainState

MAX_ROLLBACKS = 2
"""Of a run; then it has failed. Source: the spikes of PaLM and BLOOM, which one or two passed by."""
_NO_CHECKPOINT = -1.0


def roll_back(
    components: TrainerComponents, state: TrainState, *, last_good_step: int, cause: LossWentWrongError
) -> TrainState:
    """Load the newest checkpoint up to `last_good_step`; every rank must call.

    Args:
        state: as it is now.
        last_good_step: steps done when the loss was last known to be right.
        cause: what was noticed.

    Raises:
        NumericsError: it went back too often, or there is nothing to go back to.
        CheckpointError: the checkpoint cannot be loaded.
    """
    state = components.checkpointer.wait(state)
    if state.rollbacks >= MAX_ROLLBACKS:
        raise NumericsError(
            f"{cause}; went back {MAX_ROLLBACKS} times already: lower optimizer.peak_lr or set optimizer.clip, and "
            "submit again"
        )
    step = int(components.ranks.broadcast([_choose_checkpoint(components, last_good_step=last_good_step)])[0])
    if step == _NO_CHECKPOINT:
        raise NumericsError(
            f"{cause}; there is no checkpoint from before it to go back to: lower optimizer.peak_lr or set "
            "optimizer.clip, and submit again"
        )
    folder = components.paths.checkpoints / step_folder_name(step)
    loaded = load_checkpoint(folder, model=components.model, optimizers=components.optimizers)
    components.train_step.load_scaler(loaded.scaler)
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
    skipped = state.sequences - loaded.sequences
    _report_rollback(components.reporter, restored, from_step=state.step, skipped=skipped, cause=cause)
    return restored


def _choose_checkpoint(components: TrainerComponents, *, last_good_step: int) -> float:
    """On rank 0, the step to go back to, with no checkpoint above it; on the other ranks any number."""
    if not components.ranks.is_first:
        return _NO_CHECKPOINT
    try:
        for folder in newest_first(components.paths.checkpoints):
            step = step_of(folder)
            if step <= last_good_step and is_valid_checkpoint(folder):
                # Before the journal's record: a resume must not find a checkpoint that the record voids.
                components.checkpointer.discard_above(step)
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
