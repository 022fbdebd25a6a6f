"""The forward pass of a run: a mask only where there is padding, a gradient reduction only in the last micro-batch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend
from torch.nn.parallel import DistributedDataParallel

from bertd.errors import DeviceError
from bertd.train.distributed.process_group import Ranks
from tests.jobs.runner_box import with_tests_on_path
from tests.model.test_export import MODERN, TINY
from tests.train.loop import compiled_update
from tests.train.loop.compiled_update import CompiledUpdates
from tests.train.loop.test_train_step import train_step_for, weights_after
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


@pytest.mark.parametrize(
    ("kernels", "unit", "is_one"), [("eager", "model", False), ("compile", "layer", False), ("compile", "model", True)]
)
def test_gradients_that_come_all_at_once_are_exchanged_in_few_buckets(
    kernels: str,
    unit: Literal["model", "layer"],
    is_one: bool,
    one_of_two: Ranks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()
    # The feed-forward weights of each layer fill a bucket of DDP's own size, 25 MB.
    config = replace(TINY, width=512, ffn=8192)
    train_step, model = train_step_for(8, config=config, ranks=one_of_two, kernels=kernels, compile_unit=unit)

    train_step.update(step=0, lr=1e-3, wants_norm=False)

    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    buckets = {gradient.untyped_storage().data_ptr() for gradient in gradients}
    assert (len(buckets) == 1) is is_one


@pytest.mark.parametrize("unit", ["model", "layer"])
@pytest.mark.parametrize("is_asked_for", [True, False])
def test_products_are_searched_for_training_alone_and_only_if_the_recipe_says_so(
    unit: Literal["model", "layer"], is_asked_for: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, list[object]] = {"training": [], "evaluation": []}

    def compile_with(function: Callable[..., object], *, options: object = None, **others: object) -> object:
        given["evaluation" if getattr(function, "__name__", "") == "evaluate" else "training"].append(options)
        return function

    def compile_part(part: nn.Module, *, options: object, **others: object) -> None:
        given["training"].append(options)

    monkeypatch.setattr(torch, "compile", compile_with)
    monkeypatch.setattr(nn.Module, "compile", compile_part)
    train_step_for(8, kernels="compile", compile_unit=unit, searches_products=is_asked_for)

    expected = {"max_autotune_gemm": True} if is_asked_for else None
    assert given["training"] and all(options == expected for options in given["training"])
    assert given["evaluation"] == ([None] if unit == "model" else [])


@pytest.mark.long
def test_inductor_with_a_search_for_products_gives_the_same_update() -> None:
    torch._dynamo.reset()
    searched, searched_model = train_step_for(8, kernels="compile", searches_products=True)
    weights = weights_after(2, searched, searched_model)
    eager, eager_model = train_step_for(8)
    expected = weights_after(2, eager, eager_model)
    assert all(torch.allclose(weights[name], expected[name], atol=1e-5) for name in expected)
    torch._dynamo.reset()


def test_the_pass_that_shows_the_graph_uses_plain_mathematics_alone(
    one_of_two: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend, allowed = F.scaled_dot_product_attention, list[tuple[int, tuple[bool, ...]]]()

    def watched(q: Tensor, k: Tensor, v: Tensor, *, attn_mask: Tensor | None, dropout_p: float) -> Tensor:
        enabled = (
            torch._C._get_flash_sdp_enabled(),
            torch._C._get_mem_efficient_sdp_enabled(),
            torch._C._get_cudnn_sdp_enabled(),
        )
        allowed.append((k.size(2), enabled))
        return attend(q, k, v, attn_mask=attn_mask, dropout_p=dropout_p)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    train_step, _ = train_step_for(2, ranks=one_of_two, attention=(SDPBackend.FLASH_ATTENTION, SDPBackend.MATH))
    assert allowed and set(allowed) == {(8, (False, False, False))}

    allowed.clear()
    train_step.update(step=0, lr=1e-3, wants_norm=False)
    assert allowed and all(enabled[0] for _, enabled in allowed), "the run itself uses what was chosen"


def test_no_buffer_is_exchanged_before_an_update(one_of_two: Ranks) -> None:
    train_step, model = train_step_for(2, config=MODERN, ranks=one_of_two)
    assert list(model.buffers()), "rotary angles"

    with Operations() as operations:
        train_step.update(step=0, lr=1e-3, wants_norm=False)

    assert operations.seen["c10d.broadcast_"] == 0


def test_a_chosen_order_of_attention_kernels_is_what_pytorch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = (SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
    train_step, _ = train_step_for(2, attention=chosen)
    train_step.update(step=0, lr=1e-3, wants_norm=False)

    # As on Hopper after the first call of a process, where PyTorch sets its own order.
    monkeypatch.setattr(torch._C, "_get_sdp_priority_order", lambda: [3, 1, 2, 0, 4])
    train_step, _ = train_step_for(2, attention=chosen)
    with pytest.raises(DeviceError, match="preferred CUDNN_ATTENTION, FLASH_ATTENTION, and EFFICIENT_ATTENTION,MATH"):
        train_step.update(step=0, lr=1e-3, wants_norm=False)


@pytest.mark.long
def test_inductor_gives_eager_updates_and_a_second_attempt_takes_the_whole_graph_from_the_cache(tmp_path: Path) -> None:
    def update_in_a_process(*arguments: str) -> CompiledUpdates:
        done = subprocess.run(
            [sys.executable, "-m", compiled_update.__name__, *arguments],
            env=with_tests_on_path() | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
            check=True,
            capture_output=True,
            text=True,
        )
        return CompiledUpdates(**json.loads(done.stdout))

    first, second = update_in_a_process(), update_in_a_process()

    for each in (first, second):
        assert each.losses == pytest.approx(each.eager_losses, abs=1e-5)
        # AdamW divides by the gradient's own size: a difference in the last digits of a small one shows.
        assert each.largest_difference < 1e-5
    assert (first.cache_hits, first.cache_misses, first.cache_bypasses) == (0, 1, 0)
    assert (second.cache_hits, second.cache_misses, second.cache_bypasses) == (1, 0, 0)
    # The functions of the loss are part of the key: another backward pass is not taken for the one on disk.
    other = update_in_a_process("other-loss")
    assert (other.cache_hits, other.cache_misses) == (0, 1)
    assert other.losses[1] != second.losses[1]
