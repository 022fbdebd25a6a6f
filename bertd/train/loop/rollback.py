"""Rollback to the last checkpoint before the loss went wrong, skipping the batches since then.

The weights, the optimizer, the loss scale and the schedule of a budget of steps go back. The sampler does not: it
continues from its current position, so the batches that may be the cause are not seen again. Charged time stays
charged. A resume from that checkpoint follows the journal's rollback record, so a crash does not bring them back.

The step at which a bad loss is noticed depends on the clock, since the loss is read once a second. After the record
everything is deterministic.
"""

from __future__ import annotations

from bertd.errors import BertdError, NumericsError
from bertd.run.log import log_line
from bertd.run.paths import newest_first, step_folder_name, step_of
from bertd.train.checkpoint.copy_to_machines import on_every_machine
from bertd.train.checkpoint.format import is_valid_checkpoint, load_checkpoint
from bertd.train.loop.components import TrainerComponents
from bertd.train.loop.reporting import Reporter
from bertd.train.loop.spike_detector import LossWentWrongError
from bertd.train.state import TrainState

MAX_ROLLBACKS = 2
"""Rollbacks of a run before it fails. Source: one or two got PaLM and BLOOM past each of their spikes."""
_NO_CHECKPOINT = -1.0


def roll_back(
    components: TrainerComponents, state: TrainState, *, last_good_step: int, cause: LossWentWrongError
) -> TrainState:
    """Load the newest checkpoint up to `last_good_step`; every rank must call.

    Args:
        state: the current state.
        last_good_step: steps done when the loss was last known to be good.

    Raises:
        NumericsError: the run has used all its rollbacks, or there is no checkpoint to go back to.
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
    with on_every_machine(folder, ranks=components.ranks):
        loaded = load_checkpoint(folder, model=components.model, optimizers=components.optimizers)
    components.train_step.load_scaler(loaded.scaler)
    restored = state.model_copy(
        update={
            "step": loaded.step,
            "skipped_steps": loaded.skipped_steps,
            "scaler": loaded.scaler,
            "band": loaded.band,
            "validation_loss": loaded.validation_loss,
            "validation_share": loaded.validation_share,
            "validation_step": loaded.validation_step,
            # Markers since then come due again, with good weights, as after a crash.
            "markers_left": loaded.markers_left,
            "rollbacks": state.rollbacks + 1,
        }
    )
    skipped = state.sequences - loaded.sequences
    _report_rollback(components.reporter, restored, from_step=state.step, skipped=skipped, cause=cause)
    return restored


def _choose_checkpoint(components: TrainerComponents, *, last_good_step: int) -> float:
    """On rank 0 return the step to go back to, and delete later checkpoints; the other ranks' result is not used."""
    if not components.ranks.is_first:
        return _NO_CHECKPOINT
    try:
        for folder in newest_first(components.paths.checkpoints):
            step = step_of(folder)
            if step <= last_good_step and is_valid_checkpoint(folder):
                # Before the journal's record: a resume must not find a checkpoint that the record makes void.
                components.checkpointer.discard_above(step)
                return float(step)
    except BertdError as error:
        log_line(f"bertd: cannot roll back: {error}")
    return _NO_CHECKPOINT


def _report_rollback(
    reporter: Reporter, restored: TrainState, *, from_step: int, skipped: int, cause: LossWentWrongError
) -> None:
    """Write the journal's record and the alert about the loss, which the code that raised `cause` did not report."""
    reporter.report_rollback(restored, from_step=from_step, skipped_sequences=skipped, cause=str(cause))
    message = (
        f"{cause}; went back to step {restored.step} and left out the {skipped:,} sequences since, for time "
        f"{restored.rollbacks} of {MAX_ROLLBACKS}: if it comes again, stop the run and submit it with a lower "
        "optimizer.peak_lr or with optimizer.clip"
    )
    reporter.alert(restored, code=cause.code, message=message)
