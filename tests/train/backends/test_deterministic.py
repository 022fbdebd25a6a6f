"""precision.deterministic: set before CUDA starts, nothing chosen by timing, no operation that then raises."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
import torch
import torch._inductor.config

from bertd.errors import DeviceError, RecipeError
from bertd.run.paths import RunPaths
from bertd.train import run_inputs
from bertd.train.autotune import attention_backend, kernels
from bertd.train.autotune.attention_backend import choose_attention
from bertd.train.autotune.attention_workload import AttentionWorkload
from bertd.train.autotune.kernels import choose_kernels, find_compiler_fault
from bertd.train.backends.deterministic import use_deterministic_algorithms
from bertd.train.distributed import process_group, worker
from bertd.train.distributed.process_group import Ranks
from tests.model.test_export import TINY
from tests.train.loop.test_train_step import ALONE, BF16, recipe, setup_for, train_step_for
from tests.train.operations import Operations

ON_GPU = ("devices.kind=gpu", "precision.deterministic=true")
GPU = Ranks(rank=0, world_size=1, device=torch.device("cuda"), control=None)


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    monkeypatch.setenv("NCCL_ALGO", "Tree")
    before = torch._inductor.config.deterministic
    yield
    torch.use_deterministic_algorithms(False)
    torch._inductor.config.deterministic = before


def test_a_run_on_a_gpu_sets_everything_whatever_the_environment_says() -> None:
    use_deterministic_algorithms(recipe(8, *ON_GPU))
    assert torch.are_deterministic_algorithms_enabled() and torch._inductor.config.deterministic
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert (os.environ["CUBLAS_WORKSPACE_CONFIG"], os.environ["NCCL_ALGO"]) == (":4096:8", "Ring")


@pytest.mark.parametrize("key", ["devices.kind=gpu", "precision.deterministic=true"])
def test_without_the_key_or_on_a_cpu_nothing_is_set(key: str) -> None:
    use_deterministic_algorithms(recipe(8, key))
    assert not torch.are_deterministic_algorithms_enabled() and os.environ["NCCL_ALGO"] == "Tree"


def test_a_rank_sets_it_before_it_meets_its_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def join(*_: object, **__: object) -> Ranks:
        assert torch.are_deterministic_algorithms_enabled()
        raise DeviceError("met its GPU")

    inputs = SimpleNamespace(recipe=recipe(8, *ON_GPU))
    monkeypatch.setattr(run_inputs, "load_run_inputs", lambda _: inputs)
    monkeypatch.setattr(process_group, "join_ranks", join)
    with pytest.raises(DeviceError, match="met its GPU"):
        worker.train(RunPaths(tmp_path), attempt=1, store=None, stop_signal=Event(), began_s=0.0)


def test_a_recipe_cannot_leave_anything_to_timing_or_to_apex() -> None:
    with pytest.raises(RecipeError, match=r'batch\.micro = "auto" is chosen by timing'):
        recipe(8, "precision.deterministic=true", "batch.micro=auto")
    with pytest.raises(RecipeError, match='kernels = "apex": nobody has checked'):
        recipe(8, "precision.deterministic=true", "precision.kernels=apex")


def test_attention_leaves_out_cudnn_and_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault_of(attend: object, *_: object, **__: object) -> str | None:
        return "refused" if attend is attention_backend.BACKENDS["FlashAttention"] else None

    monkeypatch.setattr(attention_backend, "attend_by", lambda backend: backend)
    monkeypatch.setattr(attention_backend, "find_fault", fault_of)
    monkeypatch.setattr(attention_backend, "time_backend", None)
    workload = AttentionWorkload.from_config(TINY, sequences=2, length=16, predictions=3, is_masked=True)

    chosen = choose_attention(workload, precision=BF16, ranks=GPU, is_deterministic=True)

    assert chosen.names == ("memory-efficient", "math")
    assert chosen.packed is None
    assert chosen.reason.startswith("checked here, and not timed, to be deterministic; own kernel is left out: ")
    assert chosen.reason.endswith(
        "; cuDNN is left out: its backward pass is not deterministic; FlashAttention is left out: refused"
    )


@pytest.mark.parametrize(("fault", "expected"), [(None, "compile"), ("no C compiler", "eager")])
def test_kernels_are_not_timed(monkeypatch: pytest.MonkeyPatch, fault: str | None, expected: str) -> None:
    monkeypatch.setattr(kernels, "run_speed_probe", None)
    monkeypatch.setattr(kernels, "find_compiler_fault", lambda _: fault)
    setup = setup_for(recipe(8, *ON_GPU))
    chosen = choose_kernels(setup, attention=attention_backend.AttentionChoice(), micros=[8], ranks=ALONE)
    assert chosen.name == expected and "nothing is timed, to be deterministic" in chosen.reason
    assert fault is None or "compile failed: no C compiler" in chosen.reason


def test_a_compiler_that_does_not_work_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = torch.compile

    def fails(*_: object) -> object:
        raise RuntimeError("Failed to find C compiler\nand more")

    def with_backend(backend: object) -> object:
        return lambda function, **options: compile_(function, backend=backend, **options)  # type: ignore[call-overload]  # passed through

    monkeypatch.setattr(torch, "compile", with_backend("eager"))
    assert find_compiler_fault(ALONE.device) is None
    monkeypatch.setattr(torch, "compile", with_backend(fails))
    assert "Failed to find C compiler" in str(find_compiler_fault(ALONE.device))


RAISE_ON_CUDA = """avg_pool3d adaptive_avg_pool adaptive_max_pool fractional_max max_unpool upsample reflection_pad
nll_loss2d ctc_loss embedding_bag put_ histc median grid_sampler kthvalue"""
"""Parts of the names of what raises on CUDA then, by the documentation of torch.use_deterministic_algorithms."""


@pytest.mark.parametrize("optimizer", ["adamw", "lamb", "muon"])
def test_an_update_has_no_operation_that_raises_on_a_gpu_then(optimizer: str) -> None:
    torch.use_deterministic_algorithms(True)
    train_step, _ = train_step_for(2, f"optimizer.kind={optimizer}", dropout=0.1, pad_id=0)
    with Operations() as operations:
        train_step.update(step=0, lr=1e-3, wants_norm=True)
    names = {name.removeprefix("aten.") for name in operations.seen}
    assert "embedding" in names and "gather" in names
    refused = {name for name in names for part in RAISE_ON_CUDA.split() if name.startswith(part)}
    # Sums of floats along a dimension raise as well, and bincount with weights.
    assert not refused and not {name for name in names if name.startswith(("cumsum", "bincount"))}
