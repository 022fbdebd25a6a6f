"""What makes a host wait is counted, on a CPU by the operations that would."""

from __future__ import annotations

import warnings

import pytest
import torch

from bertd.prove.host_syncs import count_host_syncs

CPU = torch.device("cpu")


def test_reading_a_value_counts_each_time_and_arithmetic_does_not() -> None:
    x = torch.ones(4)
    assert count_host_syncs(lambda: (x * 2).sum(), CPU) == []
    assert count_host_syncs(lambda: [float(x.sum()), x.sum().item()], CPU) == ["aten._local_scalar_dense.default"] * 2
    assert count_host_syncs(lambda: x[x > 0], CPU)


def test_on_a_gpu_torchs_own_warnings_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the device: each warning counts, also from one place, and the look-out is ended."""
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def update() -> None:
        for _ in range(2):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("something else", stacklevel=1)

    assert len(count_host_syncs(update, torch.device("cuda"))) == 2
    assert modes == ["warn", "default"]
