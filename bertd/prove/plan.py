"""The steps of a proof, in their order, and how the time is shared among them.

Correctness comes first: a figure of something wrong is worth nothing. Each step gets its share of the time that is
left, so that what an early one does not use goes to the later ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One of them."""

    name: str
    """Of the module below bertd.prove.steps, and of its file in OUT/steps."""
    title: str
    weight: float
    """Share of the time: about the seconds on one GPU where the compiler finds nothing in its cache."""
    tiny_weight: float
    """The same with --tiny: about the seconds of processor time."""


STEPS = (
    Step("environment", "What is here", 15, 4),
    Step("correctness", "Right against fp64", 70, 40),
    Step("products", "Products and bandwidth", 20, 6),
    Step("comparison", "Beside stock BERT", 230, 8),
    Step("ladder", "One saving after the other", 60, 8),
    Step("kernels", "Kernels of an update", 60, 8),
    Step("memory", "Memory against its model", 20, 8),
    Step("whole_run", "A whole run", 230, 20),
    Step("resuming", "Interrupted equals uninterrupted", 50, 18),
    Step("finetuning", "A finetuning", 30, 12),
    Step("ranks", "Several GPUs", 40, 3),
)


def limit_s(index: int, steps: Sequence[Step], *, left_s: float, is_tiny: bool) -> float:
    """Seconds for the step of that index, of those left for it and all after it."""
    weights = [step.tiny_weight if is_tiny else step.weight for step in steps[index:]]
    return left_s * weights[0] / sum(weights)
