"""Waits for a GPU, whose work is only queued: a clock without it measures how fast calls are queued."""

from __future__ import annotations

import torch


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what was queued on it; on CPU everything is done when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
