"""A tiny data set, made once a session, and a rank that needs no other."""

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
    """A run takes as many threads as it has cores, and operations this small are slower on two."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_dataset(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def one_of_two(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ranks]:
    """Takes itself for one of two, in a group of its own: what it exchanges is real, and no second process is there."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    # Several ranks set it for their whole process.
    with torch._dynamo.config.patch(optimize_ddp=torch._dynamo.config.optimize_ddp):
        store = dist.HashStore()  # type: ignore[attr-defined]  # torch exports it so
        dist.init_process_group("gloo", store=store, rank=0, world_size=1)
        yield Ranks(rank=0, world_size=2, device=torch.device("cpu"), control=None)
        dist.destroy_process_group()
