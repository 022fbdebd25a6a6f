"""Any number of ranks, from 1 to 8 real processes, gets the same losses on the same global batch."""

from __future__ import annotations

import json
import os
from functools import cached_property, partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bertd.data.batches.batches import TrainBatches
from bertd.data.batches.masking import MaskedBatch
from bertd.data.batches.rows import open_sequences
from bertd.data.dataset.shards import DataSet
from bertd.model.encoder import MaskedLanguageModel
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe
from bertd.train.backends.precision import Precision
from bertd.train.distributed.process_group import Ranks, join_ranks, leave_ranks
from bertd.train.loop.loss_fn import ForwardPass
from bertd.train.loop.train_step import TrainStep
from bertd.train.optim.optimizer import build_optimizers
from bertd.train.run_inputs import build_masker, encoder_config
from tests.train.loop.test_train_step import ALONE
from tests.train.rank_processes import start_ranks
from tests.waiting import PATIENCE_S

STEPS = 20
BATCH = 256
"""Sequences per step; like 4,096, not a multiple of 3, 5, 6 or 7 ranks."""
TEXT = """
[run]
name = "ranks"
[budget]
steps = 20
[data]
shards = "{shards}"
sequence_length = 8
[model]
layers = 2
width = 16
heads = 2
ffn = 32
dropout = 0.0
attention_dropout = 0.0
[optimizer]
kind = "{optimizer}"
clip = 1.0
[batch]
sequences = {batch}
micro = {micro}
[devices]
kind = "cpu"
count = {count}
"""


def train(
    rank: int, num_ranks: int, *, meeting: Path, dataset: Path, out: Path, optimizer: str, kernels: str, steps: int
) -> None:
    """Run one rank with the trainer's own parts but without a run folder; rank 0 writes the losses."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(num_ranks), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    torch.compile = partial(torch.compile, backend="aot_eager")
    recipe = recipe_for(num_ranks, dataset=dataset, optimizer=optimizer)
    ranks = join_ranks(recipe.devices, store=meeting)
    losses = losses_of(recipe, ranks=ranks, kernels=kernels, steps=steps)
    if ranks.is_first:
        out.write_text(json.dumps(losses))
    leave_ranks(ranks)


def recipe_for(num_ranks: int, *, dataset: Path, optimizer: str) -> Recipe:
    """Each rank accumulates four micro-batches, with padding rows where the batch does not divide evenly."""
    micro = -(-BATCH // (4 * num_ranks))
    text = TEXT.format(shards=dataset, optimizer=optimizer, batch=BATCH, micro=micro, count=num_ranks)
    return parse_recipe(text, name="ranks")


class WatchedForward(ForwardPass):
    """Records the addresses of the gradients whenever a micro-batch begins."""

    def loss(self, batch: MaskedBatch) -> Tensor:
        gradients = [parameter.grad for parameter in self._model.parameters()]
        self.places.add(tuple(None if gradient is None else gradient.data_ptr() for gradient in gradients))
        return super().loss(batch)

    @cached_property
    def places(self) -> set[tuple[int | None, ...]]:
        return set()


def losses_of(recipe: Recipe, *, ranks: Ranks, kernels: str, steps: int) -> list[float]:
    assert recipe.batch.micro != "auto"
    opened = DataSet.open(Path(recipe.data.shards_text))
    model = MaskedLanguageModel(encoder_config(recipe, vocab_size=opened.vocabulary.size), seed=1)
    batches = TrainBatches(
        sequences=open_sequences(opened, split="train", sequence_length=8, packing="sentences"),
        masker=build_masker(recipe, opened.vocabulary),
        seed=42,
        global_batch=BATCH,
        micro_batch=recipe.batch.micro,
        rank=ranks.rank,
        world_size=ranks.world_size,
        device=ranks.device,
        first_sequence=0,
    )
    fp32 = Precision(mode="fp32", dtype=None, needs_scaler=False)
    forward = WatchedForward(model, ranks=ranks, precision=fp32, kernels=kernels, pad_id=opened.vocabulary.pad)
    train_step = TrainStep(
        recipe,
        model=model,
        forward=forward,
        optimizers=build_optimizers(model, recipe.optimizer, rank=ranks.rank, world_size=ranks.world_size),
        batches=batches,
        ranks=ranks,
        precision=fp32,
        scaler=None,
    )
    losses = []
    for step in range(steps):
        train_step.update(step=step, lr=2e-3, wants_norm=False)
        losses.append(train_step.take_loss())
    # Always the same addresses, in DDP's buckets, from the first micro-batch on.
    assert ranks.world_size == 1 or (len(forward.places) == 1 and None not in next(iter(forward.places)))
    batches.close()
    return losses


def start(num_ranks: int, folder: Path, **options: object) -> list[float]:
    """Losses of `num_ranks` processes."""
    name = f"{num_ranks}-{options['kernels']}-{options['optimizer']}"
    options |= {"meeting": folder / f"{name}.meeting", "out": folder / f"{name}.json"}
    processes = start_ranks(train, count=num_ranks, num_ranks=num_ranks, **options)
    for process in processes:
        process.join(PATIENCE_S)
    assert [process.exitcode for process in processes] == [0] * num_ranks
    losses: list[float] = json.loads((folder / f"{name}.json").read_text())
    return losses


@pytest.fixture(scope="module")
def alone(dataset: Path) -> list[float]:
    """The losses of one rank."""
    return losses_of(recipe_for(1, dataset=dataset, optimizer="adamw"), ranks=ALONE, kernels="eager", steps=STEPS)


@pytest.mark.long
@pytest.mark.parametrize("num_ranks", range(2, 9))
def test_several_ranks_have_the_losses_of_one(
    num_ranks: int, alone: list[float], tmp_path: Path, dataset: Path
) -> None:
    losses = start(num_ranks, tmp_path, dataset=dataset, optimizer="adamw", kernels="eager", steps=STEPS)

    assert losses == pytest.approx(alone, abs=1e-5)
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.long
def test_two_ranks_compile_one_graph_and_share_muons_work(tmp_path: Path, dataset: Path) -> None:
    alone = losses_of(recipe_for(1, dataset=dataset, optimizer="muon"), ranks=ALONE, kernels="eager", steps=3)

    losses = start(2, tmp_path, dataset=dataset, optimizer="muon", kernels="compile", steps=3)

    assert losses == pytest.approx(alone, abs=1e-5)
