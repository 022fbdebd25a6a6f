"""precision.deterministic = true: on a GPU, an attempt computes the same bits each time.

Without it a GPU adds in the order in which threads finish: in the gradient of the embeddings (Inductor's atomic
additions) and in cuDNN's attention backward pass; the compiler times variants of a reduction in each process, and
cuBLAS may divide a product otherwise with another workspace. Then a resumed run equals an uninterrupted one within the
noise of two identical runs, not bit for bit. On CPU it is bit for bit anyway, and the key changes nothing.

What is left out: choices that are made by timing, which differ between two runs. Not run on a GPU so far.

Source: PyTorch's notes on reproducibility, and its check_cudnn_deterministic in sdp_utils.cpp.
"""

from __future__ import annotations

import os

import torch
import torch._inductor.config

from bertd.run.recipe.schema import Recipe

CUBLAS_WORKSPACES = ":4096:8"
"""One of the two values of CUBLAS_WORKSPACE_CONFIG that cuBLAS is deterministic with; PyTorch refuses others."""
_NCCL_ALGORITHM = "Ring"
"""Adds the ranks' gradients in the order of the ring; additions inside a switch have no order of their own."""


def is_deterministic(recipe: Recipe) -> bool:
    """Whether the run needs deterministic algorithms to compute the same bits each time."""
    return recipe.precision.deterministic and recipe.devices.kind == "gpu"


def use_deterministic_algorithms(recipe: Recipe) -> None:
    """Set this process up, if the recipe asks for it; must come before CUDA and NCCL start, which read the environment.

    What the environment says instead is overwritten: a run's mathematics depend on its recipe.
    """
    if not is_deterministic(recipe):
        return
    assert not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = CUBLAS_WORKSPACES
    os.environ["NCCL_ALGO"] = _NCCL_ALGORITHM
    # Operations without a deterministic form raise, so that none is taken unnoticed.
    torch.use_deterministic_algorithms(True)
    # The same by name: not every PyTorch sets it with the line above.
    torch._inductor.config.deterministic = True
