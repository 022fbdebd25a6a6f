"""Where an attempt begins: at its newest valid checkpoint, else at first weights.

First weights are drawn from the seed, or read from a checkpoint of stock transformers. Where they are drawn, the output
bias can begin at the logarithm of each token's frequency: guessing by frequency is the first thing that a model learns,
and here it is free. A checkpoint has learned it, and more: its bias stays, and the start of the run says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from bertd.data.frequency import token_shares
from bertd.data.shards import DataSet
from bertd.errors import CheckpointError, StorageError
from bertd.model.encoder import MaskedLanguageModel
from bertd.model.pretrained import load_pretrained
from bertd.records import RollbackRecord
from bertd.run.job_log import say
from bertd.run.journal import read_rollbacks
from bertd.run.paths import step_folder
from bertd.train.checkpoint import TrainingState, find_checkpoint, load_checkpoint, set_aside
from bertd.train.opened_run import OpenedRun
from bertd.train.optimizer import Optimizers
from bertd.train.ranks import Ranks
from bertd.train.retention import Retention


@dataclass(frozen=True)
class Resumed:
    """Where an attempt begins."""

    state: TrainingState
    skipped: list[str]
    """Damaged checkpoints that were passed over."""
    start_from: str | None = None
    """Class and place of the stock checkpoint whose weights were taken."""


@dataclass(frozen=True)
class _Newest:
    """The checkpoint that all ranks load."""

    folder: Path | None
    """None where there is none at all."""
    skipped: list[str]
    """Known to rank 0 alone."""


_NO_CHECKPOINT, _ALL_DAMAGED = -1.0, -2.0


def _newest(opened: OpenedRun, ranks: Ranks) -> _Newest:
    """Rank 0 verifies and puts aside what is damaged; the others load what it found, or fail as it did."""
    root = opened.paths.checkpoints
    skipped: list[str] = []
    failure: CheckpointError | None = None
    step = _NO_CHECKPOINT
    if ranks.is_first:
        try:
            found = find_checkpoint(root)
        except CheckpointError as error:
            failure, step = error, _ALL_DAMAGED
        else:
            if found is not None:
                step, skipped = float(found.folder.name.removeprefix("step-")), found.skipped
                # Else the next checkpoint of that step would find its place taken.
                for folder in found.damaged:
                    set_aside(folder)
                _index(opened, trusted=found.folder)
    (step,) = ranks.share([step])
    if step == _ALL_DAMAGED:
        raise failure or CheckpointError(f"{root}: no checkpoint is whole; rank 0 says more")
    return _Newest(folder=None if step == _NO_CHECKPOINT else root / step_folder(int(step)), skipped=skipped)


def _index(opened: OpenedRun, *, trusted: Path) -> None:
    """Bring the list of what is kept in line with the folder: the attempt before may have died between the two."""
    try:
        Retention(opened.paths, keep=opened.recipe.checkpoint.keep).prune(trusted=trusted)
    except StorageError as error:
        # The next save does it; that the disk refuses is told then.
        say(f"bertd: {error}")


def resume(opened: OpenedRun, *, model: MaskedLanguageModel, optimizers: Optimizers, ranks: Ranks) -> Resumed:
    """Put the newest valid checkpoint, or the first weights, into the model.

    Raises:
        CheckpointError: none is whole, or it belongs to another recipe or other data; or start_from does not fit.
    """
    found = _newest(opened, ranks)
    if found.folder is None:
        fresh = TrainingState(
            step=0,
            sequences=0,
            charged_s=0.0,
            recipe_sha256=opened.recipe_sha256,
            data_fingerprint=opened.dataset.fingerprint,
            markers_left=opened.recipe.checkpoint.markers,
        )
        return Resumed(state=fresh, skipped=[], start_from=_first_weights(opened, model))
    state = load_checkpoint(found.folder, model=model, optimizers=optimizers)
    if state.data_fingerprint != opened.dataset.fingerprint:
        raise CheckpointError(
            f"{found.folder}: was trained on other data than {opened.dataset.root}; restore the data set it names, "
            f"fingerprint {state.data_fingerprint[:12]}, or submit a new run"
        )
    if state.recipe_sha256 != opened.recipe_sha256:
        raise CheckpointError(f"{found.folder}: recipe.toml was changed since; restore it, or submit a new run")
    return Resumed(state=_past_rollbacks(state, read_rollbacks(opened.paths.journal)), skipped=found.skipped)


def _past_rollbacks(state: TrainingState, rollbacks: list[RollbackRecord]) -> TrainingState:
    """The same, and where the run went back to this checkpoint before, behind the batches that it left out."""
    left_out = [record.sequences for record in rollbacks if record.step == state.step]
    sequences = max([state.sequences, *left_out])
    return state.model_copy(update={"sequences": sequences, "rollbacks": len(rollbacks)})


def _first_weights(opened: OpenedRun, model: MaskedLanguageModel) -> str | None:
    """Put the recipe's checkpoint into the model, if it names one; every rank reads it for itself."""
    source = opened.recipe.model.start_from
    if source is None:
        if opened.recipe.model.head_bias == "frequency":
            bias_by_frequency(model, opened.dataset)
        return None
    family = load_pretrained(model, source, entries=opened.dataset.vocabulary.entries)
    return f"{family} of {source}"


@torch.no_grad()
def bias_by_frequency(model: MaskedLanguageModel, dataset: DataSet) -> None:
    """Let the untrained model guess by frequency: output bias = log of each token's share."""
    shares_V = torch.from_numpy(token_shares(dataset))
    model.head.bias[: dataset.vocabulary.size] = shares_V.log().to(model.head.bias)
