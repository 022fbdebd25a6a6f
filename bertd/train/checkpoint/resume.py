"""Load what an attempt begins with: the run's newest valid checkpoint, or initial weights if it has none.

Initial weights are drawn from the seed, or read from a checkpoint of stock transformers. If they are drawn, the output
bias can begin at the logarithm of each token's frequency: guessing by frequency is the first thing that a model learns,
and this way it costs no training; which words stand near each other can be counted, too (bertd/train/cooccurrence). A
loaded checkpoint has learned both: its weights stay, and the start record says so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from bertd.data.dataset.mixture import DataMixture
from bertd.data.dataset.unigram import token_shares
from bertd.errors import CheckpointError, NewerCheckpointError, StorageError
from bertd.model.encoder import MaskedLanguageModel
from bertd.model.pretrained import load_pretrained
from bertd.records import RollbackRecord
from bertd.run.journal_digest import read_digest
from bertd.run.log import log_line
from bertd.run.paths import step_folder_name, step_of
from bertd.train.checkpoint.copy_to_machines import on_every_machine
from bertd.train.checkpoint.format import find_checkpoint, load_checkpoint, quarantine
from bertd.train.checkpoint.retention import Retention
from bertd.train.cooccurrence.first_weights import write_first_weights
from bertd.train.cooccurrence.neighbour_counts import NeighbourCounts
from bertd.train.distributed.process_group import Ranks
from bertd.train.optim.optimizer import Optimizers
from bertd.train.run_inputs import RunInputs
from bertd.train.state import TrainState


@dataclass(frozen=True)
class StartingPoint:
    """The state that an attempt begins with."""

    state: TrainState
    skipped: list[str]
    """Damaged checkpoints that were skipped."""
    start_from: str | None = None
    """Class and place of the stock checkpoint whose weights were loaded."""


@dataclass(frozen=True)
class _NewestCheckpoint:
    """The checkpoint that all ranks load."""

    folder: Path | None
    """None if the run has no checkpoint."""
    skipped: list[str]
    """Known only to rank 0."""


_NO_CHECKPOINT, _ALL_DAMAGED, _NEWER = -1.0, -2.0, -3.0


def _find_newest(run_inputs: RunInputs, ranks: Ranks) -> _NewestCheckpoint:
    """Rank 0 verifies, and quarantines what is damaged; the others load what it found, or fail as it did."""
    root = run_inputs.paths.checkpoints
    skipped: list[str] = []
    problem = ""
    step = _NO_CHECKPOINT
    if ranks.is_first:
        try:
            found = find_checkpoint(root)
        except CheckpointError as error:
            problem, is_newer = str(error), isinstance(error, NewerCheckpointError)
            step = _NEWER if is_newer else _ALL_DAMAGED
        else:
            if found is not None:
                step, skipped = float(step_of(found.folder)), found.skipped
                # Otherwise the next checkpoint of that step would find its folder taken.
                for folder in found.damaged:
                    quarantine(folder)
                _update_index(run_inputs, trusted=found.folder)
    (step,) = ranks.broadcast([step])
    if step in (_ALL_DAMAGED, _NEWER):
        # With rank 0's reason: the rank that reports a failure first is heard, whichever it is.
        problem = ranks.broadcast_text(problem)
        raise NewerCheckpointError(problem) if step == _NEWER else CheckpointError(problem)
    return _NewestCheckpoint(
        folder=None if step == _NO_CHECKPOINT else root / step_folder_name(int(step)), skipped=skipped
    )


def _update_index(run_inputs: RunInputs, *, trusted: Path) -> None:
    """Rebuild the index of kept checkpoints: the last attempt may have died after a save and before updating it."""
    try:
        Retention(run_inputs.paths, keep=run_inputs.recipe.checkpoint.keep).prune(trusted=trusted)
    except StorageError as error:
        # The next save does this again, and reports a disk that refuses.
        log_line(f"bertd: {error}")


def load_or_initialize(
    run_inputs: RunInputs, *, model: MaskedLanguageModel, optimizers: Optimizers, ranks: Ranks
) -> StartingPoint:
    """Load the newest valid checkpoint, or the initial weights, into the model.

    Raises:
        CheckpointError: none is valid, or it belongs to another recipe or other data; or start_from does not fit.
    """
    found = _find_newest(run_inputs, ranks)
    if found.folder is None:
        fresh = TrainState(
            step=0,
            sequences=0,
            charged_s=0.0,
            recipe_sha256=run_inputs.recipe_sha256,
            data_fingerprint=run_inputs.dataset.fingerprint,
            markers_left=run_inputs.recipe.checkpoint.markers,
        )
        return StartingPoint(state=fresh, skipped=[], start_from=_initialize_weights(run_inputs, model, ranks))
    with on_every_machine(found.folder, ranks=ranks):
        state = load_checkpoint(found.folder, model=model, optimizers=optimizers)
    if not ranks.node:
        _check_origin(state, run_inputs, folder=found.folder)
        state = _skip_rolled_back_batches(state, read_digest(run_inputs.paths.journal).rollbacks)
    if ranks.num_nodes > 1:
        # The others have no journal.
        state = TrainState.model_validate_json(ranks.broadcast_text(state.model_dump_json()))
    return StartingPoint(state=state, skipped=found.skipped)


def _check_origin(state: TrainState, run_inputs: RunInputs, *, folder: Path) -> None:
    """Refuse a checkpoint that is not of this run.

    Raises:
        CheckpointError: it belongs to another recipe or other data.
    """
    if state.data_fingerprint != run_inputs.dataset.fingerprint:
        raise CheckpointError(
            f"{folder}: was trained on other data than {run_inputs.dataset.place}; restore what it names, "
            f"fingerprint {state.data_fingerprint[:12]}, or submit a new run"
        )
    if state.recipe_sha256 != run_inputs.recipe_sha256:
        raise CheckpointError(f"{folder}: recipe.toml was changed since; restore it, or submit a new run")


def _skip_rolled_back_batches(state: TrainState, rollbacks: Sequence[RollbackRecord]) -> TrainState:
    """The state; if the run was rolled back to this checkpoint before, positioned after the batches that it skipped."""
    positions_after_rollback = [record.sequences for record in rollbacks if record.step == state.step]
    sequences = max([state.sequences, *positions_after_rollback])
    return state.model_copy(update={"sequences": sequences, "rollbacks": len(rollbacks)})


def _initialize_weights(run_inputs: RunInputs, model: MaskedLanguageModel, ranks: Ranks) -> str | None:
    """Load the model that the recipe starts from, if it names one; each rank of the first machine reads it itself."""
    section = run_inputs.recipe.model
    source = section.start_from
    if source is None:
        if section.head_bias == "frequency":
            initialize_bias_from_frequency(model, run_inputs.dataset)
        if section.first_weights == "cooccurrence":
            _count_first_weights(model, run_inputs, ranks)
        return None
    family = "the first machine's copy"
    if not ranks.node:
        family = load_pretrained(model, source, entries=run_inputs.dataset.vocabulary.entries)
    if ranks.num_nodes > 1:
        _broadcast_weights(model)
    return f"{family} of {source}"


@torch.no_grad()
def initialize_bias_from_frequency(model: MaskedLanguageModel, dataset: DataMixture) -> None:
    """Let the untrained model guess by frequency: output bias = log of each token's share."""
    shares_V = torch.from_numpy(token_shares(dataset))
    model.head.bias[: dataset.vocabulary.size] = shares_V.log().to(model.head.bias)


def _count_first_weights(model: MaskedLanguageModel, run_inputs: RunInputs, ranks: Ranks) -> None:
    """Rank 0 counts, with all cores of a machine without GPUs; the others take its weights."""
    began_s = time.monotonic()
    if ranks.is_first:
        vocabulary = run_inputs.dataset.vocabulary
        counts = NeighbourCounts.of_text(run_inputs.dataset, device=ranks.device)
        write_first_weights(
            model, counts, special=sorted(vocabulary.special), mask=vocabulary.mask, seed=run_inputs.recipe.run.seed
        )
        seconds = time.monotonic() - began_s
        log_line(f"bertd: first weights from {counts.num_tokens:,} tokens of the data, in {seconds:.1f} s")
    if ranks.world_size > 1:
        _broadcast_weights(model)


def _broadcast_weights(model: MaskedLanguageModel) -> None:
    for parameter in model.parameters():
        dist.broadcast(parameter.data, src=0)
