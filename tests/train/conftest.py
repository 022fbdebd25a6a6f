"""Fixtures: a tiny data set, built once per session, and one rank of two without a second process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch._dynamo
import torch.distributed as dist

from bertd.train.distributed.process_group import Ranks
from tests.tiny_data import make_tiny_dataset


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one thread per run, because operations this small are slower on two."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_dataset(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def one_of_two(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ranks]:
    """A rank that is configured as one of two, in a real process group of one process."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    # A run with several ranks sets this for the whole process.
    with torch._dynamo.config.patch(optimize_ddp=torch._dynamo.config.optimize_ddp):
        store = dist.HashStore()  # type: ignore[attr-defined]  # torch exports it so
        dist.init_process_group("gloo", store=store, rank=0, world_size=1)
        yield Ranks(rank=0, world_size=2, device=torch.device("cpu"), control=None)
        dist.destroy_process_group()
