"""A tiny data set, made once a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.tiny_data import make_tiny_dataset


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run takes as many threads as it has cores, and operations this small are slower on two."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """A run flushes them to zero for its whole process, and hypothesis refuses to draw floats in such a one."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_dataset(tmp_path_factory.mktemp("tiny"))
