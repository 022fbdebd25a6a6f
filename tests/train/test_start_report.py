"""A run that fell back to something slower says so before its first step."""

from __future__ import annotations

import pytest
import torch

from bertd.train.autotune.attention_backend import AttentionChoice
from bertd.train.autotune.kernels import KernelChoice
from bertd.train.backends.apex.detect import Apex
from bertd.train.distributed.process_group import Ranks
from bertd.train.start_report import _collect_slow_path_warnings

WORKS = KernelChoice("compile", "measured", Apex())


@pytest.mark.parametrize(("device", "alerts"), [("cuda", {"attention_math"}), ("cpu", set())])
def test_attention_without_a_fused_kernel_is_an_alert_on_a_gpu_alone(device: str, alerts: set[str]) -> None:
    ranks = Ranks(rank=0, world_size=1, device=torch.device(device), control=None)
    math = AttentionChoice(("math",), "FlashAttention is left out: it raised")
    warnings = _collect_slow_path_warnings(WORKS, math, ranks)
    assert set(warnings) == alerts and all("it raised" in text for text in warnings.values())
    assert not _collect_slow_path_warnings(WORKS, AttentionChoice(("FlashAttention", "math"), ""), ranks)


def test_a_compiler_that_does_not_work_is_an_alert() -> None:
    ranks = Ranks(rank=0, world_size=1, device=torch.device("cpu"), control=None)
    fell_back = KernelChoice("eager", "nothing is timed", Apex(), compile_fault="no g++")
    warnings = _collect_slow_path_warnings(fell_back, AttentionChoice(), ranks)
    assert list(warnings) == ["compile_failed"] and "no g++" in warnings["compile_failed"]


@pytest.mark.parametrize(("device", "alerts"), [("cuda", ["eager_kernels"]), ("cpu", [])])
def test_eager_kernels_of_the_recipe_are_an_alert_on_a_gpu_and_chosen_ones_are_not(
    device: str, alerts: list[str]
) -> None:
    ranks = Ranks(rank=0, world_size=1, device=torch.device(device), control=None)
    asked_for = KernelChoice("eager", "the recipe says so", Apex(), is_of_recipe=True)
    chosen = KernelChoice("eager", "a budget of 5min is too short for compiling to pay", Apex())
    assert list(_collect_slow_path_warnings(asked_for, AttentionChoice(), ranks)) == alerts
    assert not _collect_slow_path_warnings(chosen, AttentionChoice(), ranks)
