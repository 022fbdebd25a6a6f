"""Do two updates with Inductor in a separate process, and print losses, weights' differences and cache counters.

With the argument `other-loss`, the backward pass of the loss is another.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch._dynamo
from torch import Tensor

from bertd.model import token_loss
from tests.train.loop.test_train_step import train_step_for


@dataclass(frozen=True)
class CompiledUpdates:
    """What one process did."""

    losses: list[float]
    eager_losses: list[float]
    largest_difference: float
    """Of the weights after two updates, compiled and eager."""
    cache_hits: int
    cache_misses: int
    cache_bypasses: int


def main() -> None:
    """Print a CompiledUpdates as JSON."""
    torch.set_num_threads(1)
    if sys.argv[1:] == ["other-loss"]:
        token_loss._TokenLoss.backward = staticmethod(_wrong_backward)  # type: ignore[method-assign]  # a stand-in
    compiled, compiled_model = train_step_for(8, kernels="compile")
    eager, eager_model = train_step_for(8)
    losses, eager_losses = list[float](), list[float]()
    for step in range(2):
        for train_step, read in ((compiled, losses), (eager, eager_losses)):
            train_step.update(step=step, lr=1e-3, wants_norm=False)
            read.append(train_step.take_loss())
    differences = [
        float((ours - theirs).abs().max().detach())
        for ours, theirs in zip(compiled_model.parameters(), eager_model.parameters(), strict=True)
    ]
    counters = torch._dynamo.utils.counters["aot_autograd"]
    done = CompiledUpdates(
        losses=losses,
        eager_losses=eager_losses,
        largest_difference=max(differences),
        cache_hits=counters["autograd_cache_hit"],
        cache_misses=counters["autograd_cache_miss"],
        cache_bypasses=counters["autograd_cache_bypass"],
    )
    json.dump(asdict(done), sys.stdout)


def _wrong_backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    hidden_ND, tokens_VD, grad_logits_NV, _ = ctx.saved_tensors
    return torch.zeros_like(hidden_ND), torch.zeros_like(tokens_VD), grad_logits_NV.sum(0) * grad_loss, None


if __name__ == "__main__":
    main()
