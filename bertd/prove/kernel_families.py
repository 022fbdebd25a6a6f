"""Kernels of a profile by what they do, and how much of the time none ran. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_FAMILIES = (
    ("exchange between GPUs", r"nccl|all_?reduce|all_?gather"),
    ("attention", r"flash|fmha|sdpa|attention|softmax_warp"),
    ("optimizer", r"adam|multi_tensor|foreach|lerp"),
    ("matrix products", r"gemm|nvjet|cutlass|cublas|xmma|sm\d+_|::mm\b|::addmm|::bmm|::baddbmm|::matmul|::linear"),
    ("norms", r"layer_?norm|native_layer_norm|rms_norm"),
    ("activation", r"gelu|tanh|erf"),
    ("embeddings", r"embedding|index_put|index_select|gather|scatter"),
    ("loss over the vocabulary", r"log_?softmax|nll_loss|cross_entropy"),
    ("copies and casts", r"memcpy|memset|copy|::_to|::to\b|::zero_|::fill_|cat\b|cat_"),
    ("masks and order", r"sort|topk|cummax|bitonic|radix"),
    ("sums", r"reduce|::sum|norm"),
    ("elementwise", r"elementwise|triton_poi|vectorized|::mul|::add|::div|::sub|::where"),
)
"""In the order in which they are tried: a fused kernel is what the heaviest of its parts is."""
OTHER = "the rest"


@dataclass(frozen=True)
class KernelRun:
    """One run of a kernel."""

    name: str
    start_us: float
    end_us: float


@dataclass(frozen=True)
class FamilyTime:
    """What kernels of one kind took together."""

    family: str
    total_us: float
    count: int


def family_of(name: str) -> str:
    """What a kernel, or an operation, does by its name."""
    lowered = name.lower()
    return next((family for family, pattern in _FAMILIES if re.search(pattern, lowered)), OTHER)


def sum_families(runs: Iterable[tuple[str, float]]) -> list[FamilyTime]:
    """Time and number of each family, the longest first.

    Args:
        runs: name and microseconds of each run of a kernel.
    """
    totals: dict[str, tuple[float, int]] = {}
    for name, duration_us in runs:
        total_us, count = totals.get(family_of(name), (0.0, 0))
        totals[family_of(name)] = (total_us + duration_us, count + 1)
    families = [FamilyTime(family, total_us, count) for family, (total_us, count) in totals.items()]
    return sorted(families, key=lambda each: -each.total_us)


def idle_share(runs: Sequence[KernelRun]) -> float:
    """Share of the time from the first kernel to the end of the last in which none ran, 0..1."""
    if not runs:
        return 1.0
    ordered = sorted(runs, key=lambda run: run.start_us)
    busy_us, end_us = 0.0, ordered[0].start_us
    for run in ordered:
        busy_us += max(0.0, run.end_us - max(run.start_us, end_us))
        end_us = max(end_us, run.end_us)
    return 1.0 - busy_us / max(end_us - ordered[0].start_us, 1e-9)
