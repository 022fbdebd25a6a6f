"""Stock training for a time budget: `python -m bertd.bench.quality.stock SHARDS --budget S --lr LR --out FOLDER`.

BertForMaskedLM of transformers in a usual training loop, with every advantage that it can use: fused AdamW with the
recipe's betas and decay, the time-bound linear schedule, no dropout, full windows without an attention mask, denormals
flushed, all cores, and the same masked sequences in the same order. Its clock starts at its first step, after all
imports; bertd is charged from the start of its processes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter
from transformers import BertConfig, BertForMaskedLM
from transformers.utils.logging import disable_progress_bar

from bertd.bench.quality.arms import MASKED_15, build_small_recipe
from bertd.bench.workload import dense_labels
from bertd.data.batches.batches import TrainBatches
from bertd.data.batches.mixed_sequences import open_mixture
from bertd.data.dataset.mixture import DataMixture
from bertd.program import run_main
from bertd.run.learning_rate import learning_rate_factor
from bertd.run.recipe.schema import Recipe
from bertd.train.backends.cpu_tuning import keep_freed_pages
from bertd.train.optim.weight_decay import decay_groups
from bertd.train.run_inputs import build_masker


@dataclass(frozen=True)
class SpentBudget:
    """What the budget was spent on."""

    steps: int
    sequences: int
    seconds: float


SPENT_BUDGET_ADAPTER = TypeAdapter(SpentBudget)


def train(recipe: Recipe, *, peak_lr: float, budget_s: float) -> tuple[BertForMaskedLM, SpentBudget]:
    """Train until the budget is spent; the last step may exceed it."""
    dataset = DataMixture.open(recipe.data.weights)
    torch.manual_seed(recipe.run.seed)
    model = BertForMaskedLM(_config(recipe, vocab_size=dataset.vocabulary.size)).train()
    groups = decay_groups(model.parameters(), weight_decay=recipe.optimizer.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=0.0, fused=True)
    for group in optimizer.param_groups:
        group["betas"], group["eps"] = recipe.optimizer.betas, recipe.optimizer.eps
    batches = _batches(recipe, dataset)
    began_s, steps, seconds = time.monotonic(), 0, 0.0
    while seconds < budget_s:
        for group in optimizer.param_groups:
            group["lr"] = peak_lr * learning_rate_factor(recipe.schedule, progress=min(1.0, seconds / budget_s))
        batch = batches.next_micro_batch()
        labels_BS = dense_labels(batch.inputs_BS, batch.positions_BM, batch.labels_BM)
        model(input_ids=batch.inputs_BS, labels=labels_BS).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps += 1
        seconds = time.monotonic() - began_s
    batches.close()
    return model, SpentBudget(steps=steps, sequences=steps * recipe.batch.sequences, seconds=seconds)


def _config(recipe: Recipe, *, vocab_size: int) -> BertConfig:
    section = recipe.model
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=section.width,
        num_hidden_layers=section.layers,
        num_attention_heads=section.heads,
        intermediate_size=section.ffn,
        hidden_dropout_prob=section.dropout,
        attention_probs_dropout_prob=section.attention_dropout,
        max_position_embeddings=recipe.data.sequence_length,
        attn_implementation="sdpa",
    )


def _batches(recipe: Recipe, dataset: DataMixture) -> TrainBatches:
    sequences = open_mixture(
        dataset, split="train", sequence_length=recipe.data.sequence_length, packing=recipe.data.packing
    )
    return TrainBatches(
        sequences=sequences,
        masker=build_masker(recipe, dataset.vocabulary),
        seed=recipe.run.seed,
        global_batch=recipe.batch.sequences,
        micro_batch=recipe.batch.sequences,
        rank=0,
        world_size=1,
        device=torch.device("cpu"),
        first_sequence=0,
    )


def main() -> int:
    """Train, save the model as transformers does, print what was spent as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bertd.bench.quality.stock", description=__doc__)
    parser.add_argument("shards")
    parser.add_argument("--budget", type=float, required=True, metavar="SECONDS")
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep-pages", action="store_true", help="set the malloc options that bertd's ranks set")
    parser.add_argument(
        "--set", action="append", default=[], dest="keys", metavar="KEY=VALUE", help="of the recipe, such as its shape"
    )
    return run_main(lambda: _train_and_save(parser.parse_args()), is_logged=True)


def _train_and_save(args: argparse.Namespace) -> None:
    torch.set_flush_denormal(True)
    if args.keep_pages:
        keep_freed_pages()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    recipe = build_small_recipe(shards=args.shards, budget_s=args.budget, keys=(*MASKED_15, *args.keys))
    model, spent = train(recipe, peak_lr=args.lr, budget_s=args.budget)
    disable_progress_bar()
    model.save_pretrained(args.out)
    print(SPENT_BUDGET_ADAPTER.dump_json(SPENT_BUDGET_ADAPTER.validate_python(asdict(spent))).decode())


if __name__ == "__main__":
    sys.exit(main())
