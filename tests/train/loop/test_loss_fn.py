"""The forward pass of a run: a mask only where there is padding, a gradient reduction only in the last micro-batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch.nn.functional as F
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from bertd.train.distributed.process_group import Ranks
from tests.train.loop.test_train_step import train_step_for
from tests.train.loop.test_trainer import attempt, make_run
from tests.train.operations import Operations


@pytest.mark.parametrize("packing", ["full", "sentences"])
def test_attention_gets_a_mask_where_sequences_are_padded_and_none_where_windows_are_full(
    packing: str, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend, masks = F.scaled_dot_product_attention, list[Tensor | None]()

    def watched(q: Tensor, k: Tensor, v: Tensor, *, attn_mask: Tensor | None, dropout_p: float) -> Tensor:
        masks.append(attn_mask)
        return attend(q, k, v, attn_mask=attn_mask, dropout_p=dropout_p)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    with attempt(make_run(tmp_path / "run", dataset, f"data.packing={packing}")) as trainer:
        # The first plan also asks for a validation.
        trainer.execute_next_plan()

    num_layers, num_micro_batches, num_validation_batches = 2, 2, 4
    assert len(masks) == num_layers * (num_micro_batches + num_validation_batches)
    assert [mask is None for mask in masks] == [packing == "full"] * len(masks)


def test_gradients_are_reduced_once_per_update_however_many_micro_batches_it_has(one_of_two: Ranks) -> None:
    train_step, _ = train_step_for(2, ranks=one_of_two)

    with Operations() as operations:
        for step in range(3):
            train_step.update(step=step, lr=1e-3, wants_norm=False)

    assert operations.seen["c10d.allreduce_"] == 3


def test_gradients_are_views_of_ddps_bucket_and_its_graph_is_static(one_of_two: Ranks) -> None:
    train_step, model = train_step_for(2, ranks=one_of_two)

    train_step.update(step=0, lr=1e-3, wants_norm=False)

    ddp = train_step.forward._train
    assert isinstance(ddp, DistributedDataParallel) and ddp.static_graph
    # A model this small is one bucket; gradients outside it would double the memory and be copied in every step.
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(gradients) > 30 and len({gradient.untyped_storage().data_ptr() for gradient in gradients}) == 1
