"""The components of the training loop."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.data.batches.batches import TrainBatches
from bertd.model.encoder import MaskedLanguageModel
from bertd.run.paths import RunPaths
from bertd.run.ranks.heartbeat import NO_HEARTBEAT, Heartbeat
from bertd.run.recipe.schema import Recipe
from bertd.train.checkpoint.async_saver import Checkpointer
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.budget_tracker import BudgetTracker
from bertd.train.loop.commands import PendingCommands
from bertd.train.loop.control import StepController
from bertd.train.loop.reporting import Reporter
from bertd.train.loop.startup import StartupTimer
from bertd.train.loop.train_step import TrainStep
from bertd.train.loop.validation import Validator
from bertd.train.optim.optimizer import Optimizers


@dataclass(frozen=True)
class TrainerComponents:
    """Every rank has all components; those that belong to rank 0 do nothing on the others."""

    recipe: Recipe
    paths: RunPaths
    ranks: Ranks
    model: MaskedLanguageModel
    optimizers: Optimizers
    batches: TrainBatches
    train_step: TrainStep
    validator: Validator
    budget: BudgetTracker
    commands: PendingCommands
    reporter: Reporter
    checkpointer: Checkpointer
    controller: StepController
    startup: StartupTimer
    attempt: int
    peak_flops: float | None
    """FLOP/s of one device, for the MFU; None if it is not known for the run's precision."""
    heartbeat: Heartbeat = NO_HEARTBEAT
