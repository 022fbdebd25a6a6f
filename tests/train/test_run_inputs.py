"""Loading a run's inputs: maskers for training and validation."""

from __future__ import annotations

from pathlib import Path

import torch

from bertd.data.batches.batches import validation_batches
from bertd.data.batches.masking import MaskedBatch
from bertd.data.batches.rows import open_sequences
from bertd.data.dataset.shards import DataSet
from bertd.run.recipe.load import find_recipe, read_recipe
from bertd.train.run_inputs import build_masker, build_validation_masker
from tests.tiny_data import make_tiny_dataset


def test_runs_that_train_with_other_masks_are_validated_on_the_same_tokens(tmp_path: Path) -> None:
    shards = make_tiny_dataset(tmp_path)
    dataset = DataSet.open(shards)
    validated: list[MaskedBatch] = []
    trained: list[MaskedBatch] = []
    for rate in (0.15, 0.5):
        keys = [f"data.shards={shards}", "data.sequence_length=32", f"masking.rate={rate}"]
        recipe = read_recipe(find_recipe("demo"), overrides=keys)
        for masker, batches in ((build_masker, trained), (build_validation_masker, validated)):
            batches += validation_batches(
                sequences=open_sequences(dataset, split="validation", sequence_length=32, packing="full"),
                masker=masker(recipe, dataset.vocabulary),
                micro_batch=4,
                rank=0,
                world_size=1,
                max_sequences=4,
                device=torch.device("cpu"),
            )
    assert [batch.positions_BM.size(1) for batch in trained] == [5, 16]
    assert torch.equal(validated[0].inputs_BS, validated[1].inputs_BS)
    assert torch.equal(validated[0].labels_BM, validated[1].labels_BM)
